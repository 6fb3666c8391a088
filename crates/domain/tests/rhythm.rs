//! Whose silence is remarkable: sources with habits, played hour by hour.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use matchpurse_domain::rhythm::{ALARMING, Heard, HourCount, Silence, WINDOW_HOURS, silence};
use matchpurse_domain::time::Timestamp;
use proptest::prelude::*;

const HOUR_S: i64 = 3_600;
const DAY: i64 = 24;
const WEEK: i64 = 168;
/// 2026-10-05, a Monday, 00:00 UTC, in hours since 1970.
const MONDAY: i64 = 497_568;

fn at(hour: i64, second: i64) -> Timestamp {
    Timestamp::from_seconds((MONDAY + hour) * HOUR_S + second)
}

/// A source that has sent so many in each hour since Monday, the last of them at the end of the last busy one.
fn source(hours: i64, count: impl Fn(i64) -> i64) -> Heard {
    let hours: Vec<HourCount> = (0..hours)
        .map(|hour| HourCount { hour: at(hour, 0), deliveries: count(hour) })
        .filter(|hour| hour.deliveries > 0)
        .collect();
    let last = hours.last().unwrap().hour.plus_seconds(HOUR_S - 1);
    Heard { first: hours[0].hour, last, hours }
}

fn alarms(heard: &Heard, now: Timestamp) -> bool {
    silence(heard, now).is_alarming()
}

/// Noise without a generator: the same for the same numbers.
fn noise(seed: i64, hour: i64, most: i64) -> i64 {
    let mixed = (seed.wrapping_mul(6_364_136_223_846_793_005) ^ hour).wrapping_mul(1_442_695_040_888_963_407);
    (mixed >> 33).rem_euclid(most + 1)
}

fn weekend(hour: i64) -> bool {
    hour.rem_euclid(WEEK) >= 5 * DAY
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// However busy it is, and wherever in the week it stops: within half a day somebody is told, and not in the first hour.
    #[test]
    fn a_regular_source_that_stops_alarms(rate in 8_i64..100_000, lives in WEEK + 1..6 * WEEK, seed: i64) {
        let heard = source(lives, |hour| rate + noise(seed, hour, rate / 4));
        prop_assert!(!alarms(&heard, heard.last.plus_seconds(HOUR_S)));
        prop_assert!(alarms(&heard, heard.last.plus_seconds(12 * HOUR_S)), "{:?}", silence(&heard, at(lives + 12, 0)));
    }

    /// The whole working week long nobody is called; when the Saturday is silent, somebody is.
    #[test]
    fn a_weekend_source_is_not_missed_on_a_tuesday(rate in 5_i64..10_000, weeks in 2_i64..6, seed: i64) {
        let heard = source(weeks * WEEK, |hour| if weekend(hour) { rate + noise(seed, hour, rate / 2) } else { 0 });
        for hour in 0..5 * DAY {
            prop_assert!(!alarms(&heard, at(weeks * WEEK + hour, 1_800)), "hour {hour} of the week");
        }
        // It may be an hour late.
        prop_assert!(!alarms(&heard, at(weeks * WEEK + 5 * DAY + 1, 0)));
        prop_assert!(alarms(&heard, at((weeks + 1) * WEEK - 1, 0)));
    }

    /// One that grows by whatever factor a week is not silent as long as no hour is skipped, nor when one is,
    /// early, when there was little.
    #[test]
    fn a_growing_source_does_not_alarm(begin in 1_i64..50, percent in 0_i64..200, seed: i64) {
        let grown = |hour: i64| {
            let mut rate = begin * 1000;
            for _ in 0..hour / WEEK {
                rate += rate * percent / 100;
            }
            rate / 1000 + noise(seed, hour, 3)
        };
        for lives in (WEEK + 1..7 * WEEK).step_by(47) {
            let heard = source(lives, grown);
            for second in [1, 1_800, HOUR_S] {
                prop_assert!(!alarms(&heard, heard.last.plus_seconds(second)));
            }
        }
    }

    /// One that fades is expected to be as quiet as it was lately: a pause that is usual now is no alarm.
    #[test]
    fn a_fading_source_does_not_alarm(rate in 64_i64..5_000, seed: i64) {
        let faded = |hour: i64| if hour < 3 * WEEK { (rate >> (hour / WEEK * 2)) + noise(seed, hour, 2) }
                                else { i64::from(hour % 6 == 0) };
        let heard = source(4 * WEEK, faded);
        prop_assert!(!alarms(&heard, heard.last.plus_seconds(6 * HOUR_S)));
    }

    /// A longer silence is never less remarkable than a shorter one.
    #[test]
    fn it_only_grows(counts in prop::collection::vec(0_i64..200, 1..900), steps in prop::collection::vec(0_i64..7_200, 1..40)) {
        let lives = i64::try_from(counts.len()).unwrap();
        prop_assume!(counts.iter().any(|count| *count > 0));
        let heard = source(lives, |hour| counts[usize::try_from(hour).unwrap()]);
        let (mut now, mut before) = (heard.last, 0);
        for step in steps {
            now = now.plus_seconds(step);
            if let Silence::Measured { one_in, .. } = silence(&heard, now) {
                prop_assert!(one_in >= before);
                before = one_in;
            }
        }
    }

    /// Who is known for less than a week is left alone, whatever it did, and however long ago.
    #[test]
    fn a_new_source_does_not_alarm(rate in 1_i64..1_000_000, lives in 1..=WEEK, later in 0_i64..10_000) {
        let heard = source(lives, |_| rate);
        prop_assert_eq!(silence(&heard, heard.last.plus_seconds(later * HOUR_S)), Silence::TooNew);
    }

    /// No numbers are too great, and no clock too wrong.
    #[test]
    fn nothing_overflows(count: i64, last: i64, now: i64, hours in prop::collection::vec((any::<i64>(), any::<i64>()), 0..50)) {
        let hours = hours.into_iter().map(|(hour, deliveries)| HourCount { hour: Timestamp::from_micros(hour), deliveries });
        let mut heard = source(5 * WEEK, |_| count.max(1));
        heard.hours.extend(hours);
        for last in [heard.last, Timestamp::from_micros(last)] {
            heard.last = last;
            let _ = silence(&heard, Timestamp::from_micros(now));
        }
        for first in [i64::MIN, i64::MAX] {
            heard.first = Timestamp::from_micros(first);
            let _ = silence(&heard, Timestamp::from_micros(now));
        }
    }
}

#[test]
fn what_is_said_of_a_steady_source() {
    let heard = source(5 * WEEK, |_| 60);
    let after = |minutes: i64| silence(&heard, heard.last.plus_seconds(minutes * 60));
    assert_eq!(after(60), Silence::Measured { expected: 0, one_in: 1 });
    assert_eq!(after(70), Silence::Measured { expected: 10, one_in: 10_000 });
    assert_eq!(after(74), Silence::Measured { expected: 14, one_in: ALARMING });
    assert_eq!(after(24 * 60), Silence::Measured { expected: 23 * 60, one_in: 1_000_000_000 });
}

/// A match brings ten deliveries at once: what comes by tens in thirty of its hours is no more regular than thirty.
#[test]
fn deliveries_that_come_together_count_as_one() {
    let alone = source(4 * WEEK, |hour| noise(7, hour, 1));
    let tens = source(4 * WEEK, |hour| noise(7, hour, 1) * 10);
    let hours =
        |heard: &Heard| (0..).find(|hours| alarms(heard, heard.last.plus_seconds(hours * HOUR_S))).unwrap();
    let (alone, tens) = (hours(&alone), hours(&tens));
    assert!(tens * 10 > alone * 3, "{tens} hours of tens, {alone} hours of single ones");
}

/// A job at three at night: missed from four on, because three has an hour to spare.
#[test]
fn a_daily_batch_is_missed_when_it_does_not_come() {
    let heard = source(4 * WEEK, |hour| if hour % DAY == 3 { 500 } else { 0 });
    let next = 4 * WEEK + 3;
    assert!(!alarms(&heard, at(next, 3_500)));
    assert!(alarms(&heard, at(next + 1, 3_500)));
}

/// With one week known, an evening that was busy once is not believed to be so for good.
#[test]
fn one_busy_hour_of_the_first_week_is_no_habit() {
    let event = |hour: i64| if hour == 2 * DAY + 20 { 100_000 } else { 4 };
    let heard = source(WEEK + 2 * DAY + 20, event);
    let Silence::Measured { expected, .. } = silence(&heard, heard.last.plus_seconds(3 * HOUR_S)) else {
        panic!()
    };
    assert!(expected < 50_000, "{expected}");
    assert!(!alarms(&heard, heard.last.plus_seconds(3 * HOUR_S)));
}

/// Its own silence is no part of what is usual, however long it is.
#[test]
fn who_is_silent_for_months_stays_so() {
    let heard = source(5 * WEEK, |_| 3);
    assert!(alarms(&heard, heard.last.plus_seconds(50 * WINDOW_HOURS * HOUR_S)));
}
