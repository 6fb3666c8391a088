//! What of a changed configuration the API takes over while it serves.

use actix_web::web;
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::reload::Reload;
use matchpurse_settings::{ConfigFiles, Settings};

use crate::api::Api;

/// What is taken over: who may ask, and how much; by which keys and options providers are asked about match tokens. And
/// what the API does not read.
const NOT_FOR_THE_NEXT_START: [&str; 12] = [
    "api.tokens",
    "api.requests_per_second",
    "api.requests_burst",
    "archive",
    "dispatcher",
    "endpoints",
    "ingress",
    "leaderboards",
    "sources.*.keys",
    "sources.*.max_body_bytes",
    "sources.*.secrets",
    "workers",
];

/// The API, following its files.
pub(crate) struct Reloading {
    pub(crate) api: web::Data<Api>,
    pub(crate) files: ConfigFiles,
    pub(crate) started: Settings,
}

impl Reload for Reloading {
    type Config = Settings;
    type Error = ConfigError;

    fn fingerprint(&mut self) -> u64 {
        self.files.fingerprint()
    }

    fn load(&mut self) -> Result<Settings, ConfigError> {
        self.files.load()
    }

    async fn apply(&mut self, settings: Settings) -> Result<Vec<String>, ConfigError> {
        self.api.token_checks.take_over(&settings)?;
        self.api.access.take_over(&settings.api);
        Ok(self.started.differences(&settings, &NOT_FOR_THE_NEXT_START))
    }
}
