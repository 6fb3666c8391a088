//! What of a changed configuration the ingress takes over while it serves.

use std::sync::Arc;

use actix_web::web;
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::reload::Reload;
use matchpurse_settings::{ConfigFiles, Settings};
use matchpurse_tls::Acceptor;

use crate::over_tls;
use crate::receive::Ingress;

/// What [`crate::sources::Sources::take_over`] takes over, and what the ingress does not read. A certificate and its key are
/// taken over too; that there are any, where there were none, is shown by their names and is for the next start.
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
    pub(crate) acceptor: Option<Arc<Acceptor>>,
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
        // It looks at the certificate too, so that all is taken over or nothing.
        self.ingress.sources.take_over(&settings).await?;
        if let (Some(acceptor), Ok(Some(identity))) = (&self.acceptor, over_tls::identity(&settings.ingress))
        {
            acceptor.show(identity);
        }
        Ok(self.started.differences(&settings, &NOT_FOR_THE_NEXT_START))
    }
}
