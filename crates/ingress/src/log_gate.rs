use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// At most one line in this time: anybody can cause refusals, and a broker that is away causes one a
/// delivery. All are counted by the metrics.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Lets one log line through in a while and counts those that it holds back.
#[derive(Debug)]
pub(crate) struct LogGate {
    started: Instant,
    /// Milliseconds from `started` to the time at which the next line may pass.
    open_at_ms: AtomicU64,
    held_back: AtomicU64,
}

impl LogGate {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), open_at_ms: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// How many lines were held back since the last one that passed; `None` when this one is to be, too.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(self.started.elapsed())
    }

    fn pass_at(&self, elapsed: Duration) -> Option<u64> {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let open_at = self.open_at_ms.load(Ordering::Relaxed);
        let next = milliseconds(elapsed.saturating_add(LINE_EVERY));
        // Of several threads that find it open, the one that closes it passes.
        let passes = milliseconds(elapsed) >= open_at
            && self.open_at_ms.compare_exchange(open_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if passes {
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_says_how_many_were_held_back() {
        let gate = LogGate::new();
        let at = |milliseconds| gate.pass_at(Duration::from_millis(milliseconds));
        assert_eq!(at(5), Some(0));
        assert_eq!(at(6), None);
        assert_eq!(at(1004), None);
        assert_eq!(at(1005), Some(2));
        assert_eq!(at(9000), Some(0));
    }
}
