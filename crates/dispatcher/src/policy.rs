//! What an answer means, and when a delivery is tried again. Nothing here reads a clock or draws a number.

use matchpurse_domain::time::Timestamp;
use matchpurse_providers::CallAnswer;
use matchpurse_store::calls::CallNext;
use matchpurse_store::dispatch::{AttemptOutcome, Next};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::breaker::Signal;

/// Before each attempt, in seconds after the one before it: the example of Standard Webhooks. All in all a receiver may
/// be away for three days.
pub const SCHEDULE_S: [i64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// The longest time that an answer may ask us to wait, in seconds.
pub const RETRY_AFTER_MAX_S: i64 = 86_400;

/// How long a provider is left alone that does not take our key, in seconds: only a person can do something about that,
/// and who is asked too often with a wrong key may lock it.
pub const KEY_PAUSE_S: i64 = 300;

/// How far a pause may be from its time in the schedule, in thousandths to either side: what failed together must not
/// come back together.
const JITTER_PER_MILLE: i64 = 100;

/// What came of sending a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status.
    Status {
        /// The status.
        status: u16,
        /// The seconds that `Retry-After` asks for.
        retry_after_s: Option<i64>,
        /// The beginning of a body that came with no success.
        detail: String,
    },
    /// The status endpoint says that it has arrived before.
    Confirmed,
    /// Nothing was sent.
    NotSent {
        /// Why not.
        reason: String,
    },
    /// It was sent, or may have been, and no answer came.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What the attempt is recorded as.
    pub outcome: AttemptOutcome,
    /// What becomes of the delivery.
    pub next: Next,
    /// What it says about the endpoint.
    pub signal: Signal,
}

/// What follows from a provider's answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallDecision {
    /// What the attempt is recorded as.
    pub outcome: AttemptOutcome,
    /// What becomes of the call.
    pub next: CallNext,
    /// Nobody makes a call under the same limit before then.
    pub not_before: Option<Timestamp>,
}

/// Decides about a delivery that had `attempts` attempts before this one.
pub fn decide(webhook_id: Uuid, attempts: u32, answer: &Answer, now: Timestamp) -> Decision {
    let again = |not_before: Option<Timestamp>| match scheduled(webhook_id, attempts, not_before, now) {
        None => Next::GivenUp,
        Some(at) => Next::Again { at, counts: true },
    };
    let decision = |outcome, next, signal| Decision { outcome, next, signal };
    match answer {
        Answer::Confirmed => decision(AttemptOutcome::Confirmed, Next::Delivered, Signal::Success),
        Answer::NotSent { .. } => decision(AttemptOutcome::NotSent, again(None), Signal::Failure),
        Answer::Unknown { .. } => decision(AttemptOutcome::Unknown, again(None), Signal::NoAnswer),
        Answer::Status { status, retry_after_s, .. } => {
            let not_before = retry_after_s.map(|s| now.plus_seconds(s.clamp(0, RETRY_AFTER_MAX_S)));
            match status {
                200..=299 => decision(AttemptOutcome::Delivered, Next::Delivered, Signal::Success),
                // The studio wants no more; what waits stays as it is until somebody enables the endpoint again.
                410 => {
                    decision(AttemptOutcome::Gone, Next::Again { at: now, counts: false }, Signal::Nothing)
                }
                429 | 502 | 504 => {
                    decision(AttemptOutcome::Throttled, again(not_before), Signal::Slow { not_before })
                }
                503 if not_before.is_some() => {
                    decision(AttemptOutcome::Throttled, again(not_before), Signal::Slow { not_before })
                }
                _ => decision(AttemptOutcome::Refused, again(not_before), Signal::Failure),
            }
        }
    }
}

/// Decides about a call that had `attempts` attempts before this one, by what its adapter has `read` in the answer, if
/// there was one. A provider that cannot take more without saying for how long is left alone for `window_s`.
pub fn decide_call(
    seed: Uuid,
    attempts: u32,
    answer: &Answer,
    read: Option<CallAnswer>,
    window_s: i64,
    now: Timestamp,
) -> CallDecision {
    let again =
        |not_before| scheduled(seed, attempts, not_before, now).map_or(CallNext::GivenUp, CallNext::Again);
    let decision = |outcome, next, not_before| CallDecision { outcome, next, not_before };
    match (answer, read) {
        (Answer::NotSent { .. }, _) => decision(AttemptOutcome::NotSent, again(None), None),
        (Answer::Confirmed, _) | (_, Some(CallAnswer::Taken)) => {
            decision(AttemptOutcome::Delivered, CallNext::Told, None)
        }
        (_, Some(CallAnswer::Refused)) => decision(AttemptOutcome::Refused, CallNext::Refused, None),
        // It is not about the call, which loses nothing by it.
        (_, Some(CallAnswer::KeyRefused)) => {
            let later = now.plus_seconds(KEY_PAUSE_S);
            decision(AttemptOutcome::KeyRefused, CallNext::Later(later), Some(later))
        }
        // It may be about the call: one such must not keep all others back for ever, so its schedule ends.
        (_, Some(CallAnswer::Forbidden)) => {
            let later = now.plus_seconds(KEY_PAUSE_S);
            decision(AttemptOutcome::KeyRefused, again(Some(later)), Some(later))
        }
        (Answer::Status { status, retry_after_s, .. }, _) => {
            let asked = retry_after_s.map(|s| now.plus_seconds(s.clamp(0, RETRY_AFTER_MAX_S)));
            let throttled = match status {
                429 => asked.or(Some(now.plus_seconds(window_s))),
                503 => asked,
                _ => None,
            };
            match throttled {
                Some(_) => decision(AttemptOutcome::Throttled, again(throttled), throttled),
                None => decision(AttemptOutcome::Refused, again(asked), None),
            }
        }
        (Answer::Unknown { .. }, _) => decision(AttemptOutcome::Unknown, again(None), None),
    }
}

/// When to try again after `attempts` and one more, not before the time that was asked for; none when it was the last.
fn scheduled(id: Uuid, attempts: u32, not_before: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let at = now.plus_seconds(pause_s(id, attempts.saturating_add(1))?);
    Some(not_before.map_or(at, |time| time.max(at)))
}

/// The pause before attempt number `attempt`, counted from 0; none when there is no such attempt.
fn pause_s(webhook_id: Uuid, attempt: u32) -> Option<i64> {
    let pause = *SCHEDULE_S.get(usize::try_from(attempt).ok()?)?;
    Some(pause + pause * jitter_per_mille(webhook_id, attempt) / 1_000)
}

/// From -100 to 100, spread evenly over ids and attempts, and always the same for one of them.
fn jitter_per_mille(webhook_id: Uuid, attempt: u32) -> i64 {
    let digest =
        Sha256::new().chain_update(webhook_id.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
    let number = digest.iter().take(4).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    number % (2 * JITTER_PER_MILLE + 1) - JITTER_PER_MILLE
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const ID: Uuid = Uuid::from_u128(0x1234);

    fn status(status: u16, retry_after_s: Option<i64>) -> Answer {
        Answer::Status { status, retry_after_s, detail: String::new() }
    }

    #[test]
    fn the_schedule_is_that_of_the_specification_give_or_take_a_tenth() {
        let mut spread = std::collections::BTreeSet::new();
        for id in (0..1_000).map(Uuid::from_u128) {
            for (attempts, expected) in (0_u32..).zip(&SCHEDULE_S[1..]) {
                let Next::Again { at, counts: true } = decide(id, attempts, &status(500, None), NOW).next
                else {
                    panic!("attempt {attempts} was the last");
                };
                let pause = at.seconds() - NOW.seconds();
                assert!((pause - expected).abs() * 10 <= *expected, "{pause} for {expected}");
                if *expected == 86_400 {
                    spread.insert(pause);
                }
            }
            assert_eq!(decide(id, 9, &status(500, None), NOW).next, Next::GivenUp);
        }
        assert!(spread.len() > 150, "{} different pauses", spread.len());
        assert!(spread.first() < Some(&78_600) && spread.last() > Some(&94_200), "{spread:?}");
    }

    #[test]
    fn an_answer_means_what_the_specification_says() {
        let outcome = |answer| decide(ID, 0, &answer, NOW).outcome;
        for (code, expected) in [
            (200, AttemptOutcome::Delivered),
            (204, AttemptOutcome::Delivered),
            (299, AttemptOutcome::Delivered),
            (301, AttemptOutcome::Refused),
            (304, AttemptOutcome::Refused),
            (400, AttemptOutcome::Refused),
            (404, AttemptOutcome::Refused),
            (410, AttemptOutcome::Gone),
            (429, AttemptOutcome::Throttled),
            (500, AttemptOutcome::Refused),
            (502, AttemptOutcome::Throttled),
            (503, AttemptOutcome::Refused),
            (504, AttemptOutcome::Throttled),
        ] {
            assert_eq!(outcome(status(code, None)), expected, "{code}");
        }
        assert_eq!(outcome(Answer::Confirmed), AttemptOutcome::Confirmed);
        let (reason, again) = (String::new(), String::new());
        assert_eq!(outcome(Answer::NotSent { reason }), AttemptOutcome::NotSent);
        assert_eq!(outcome(Answer::Unknown { reason: again }), AttemptOutcome::Unknown);
    }

    #[test]
    fn the_answer_may_ask_for_more_time_and_never_for_less() {
        let at = |retry_after| match decide(ID, 0, &status(429, retry_after), NOW).next {
            Next::Again { at, .. } => at.seconds() - NOW.seconds(),
            other => panic!("{other:?}"),
        };
        let scheduled = at(None);
        assert_eq!([at(Some(0)), at(Some(-5)), at(Some(1))], [scheduled; 3]);
        assert_eq!(at(Some(3_600)), 3_600);
        assert_eq!(at(Some(i64::MAX)), 86_400);
        let decided = decide(ID, 0, &status(503, Some(60)), NOW);
        assert_eq!(decided.signal, Signal::Slow { not_before: Some(NOW.plus_seconds(60)) });
    }

    #[test]
    fn a_providers_answer_means_what_its_adapter_says() {
        use CallAnswer::{Again, Forbidden, KeyRefused, Refused, Taken};
        let decided = |answer: Answer, read| decide_call(ID, 0, &answer, read, 10, NOW);
        let soon = CallNext::Again(scheduled(ID, 0, None, NOW).unwrap());
        let (reason, other) = (String::new(), String::new());
        for (answer, read, outcome, next, pause_s) in [
            (status(204, None), Some(Taken), AttemptOutcome::Delivered, CallNext::Told, None),
            (status(404, None), Some(Refused), AttemptOutcome::Refused, CallNext::Refused, None),
            (status(401, None), Some(KeyRefused), AttemptOutcome::KeyRefused, later(300), Some(300)),
            (status(403, None), Some(Forbidden), AttemptOutcome::KeyRefused, again(300), Some(300)),
            (status(500, None), Some(Again), AttemptOutcome::Refused, soon, None),
            (status(503, None), Some(Again), AttemptOutcome::Refused, soon, None),
            (status(503, Some(60)), Some(Again), AttemptOutcome::Throttled, again(60), Some(60)),
            (status(429, Some(120)), Some(Again), AttemptOutcome::Throttled, again(120), Some(120)),
            (
                status(429, Some(i64::MAX)),
                Some(Again),
                AttemptOutcome::Throttled,
                again(86_400),
                Some(86_400),
            ),
            (status(429, None), Some(Again), AttemptOutcome::Throttled, again(10), Some(10)),
            (status(500, Some(30)), Some(Again), AttemptOutcome::Refused, again(30), None),
            (Answer::NotSent { reason }, None, AttemptOutcome::NotSent, soon, None),
            (Answer::Unknown { reason: other }, None, AttemptOutcome::Unknown, soon, None),
        ] {
            let not_before = pause_s.map(|s| NOW.plus_seconds(s));
            let shown = format!("{answer:?}");
            assert_eq!(decided(answer, read), CallDecision { outcome, next, not_before }, "{shown}");
        }
        fn again(seconds: i64) -> CallNext {
            CallNext::Again(NOW.plus_seconds(seconds))
        }
        fn later(seconds: i64) -> CallNext {
            CallNext::Later(NOW.plus_seconds(seconds))
        }
        // Also the last attempt: it was none.
        let last = decide_call(ID, 9, &status(401, None), Some(KeyRefused), 10, NOW);
        assert_eq!(last.next, later(300));
        let last = decide_call(ID, 9, &status(403, None), Some(Forbidden), 10, NOW);
        assert_eq!(last.next, CallNext::GivenUp);
        let last = decide_call(ID, 9, &status(500, None), Some(Again), 10, NOW);
        assert_eq!(last.next, CallNext::GivenUp);
        let taken = decide_call(ID, 9, &status(200, None), Some(Taken), 10, NOW);
        assert_eq!(taken.next, CallNext::Told);
    }

    #[test]
    fn an_endpoint_that_is_gone_uses_up_no_attempt() {
        for attempts in [0, 9] {
            let next = decide(ID, attempts, &status(410, None), NOW).next;
            assert_eq!(next, Next::Again { at: NOW, counts: false });
        }
    }
}
