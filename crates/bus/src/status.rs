use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What a publisher or a worker is doing, for readiness probes. Clones show the same.
#[derive(Debug, Clone)]
pub struct Status {
    state: Arc<watch::Sender<State>>,
    /// Milliseconds from `born` to the last progress.
    progress: Arc<AtomicU64>,
    /// Nanoseconds from `born`, and one, to when the queue was last seen with nothing waiting; 0: never.
    emptied: Arc<AtomicU64>,
    born: Instant,
    /// The consumers of a worker with several queues; it is as well as the one that is worst off.
    parts: Arc<RwLock<Vec<Status>>>,
    /// Of one of these: the worker.
    whole: Option<Box<Status>>,
}

/// One moment of a [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Connected, with the topology declared; for the spool: its database answers, and has room.
    pub connected: bool,
    /// The broker has blocked publishers, for want of memory or disk.
    pub blocked: bool,
    /// A consumer is subscribed, or the spool is being read. Always false for a publisher.
    pub consuming: bool,
    /// Why not, as last seen; empty when all is well.
    pub problem: String,
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl Status {
    /// Not connected yet.
    pub fn new() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(State::default())),
            progress: Arc::new(AtomicU64::new(0)),
            emptied: Arc::new(AtomicU64::new(0)),
            born: Instant::now(),
            parts: Arc::default(),
            whole: None,
        }
    }

    /// The status of one more consumer of a worker, which from now on shows what its consumers do.
    pub(crate) fn part(&self) -> Self {
        let part = Self::new();
        self.parts.write().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        let part = Self { whole: Some(Box::new(self.clone())), ..part };
        self.take_from_parts();
        part
    }

    fn of_parts<T>(&self, of: impl Fn(&Self) -> T) -> Vec<T> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).iter().map(of).collect()
    }

    fn take_from_parts(&self) {
        let states = self.of_parts(Self::state);
        let problem = states.iter().map(|state| &state.problem).find(|problem| !problem.is_empty());
        let now = State {
            connected: states.iter().all(|state| state.connected),
            blocked: states.iter().any(|state| state.blocked),
            consuming: states.iter().all(|state| state.consuming),
            problem: problem.cloned().unwrap_or_default(),
        };
        self.change(|state| *state = now);
    }

    /// What is so now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// True when publishing is likely to succeed.
    pub fn can_publish(&self) -> bool {
        let state = self.state.borrow();
        state.connected && !state.blocked
    }

    /// True when deliveries are being taken.
    pub fn is_consuming(&self) -> bool {
        let state = self.state.borrow();
        state.connected && state.consuming
    }

    /// How long ago a worker finished a batch or saw that nothing waits. Of a worker that only looks alive,
    /// this grows while its queue does; a worker that has not begun counts from its start.
    pub fn since_progress(&self) -> Duration {
        if let Some(longest) = self.of_parts(Self::since_progress).into_iter().max() {
            return longest;
        }
        let progress = Duration::from_millis(self.progress.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(progress)
    }

    /// How long ago the broker said that nothing waits in the worker's queue, in each of its queues; none before the first time. What was
    /// published earlier than that is in somebody's hands, or it is not in this queue.
    pub fn since_empty(&self) -> Option<Duration> {
        let parts = self.of_parts(Self::since_empty);
        if !parts.is_empty() {
            return parts.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max();
        }
        let nanos = self.emptied.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.born.elapsed().saturating_sub(Duration::from_nanos(nanos)))
    }

    /// Every change, for whoever waits for one.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn progressed(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress.fetch_max(millis, Ordering::Relaxed);
    }

    /// For who consumes in another way than [`crate::Transport`]: nothing waits.
    pub fn emptied(&self) {
        let nanos = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.emptied.fetch_max(nanos.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn set_connected(&self) {
        self.change(|state| *state = State { connected: true, ..State::default() });
    }

    pub(crate) fn set_disconnected(&self, problem: String) {
        self.change(|state| *state = State { problem, ..State::default() });
    }

    pub(crate) fn set_blocked(&self, reason: Option<String>) {
        self.change(|state| {
            state.blocked = reason.is_some();
            state.problem = reason.unwrap_or_default();
        });
    }

    pub(crate) fn set_consuming(&self) {
        self.change(|state| {
            state.consuming = true;
            state.problem.clear();
        });
    }

    /// For the spool, where being connected and consuming are one.
    pub(crate) fn set_reading(&self) {
        self.change(|state| *state = State { connected: true, consuming: true, ..State::default() });
    }

    pub(crate) fn set_idle(&self, problem: String) {
        self.change(|state| {
            state.consuming = false;
            state.problem = problem;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
        if let Some(whole) = &self.whole {
            whole.take_from_parts();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_as_well_as_the_worst_of_its_consumers() {
        let worker = Status::new();
        let (one, other) = (worker.part(), worker.part());
        one.set_reading();
        assert!(!worker.is_consuming(), "one of two");
        other.set_reading();
        assert!(worker.is_consuming());
        other.set_idle("gone".to_owned());
        assert_eq!((worker.is_consuming(), worker.state().problem.as_str()), (false, "gone"));

        one.emptied();
        assert_eq!(worker.since_empty(), None, "of the other one nothing is known");
        other.emptied();
        let first = one.since_empty();
        assert!(worker.since_empty() >= first, "since the one that was empty first");
        one.progressed();
        let longest = other.since_progress();
        assert!(worker.since_progress() >= longest, "the one that stands still is the one to know of");
    }
}
