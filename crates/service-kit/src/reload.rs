//! Taking over a configuration that has changed, without a restart.
//!
//! Files are looked at, not watched: what an orchestrator does to a mounted secret (a link that points elsewhere) and
//! what an editor does to a file (another one in its place) look alike then. A change counts when it has been seen
//! twice in a row, so that half of a file that is being written is not taken for the whole; SIGHUP takes what is there
//! at once. Whatever is wrong with the new configuration, the old one stays in force and nothing stops: it is said
//! once in the log, in the health report, which stays ready, and by [`CONFIG_GOOD`].

use std::error::Error;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::health::Check;

/// 1 while the configuration in the files is the one in force, 0 while it cannot be used and an older one is.
pub const CONFIG_GOOD: &str = "matchpurse_config_good";
/// Changed configurations, by `outcome`: `taken` or `refused`.
pub const CONFIG_RELOADS_TOTAL: &str = "matchpurse_config_reloads_total";

/// Between two looks at the files.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A configuration in files, and how it is taken over.
pub trait Reload: Send {
    /// What a good configuration is.
    type Config: Send;
    /// Why there is none.
    type Error: Error + Send + 'static;

    /// A number that changes when any of the files does. It says nothing of what is in them.
    fn fingerprint(&mut self) -> u64;

    /// Reads the configuration.
    ///
    /// # Errors
    /// When it cannot be used.
    fn load(&mut self) -> Result<Self::Config, Self::Error>;

    /// Takes it over, and returns the keys whose changes take effect at the next start only.
    ///
    /// # Errors
    /// When it cannot be used after all; then everything is as before.
    fn apply(
        &mut self,
        config: Self::Config,
    ) -> impl Future<Output = Result<Vec<String>, Self::Error>> + Send;
}

/// Follows the files for ever. `loaded` is their fingerprint from before the configuration in force was read; `shown` is
/// how the health report tells of it.
pub async fn follow(mut what: impl Reload, loaded: u64, every: Duration, shown: Check) {
    let mut asked = signal(SignalKind::hangup()).ok();
    let mut state = State { tried: loaded, seen: loaded };
    gauge!(CONFIG_GOOD).set(1.0);
    shown.ready();
    loop {
        let forced = tokio::select! {
            () = sleep_until(Instant::now() + every) => false,
            () = hung_up(&mut asked) => true,
        };
        if state.is_due(what.fingerprint(), forced) {
            take_over(&mut what, &shown).await;
        }
    }
}

/// Returns at the next SIGHUP; never where it cannot be listened for.
async fn hung_up(asked: &mut Option<Signal>) {
    match asked {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

struct State {
    /// The fingerprint of what was loaded, or refused, last.
    tried: u64,
    /// That of the last look.
    seen: u64,
}

impl State {
    fn is_due(&mut self, found: u64, forced: bool) -> bool {
        let settled = found == self.seen;
        self.seen = found;
        let due = forced || (settled && found != self.tried);
        if due {
            self.tried = found;
        }
        due
    }
}

async fn take_over(what: &mut impl Reload, shown: &Check) {
    let outcome = match what.load() {
        Ok(config) => what.apply(config).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(later) => {
            gauge!(CONFIG_GOOD).set(1.0);
            counter!(CONFIG_RELOADS_TOTAL, "outcome" => "taken").increment(1);
            shown.ready();
            tracing::info!("the configuration has been read again and is in force");
            if !later.is_empty() {
                tracing::warn!(keys = later.join(", "), "these changes take effect at the next start only");
            }
        }
        Err(error) => {
            gauge!(CONFIG_GOOD).set(0.0);
            counter!(CONFIG_RELOADS_TOTAL, "outcome" => "refused").increment(1);
            shown.not_ready(format!("the changed configuration is not in force: {}", chain(&error)));
            tracing::error!(
                error = &error as &dyn Error,
                "the changed configuration cannot be used; the old one stays in force"
            );
        }
    }
}

/// The error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_has_settled_and_once() {
        let mut state = State { tried: 1, seen: 1 };
        assert!(!state.is_due(1, false));
        assert!(!state.is_due(2, false), "it may be half of it");
        assert!(!state.is_due(3, false), "it was");
        assert!(state.is_due(3, false));
        assert!(!state.is_due(3, false), "it has been tried");
    }

    #[test]
    fn who_asks_gets_it_at_once_and_again() {
        let mut state = State { tried: 1, seen: 1 };
        assert!(state.is_due(2, true));
        assert!(!state.is_due(2, false));
        assert!(state.is_due(2, true));
    }
}
