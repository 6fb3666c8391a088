use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits that double up to a limit, each shortened by chance to between a half and the whole, so that many
/// processes that lost the same broker do not come back in one instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.next.min(self.max);
        self.next = whole.saturating_mul(2);
        // A new hasher's keys are random: enough for jitter, without a dependency.
        let chance = u32::try_from(RandomState::new().hash_one(()) % 1000).unwrap_or(0);
        whole / 2 + whole * chance / 2000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(5000));
        for whole in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.next();
            assert!(wait >= millis(whole / 2) && wait <= millis(whole), "{wait:?} of {whole} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= millis(100));
    }
}
