//! How a command ends: what its exit code says, and which error leads to which.

use std::process::ExitCode;

use matchpurse_bus::RabbitError;
use matchpurse_service_kit::http_client::HttpError;
use matchpurse_settings::ConfigError;
use matchpurse_store::Error as StoreError;
use matchpurse_store::rebuild::RebuildError;

/// How a command ended; scripts go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All is well.
    Done,
    /// A check found something, or what was asked for is not there.
    Found,
    /// The command line or the configuration is wrong.
    Usage,
    /// A server is away.
    Unreachable,
    /// Anything else.
    Failed,
}

impl Ending {
    /// All of them, in the order of their codes.
    pub(crate) const ALL: [Self; 5] = [Self::Done, Self::Found, Self::Usage, Self::Unreachable, Self::Failed];

    /// The exit code. 2 is also what the parser of the command line ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Failed => 4,
        }
    }

    /// What the code means, as the help says it.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, and nothing is wrong",
            Self::Found => "a check found something, or what was asked for is not there",
            Self::Usage => "the command line or the configuration is wrong; nothing was done",
            Self::Unreachable => "the database, the broker or an address cannot be reached",
            Self::Failed => "refused, or failed in another way; the text says why",
        }
    }

    /// How a command ends that checks something.
    pub(crate) const fn of_check(clean: bool) -> Self {
        if clean { Self::Done } else { Self::Found }
    }

    /// How a command ends that had this error.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.ending();
        }
        error.chain().find_map(of_cause).unwrap_or(Self::Failed)
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

/// What a command can say itself about why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// What was asked for is not there.
    #[error("{0}")]
    NotThere(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Usage(String),
}

impl Fault {
    const fn ending(&self) -> Ending {
        match self {
            Self::NotThere(_) => Ending::Found,
            Self::Usage(_) => Ending::Usage,
        }
    }
}

/// What was asked for is not there.
pub(crate) fn not_there(text: impl Into<String>) -> anyhow::Error {
    Fault::NotThere(text.into()).into()
}

/// What was given cannot be used.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Fault::Usage(text.into()).into()
}

/// What one of an error's causes says.
fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Ending> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.ending());
    }
    if cause.is::<ConfigError>() {
        return Some(Ending::Usage);
    }
    if let Some(RebuildError::Store(error)) = cause.downcast_ref::<RebuildError>() {
        return of_store(error);
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    if let Some(error) = cause.downcast_ref::<RabbitError>() {
        return match error {
            RabbitError::Url(_) | RabbitError::Tls(_) => Some(Ending::Usage),
            RabbitError::Connect(_) | RabbitError::Handshake(_) => Some(Ending::Unreachable),
            RabbitError::Topology(_) => None,
        };
    }
    match cause.downcast_ref::<HttpError>()? {
        HttpError::Connect(_) | HttpError::Timeout { .. } | HttpError::Broken(_) => Some(Ending::Unreachable),
        HttpError::Request(_) => Some(Ending::Usage),
        _ => None,
    }
}

fn of_store(error: &StoreError) -> Option<Ending> {
    match error {
        StoreError::Url | StoreError::SslMode(_) | StoreError::Tls(_) => Some(Ending::Usage),
        StoreError::Pool(_) | StoreError::Connection(_) | StoreError::Silent(_) => Some(Ending::Unreachable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_errors_deepest_known_cause_says_the_code() {
        let silent = || anyhow::Error::new(StoreError::Silent(Duration::from_secs(1)));
        let cases = [
            (silent().context("the database cannot be reached"), 3),
            (anyhow::Error::new(StoreError::Url), 2),
            (anyhow::Error::new(StoreError::rejected("no")), 4),
            (not_there("there is no such grant").context("more"), 1),
            (usage("say who you are"), 2),
            (anyhow::anyhow!("anything"), 4),
            (anyhow::Error::new(HttpError::Timeout { limit: Duration::from_secs(1) }), 3),
            (Err::<(), _>(StoreError::Url).context("more").unwrap_err(), 2),
        ];
        for (error, code) in cases {
            assert_eq!(Ending::of_error(&error).code(), code, "{error:?}");
        }
        for (place, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(ending.code()), place);
        }
    }
}
