//! What a service says about itself: named checks that its parts keep up to date.
//!
//! *Ready* means that every check is, but for those that are only shown. *Alive* means that no loop has stopped turning: a check may promise
//! progress within a limit, and a service that breaks the promise looks alive and is not, so both readiness
//! and liveness fail and the orchestrator starts it anew. A loop reports progress whenever it turns, also
//! when there is nothing to do or a server is away: those make it not ready at most.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The checks of one service; clones share them.
#[derive(Debug, Clone)]
pub struct Health {
    service: &'static str,
    checks: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// The handle by which a part of the service keeps its check up to date.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

#[derive(Debug)]
struct State {
    /// Why it is not ready; `None` when it is.
    not_ready: Option<String>,
    /// Whether the service is not ready without it.
    needed: bool,
    progress_at: Instant,
    progress_within: Option<Duration>,
}

/// What a service says about itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The service's name.
    pub service: &'static str,
    /// Whether every check that is needed is ready.
    pub ready: bool,
    /// Whether every check that promised progress made it.
    pub alive: bool,
    /// The checks by name.
    pub checks: Vec<CheckReport>,
}

/// One check of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether the service is not ready without it.
    pub needed: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds since it last made progress or changed.
    pub progress_age_ms: u64,
    /// Whether it broke its promise of progress.
    pub stalled: bool,
}

impl Health {
    /// A service without checks, which is ready.
    pub fn new(service: &'static str) -> Self {
        Self { service, checks: Arc::default() }
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Adds a check; it is not ready until its part says so.
    pub fn check(&self, name: &'static str) -> Check {
        self.add(name, None, true)
    }

    /// Adds a check that is shown, and without which the service is ready all the same.
    pub fn note(&self, name: &'static str) -> Check {
        self.add(name, None, false)
    }

    /// Adds a check that promises [`Check::progress`] at least every `limit`.
    pub fn check_with_progress(&self, name: &'static str, limit: Duration) -> Check {
        self.add(name, Some(limit), true)
    }

    /// Whether every check that is needed is ready now.
    pub fn is_ready(&self) -> bool {
        self.report().ready
    }

    /// What the service says about itself now.
    pub fn report(&self) -> Report {
        self.report_at(Instant::now())
    }

    fn report_at(&self, now: Instant) -> Report {
        let checks: Vec<CheckReport> =
            self.lock().iter().map(|(name, state)| state.report(name, now)).collect();
        Report {
            service: self.service,
            ready: checks.iter().all(|check| check.ready || !check.needed),
            alive: checks.iter().all(|check| !check.stalled),
            checks,
        }
    }

    fn add(&self, name: &'static str, progress_within: Option<Duration>, needed: bool) -> Check {
        let not_ready = Some("starting".to_owned());
        let state = State { not_ready, needed, progress_at: Instant::now(), progress_within };
        self.lock().insert(name, state);
        Check { name, health: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        // A panic elsewhere leaves a whole state behind: every change is one assignment.
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// It works; this counts as progress.
    pub fn ready(&self) {
        self.change(|state| state.not_ready = None);
    }

    /// It does not work, for `reason`, which is shown to operators; this counts as progress, because
    /// whoever says so is turning.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.change(|state| state.not_ready = Some(reason));
    }

    /// It is turning.
    pub fn progress(&self) {
        self.change(|_| ());
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.health.lock().get_mut(self.name) {
            change(state);
            state.progress_at = Instant::now();
        }
    }
}

impl State {
    fn report(&self, name: &'static str, now: Instant) -> CheckReport {
        let age = now.saturating_duration_since(self.progress_at);
        let limit = self.progress_within.filter(|limit| age > *limit);
        let reason = match (limit, &self.not_ready) {
            (Some(limit), _) => Some(format!(
                "no progress for {} ms, promised every {} ms",
                age.as_millis(),
                limit.as_millis()
            )),
            (None, reason) => reason.clone(),
        };
        CheckReport {
            name,
            ready: reason.is_none(),
            needed: self.needed,
            reason,
            progress_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            stalled: limit.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_every_check_is() {
        let health = Health::new("worker");
        assert!(health.is_ready());
        let broker = health.check("broker");
        let database = health.check("database");
        assert!(!health.is_ready());
        broker.ready();
        assert!(!health.is_ready());
        database.ready();
        assert!(health.is_ready());
        broker.not_ready("connection refused");
        let report = health.report();
        assert!(!report.ready);
        assert!(report.alive, "an absent server is no reason to be started anew");
        assert_eq!(report.checks[0].reason.as_deref(), Some("connection refused"));
    }

    #[test]
    fn a_note_is_shown_and_keeps_nobody_from_being_ready() {
        let health = Health::new("worker");
        health.check("broker").ready();
        health.note("relay").not_ready("waits");
        let report = health.report();
        assert!(report.ready && report.alive);
        assert_eq!((report.checks[1].ready, report.checks[1].reason.as_deref()), (false, Some("waits")));
    }

    #[test]
    fn a_loop_that_stopped_turning_is_neither_ready_nor_alive() {
        let health = Health::new("worker");
        let consumer = health.check_with_progress("consumer", Duration::from_secs(30));
        let other = health.check("other");
        consumer.ready();
        other.ready();
        let now = Instant::now();
        let in_time = health.report_at(now + Duration::from_secs(29));
        assert!(in_time.ready && in_time.alive);
        let late = health.report_at(now + Duration::from_secs(31));
        assert!(!late.ready && !late.alive);
        let reason = late.checks[0].reason.clone().unwrap();
        assert!(reason.ends_with("promised every 30000 ms"), "{reason}");
        assert!(late.checks[1].ready && !late.checks[1].stalled, "the other promised nothing");
        consumer.progress();
        assert!(health.report().alive);
    }
}
