//! What of a changed configuration the dispatcher takes over while it runs.

use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::reload::Reload;
use matchpurse_settings::{ConfigFiles, Settings};
use tokio::sync::{mpsc, oneshot};

/// What is taken over: the endpoints with their secrets, and what providers are called with. And what the dispatcher does
/// not read.
const NOT_FOR_THE_NEXT_START: [&str; 10] = [
    "api.tokens",
    "archive",
    "endpoints",
    "ingress",
    "leaderboards",
    "operations",
    "sources.*.keys",
    "sources.*.max_body_bytes",
    "sources.*.secrets",
    "workers",
];

/// Changed settings on their way to the turns, and the answer.
pub(crate) struct Change {
    pub(crate) settings: Settings,
    pub(crate) answer: oneshot::Sender<Result<(), ChangeError>>,
}

pub(crate) type Changes = mpsc::Receiver<Change>;

/// Why a changed configuration is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("its endpoints cannot be brought into the database")]
    Endpoints(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the dispatcher is ending")]
    Ending,
}

/// The dispatcher, following its files.
pub(crate) struct Reloading {
    files: ConfigFiles,
    started: Settings,
    changes: mpsc::Sender<Change>,
}

impl Reloading {
    /// With where the dispatcher takes changes from.
    pub(crate) fn new(files: ConfigFiles, started: Settings) -> (Self, Changes) {
        let (changes, taken) = mpsc::channel(1);
        (Self { files, started, changes }, taken)
    }
}

impl Reload for Reloading {
    type Config = Settings;
    type Error = ChangeError;

    fn fingerprint(&mut self) -> u64 {
        self.files.fingerprint()
    }

    fn load(&mut self) -> Result<Settings, ChangeError> {
        Ok(self.files.load()?)
    }

    async fn apply(&mut self, settings: Settings) -> Result<Vec<String>, ChangeError> {
        let (answer, answered) = oneshot::channel();
        let later = self.started.differences(&settings, &NOT_FOR_THE_NEXT_START);
        let change = Change { settings, answer };
        self.changes.send(change).await.map_err(|_| ChangeError::Ending)?;
        answered.await.map_err(|_| ChangeError::Ending)??;
        Ok(later)
    }
}
