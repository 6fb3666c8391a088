//! What is known of a source whose provider is called, whatever it is called for.

use std::time::Duration;

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{CallLimit, SettingsError};
use matchpurse_service_kit::config::{Problem, Reason, join};
use matchpurse_settings::SourceSettings;
use matchpurse_store::calls::{Budget, CLOCKS_APART_S};
use matchpurse_store::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};

/// The role of the keys that providers are called with: `keys.api`. Others are none of this program's business.
const ROLE: &str = "api";

/// What stands for a key in what is kept of an answer, and how much of one, at its end, is taken for it.
const BLOT: &str = "[key]";
const KEY_PART_MIN: usize = 4;

/// Between attempts to write down what came of a call, while the database is away.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How a source's provider is called: under which limit, and with keys that must not be kept of an answer.
pub(crate) struct Access {
    pub(crate) source: SourceName,
    pub(crate) budget: Budget,
    pub(crate) window_s: i64,
    keys: Vec<SecretString>,
}

impl Access {
    pub(crate) fn new(name: &SourceName, source: &SourceSettings, limit: CallLimit) -> Self {
        let budget = Budget { id: limit.id, slots: limit.calls };
        let keys = source.keys(ROLE).iter().map(|key| key.expose().to_owned().into()).collect();
        Self { source: name.clone(), budget, window_s: limit.window_s, keys }
    }

    /// Whether it is the same source under the same limit.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        (&self.source, self.budget, self.window_s) == (&other.source, other.budget, other.window_s)
    }

    /// An answer's words without the keys: who does not take one may say which that was.
    pub(crate) fn without_keys(&self, text: String) -> String {
        self.keys.iter().fold(text, |text, key| without(text, key.expose_secret()))
    }

    /// From when on the provider does not count a call any more that has ended by then.
    pub(crate) fn slot_after(&self, ended: Timestamp) -> Timestamp {
        ended.plus_seconds(self.window_s.saturating_add(CLOCKS_APART_S))
    }
}

/// A text without a secret, also where its end is within it.
pub(crate) fn without(text: String, secret: &str) -> String {
    if secret.is_empty() {
        return text;
    }
    // The beginning of an answer may end within the key.
    let cut = (1..secret.len())
        .rev()
        .filter(|end| secret.is_char_boundary(*end))
        .find(|end| *end >= KEY_PART_MIN && secret.get(..*end).is_some_and(|part| text.ends_with(part)));
    let whole = text.replace(secret, BLOT);
    match cut.and_then(|end| whole.strip_suffix(secret.get(..end)?)) {
        Some(rest) => format!("{rest}{BLOT}"),
        None => whole,
    }
}

/// A source lacks what its provider is to be called with.
pub(crate) fn problem(source: &SourceName, error: &SettingsError) -> Problem {
    let key = join("sources", source.as_str());
    Problem { key, origin: None, reason: Reason::Invalid(error.to_string()) }
}

/// Writes what came of a call, again and again while the database is away and the lease holds.
pub(crate) async fn until_written<F>(
    lease_ends: Instant,
    write: impl Fn() -> F,
) -> matchpurse_store::Result<bool>
where
    F: Future<Output = matchpurse_store::Result<bool>>,
{
    loop {
        match write().await {
            Err(error) if error.is_transient() && Instant::now() + WRITE_AGAIN_AFTER < lease_ends => {
                sleep(WRITE_AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}
