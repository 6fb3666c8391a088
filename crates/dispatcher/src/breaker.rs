//! How an endpoint fares, and what may be sent to it: its circuit breaker, and its width.
//!
//! ```text
//!            failures in a row              the pause is over
//!   closed ────────────────────▶ open ──────────────────────────▶ half open
//!     ▲                           ▲      one delivery is a probe      │
//!     │                           └────────── it failed ──────────────┤  (a pause twice as long)
//!     └──────────────────────────────── it arrived ───────────────────┘
//! ```
//!
//! The width is how many sends the endpoint can take at once. It is halved by every answer that says "too much" and by
//! every one that does not come, and doubled by each that is good.

use std::time::Duration;

use matchpurse_domain::time::Timestamp;
use matchpurse_store::dispatch::Health;

/// How long an endpoint is left alone that answers "too much" and does not say for how long, in seconds.
pub const SLOW_PAUSE_S: i64 = 5;

/// The bounds of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open the first time.
    pub pause_min: Duration,
    /// How long it stays open at most.
    pub pause_max: Duration,
    /// Sends at once to an endpoint that is well.
    pub width_max: u32,
}

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It works.
    Success,
    /// It does not, with this delivery at least.
    Failure,
    /// It did not answer in time.
    NoAnswer,
    /// It cannot take so much, maybe until a time.
    Slow {
        /// When it asks to be tried again.
        not_before: Option<Timestamp>,
    },
    /// Nothing that would be of use.
    Nothing,
}

/// What may be sent to an endpoint now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// So many at once.
    Open(u32),
    /// One, to see whether it is back.
    Probe,
    /// Nothing before this time.
    Paused(Timestamp),
}

/// What may be sent to an endpoint that fares so.
pub fn gate(health: &Health, now: Timestamp, options: &BreakerOptions) -> Gate {
    match health.paused_until {
        Some(until) if until > now => Gate::Paused(until),
        _ if health.openings > 0 => Gate::Probe,
        _ => Gate::Open(health.width.unwrap_or(options.width_max).min(options.width_max)),
    }
}

/// How an endpoint fares after an attempt; `probe` says whether that was the one that was to find out.
pub fn after(
    health: Health,
    signal: Signal,
    probe: bool,
    now: Timestamp,
    options: &BreakerOptions,
) -> Health {
    match signal {
        Signal::Nothing => health,
        Signal::Success => succeeded(health, now, options),
        Signal::Failure => failed(health, probe, now, options),
        Signal::NoAnswer => failed(narrower(health, options), probe, now, options),
        Signal::Slow { not_before } => {
            let until = not_before.unwrap_or(now).max(now.plus_seconds(SLOW_PAUSE_S));
            let after = failed(narrower(health, options), probe, now, options);
            Health { paused_until: after.paused_until.max(Some(until)), ..after }
        }
    }
}

fn succeeded(health: Health, now: Timestamp, options: &BreakerOptions) -> Health {
    let width = health.width.map(|width| width.saturating_mul(2)).filter(|width| *width < options.width_max);
    // It asked for a pause, and an answer to what was sent before that does not end it. A breaker that is open only
    // because of failures is closed by any success.
    let asked = health.paused_until.filter(|until| health.openings == 0 && *until > now);
    Health { failures: 0, openings: 0, width, paused_until: asked }
}

fn failed(health: Health, probe: bool, now: Timestamp, options: &BreakerOptions) -> Health {
    let failures = health.failures.saturating_add(1);
    // What was sent before it opened says nothing new; and as long as it is open, nothing else is sent.
    let opens = if health.openings > 0 { probe } else { failures >= options.failures };
    if !opens {
        return Health { failures, ..health };
    }
    let openings = health.openings.saturating_add(1);
    let until = now.plus_seconds(pause_s(openings, options));
    // The pause of a probe was its lease; it is over with the answer.
    let asked = if probe { None } else { health.paused_until };
    // When it closes, it begins small.
    Health { failures, openings, width: Some(1), paused_until: asked.max(Some(until)) }
}

fn narrower(health: Health, options: &BreakerOptions) -> Health {
    let width = health.width.unwrap_or(options.width_max) / 2;
    Health { width: Some(width.max(1)), ..health }
}

/// How long the breaker stays open for the `openings`-th time.
fn pause_s(openings: u32, options: &BreakerOptions) -> i64 {
    let doublings = openings.saturating_sub(1).min(30);
    let pause = options.pause_min.saturating_mul(1 << doublings).min(options.pause_max);
    i64::try_from(pause.as_secs()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const OPTIONS: BreakerOptions = BreakerOptions {
        failures: 3,
        pause_min: Duration::from_secs(10),
        pause_max: Duration::from_secs(60),
        width_max: 8,
    };

    /// What is seen of a health: what may be sent, and how many failures there were.
    fn seen(health: &Health, now: Timestamp) -> String {
        match gate(health, now, &OPTIONS) {
            Gate::Open(width) => format!("{width} ({})", health.failures),
            Gate::Probe => format!("probe ({})", health.failures),
            Gate::Paused(until) => {
                format!("paused {} ({})", until.seconds() - now.seconds(), health.failures)
            }
        }
    }

    /// Lives of endpoints: at a second, a signal, and what is seen then. A probe is one that is sent while the
    /// breaker is half open.
    #[test]
    #[expect(clippy::type_complexity, reason = "it is a table")]
    fn an_endpoint_lives_as_told() {
        let fail = Signal::Failure;
        let asks = |s| Signal::Slow { not_before: Some(NOW.plus_seconds(s)) };
        let lives: [(&str, Vec<(i64, Signal, &str)>); 6] = [
            ("a few failures", vec![(0, fail, "8 (1)"), (1, fail, "8 (2)"), (2, Signal::Success, "8 (0)")]),
            (
                "it dies and comes back",
                vec![
                    (0, fail, "8 (1)"),
                    (0, fail, "8 (2)"),
                    (0, fail, "paused 10 (3)"),
                    // Sent before it opened.
                    (1, fail, "paused 9 (4)"),
                    (10, fail, "paused 20 (5)"),
                    (30, fail, "paused 40 (6)"),
                    (70, fail, "paused 60 (7)"),
                    (130, fail, "paused 60 (8)"),
                    (200, Signal::Success, "2 (0)"),
                    (200, Signal::Success, "4 (0)"),
                    (200, Signal::Success, "8 (0)"),
                    (201, fail, "8 (1)"),
                ],
            ),
            (
                "it hangs",
                vec![
                    (0, Signal::NoAnswer, "4 (1)"),
                    (0, Signal::NoAnswer, "2 (2)"),
                    (0, Signal::Success, "4 (0)"),
                    (0, Signal::NoAnswer, "2 (1)"),
                    (0, Signal::NoAnswer, "1 (2)"),
                    (0, Signal::NoAnswer, "paused 10 (3)"),
                ],
            ),
            (
                "it asks for time, and what was sent before arrives",
                vec![
                    (0, asks(100), "paused 100 (1)"),
                    (1, Signal::Success, "paused 99 (0)"),
                    (100, Signal::Success, "8 (0)"),
                ],
            ),
            (
                "it asks for time without a number",
                vec![(0, Signal::Slow { not_before: None }, "paused 5 (1)"), (5, Signal::Success, "8 (0)")],
            ),
            (
                "it asks for more time than the breaker would give",
                vec![
                    (0, fail, "8 (1)"),
                    (0, fail, "8 (2)"),
                    (0, asks(1_000), "paused 1000 (3)"),
                    (1_000, fail, "paused 20 (4)"),
                ],
            ),
        ];
        for (life, steps) in lives {
            let mut health = Health::default();
            for (at, signal, expected) in steps {
                let now = NOW.plus_seconds(at);
                let probe = gate(&health, now, &OPTIONS) == Gate::Probe;
                // Who probes holds the endpoint for as long as the lease.
                if probe {
                    health.paused_until = Some(now.plus_seconds(3_600));
                }
                health = after(health, signal, probe, now, &OPTIONS);
                assert_eq!(seen(&health, now), expected, "{life}, at {at} s");
            }
        }
    }

    #[test]
    fn an_answer_that_says_nothing_changes_nothing() {
        let health = Health { failures: 2, openings: 1, width: Some(3), paused_until: Some(NOW) };
        assert_eq!(after(health, Signal::Nothing, true, NOW, &OPTIONS), health);
    }
}
