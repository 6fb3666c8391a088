use std::time::Duration;

/// The pause after the `attempts`-th attempt in vain (from 1): `min`, doubled with each, at most `max`.
pub(crate) fn backoff(min: Duration, max: Duration, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(30);
    min.saturating_mul(1_u32 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pause = |attempts| backoff(Duration::from_millis(200), Duration::from_secs(60), attempts);
        let millis: Vec<u128> = [0, 1, 2, 3, 9, 10, u32::MAX].map(|n| pause(n).as_millis()).into();
        assert_eq!(millis, [200, 200, 400, 800, 51_200, 60_000, 60_000]);
    }
}
