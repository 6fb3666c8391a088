//! What of a changed configuration the ingress takes over while it serves.

use actix_web::web;
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::reload::Reload;
use matchpurse_settings::{ConfigFiles, Settings};

use crate::receive::Ingress;

/// What [`crate::sources::Sources::take_over`] takes over, and what the ingress does not read.
const NOT_FOR_THE_NEXT_START: [&str; 11] = [
    "sources.*.secrets",
    "sources.*.keys",
    "sources.*.options",
    "sources.*.max_body_bytes",
    "api",
    "archive",
    "dispatcher",
    "endpoints",
    "leaderboards",
    "operations",
    "workers",
];

/// The ingress, following its files.
pub(crate) struct Reloading {
    pub(crate) ingress: web::Data<Ingress>,
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
        self.ingress.sources.take_over(&settings).await?;
        Ok(self.started.differences(&settings, &NOT_FOR_THE_NEXT_START))
    }
}
