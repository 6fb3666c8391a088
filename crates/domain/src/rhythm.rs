//! A source's usual rhythm, and whether its silence fits into it.
//!
//! What is known of a source is how many deliveries came in each hour. From the four weeks before its last delivery
//! follows how many are usual in each hour of the week; so a source that is busy at weekends only is not missed on a
//! Tuesday. The silence itself is no part of them, or it would become the habit.
//!
//! **How many would have come.** The usual numbers of the hours since the last delivery are added up, with three
//! reservations, each of which can only make the silence less remarkable:
//! * The first hour after the last delivery counts nothing: an hour's count does not say when in the hour they come.
//! * In the last hour no more is expected than was usual the hour before: who begins an hour late, because clocks were
//!   put forward or a job takes longer, is not silent yet. A source that is busy around the clock loses nothing by it.
//! * A source whose last week was quieter than its four is expected to be as quiet as in the last.
//!
//! **Fallback.** While there are less than two weeks, an hour of the week was seen once. It counts then for no more
//! than the same hour of the other days does in the mean. With less than a week, or with few hours in which anything
//! came at all, nothing is said: [`Silence::TooNew`].
//!
//! **How improbable that is.** Were deliveries independent, none would come where `n` are expected once in `eⁿ` times.
//! They are not: a match brings many, and weeks differ. So `n` is divided by how much more the counts of the same hour
//! vary from week to week than independent ones would (their variance over their mean, at least 1); in the first two
//! weeks by how much all hours vary, which is more. From one in a million on, a silence is an alarm.
//!
//! Everything is counted in integers, so it is the same wherever it is asked. Hours are those of UTC.

use crate::time::Timestamp;

/// How much of the past decides what is usual.
pub const WINDOW_HOURS: i64 = 4 * WEEK_HOURS;
/// A silence is an alarm when in so many there is one like it.
pub const ALARMING: u64 = 1_000_000;

const HOUR_US: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;
const WEEK_HOURS: i64 = 7 * DAY_HOURS;
/// Of an hour of the week that was seen once nobody knows how much it varies.
const REPEATED_HOURS: i64 = 2 * WEEK_HOURS;
/// Hours with anything in them before anything is said.
const BUSY_HOURS_MIN: usize = 20;
/// More in an hour are taken for so many, so that no sum overflows.
const COUNT_MAX: i64 = 1_000_000_000;
/// Rarer than one in 10 to the power of this is not told apart.
const POWER_MAX: u32 = 9;

/// The deliveries of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourCount {
    /// Any time in it.
    pub hour: Timestamp,
    /// How many came.
    pub deliveries: i64,
}

/// When a source was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// In its first hour ever.
    pub first: Timestamp,
    /// When its last delivery came.
    pub last: Timestamp,
    /// Its hours, each once, in any order; one that is not among them had no delivery. Those that are
    /// [`WINDOW_HOURS`] older than the last do not matter.
    pub hours: Vec<HourCount>,
}

/// What is to be said of a source that was not heard since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Too little is known of the source's habits to say anything.
    TooNew,
    /// Measured by its rhythm.
    Measured {
        /// How many deliveries would have come by now.
        expected: i64,
        /// Of so many silences one is as long: a power of ten, 1,000,000,000 at most.
        one_in: u64,
    },
}

impl Silence {
    /// Whether somebody should look.
    pub const fn is_alarming(self) -> bool {
        matches!(self, Self::Measured { one_in, .. } if one_in >= ALARMING)
    }
}

/// Measures the silence between a source's last delivery and `now` by its rhythm.
pub fn silence(heard: &Heard, now: Timestamp) -> Silence {
    let Some(rhythm) = Rhythm::of(heard) else { return Silence::TooNew };
    let thousandths = rhythm.expected(heard.last, now);
    // Thousandths, of deliveries that say something of their own.
    let told = thousandths.saturating_mul(1000).checked_div(rhythm.variation).unwrap_or(0);
    // The decimal logarithm of e to the power of that: 0.4343 of it.
    let power = told.saturating_mul(4343).checked_div(10_000_000).unwrap_or(0);
    let power = u32::try_from(power).unwrap_or(POWER_MAX).min(POWER_MAX);
    let expected = i64::try_from(thousandths.checked_div(1000).unwrap_or(0)).unwrap_or(i64::MAX);
    Silence::Measured { expected, one_in: 10_u64.saturating_pow(power) }
}

/// What is usual.
struct Rhythm {
    /// Deliveries of each hour of the week, in thousandths.
    usual: Vec<i128>,
    /// How much more the counts vary than those of independent deliveries, in thousandths; at least 1000.
    variation: i128,
    /// The last week over the mean week, as a fraction; at most 1.
    waning: (i128, i128),
}

impl Rhythm {
    /// None where too little is known.
    fn of(heard: &Heard) -> Option<Self> {
        let end = hour_of(heard.last);
        // The first hour had begun when the source was heard first.
        let begin = hour_of(heard.first).saturating_add(1).max(end.saturating_sub(WINDOW_HOURS));
        let known = end.saturating_sub(begin);
        if known < WEEK_HOURS {
            return None;
        }
        let mut counts = vec![0_i128; usize::try_from(known).ok()?];
        for hour in &heard.hours {
            let place = hour_of(hour.hour).saturating_sub(begin);
            if let Some(count) = usize::try_from(place).ok().and_then(|place| counts.get_mut(place)) {
                *count = hour.deliveries.clamp(0, COUNT_MAX).into();
            }
        }
        if counts.iter().filter(|count| **count > 0).count() < BUSY_HOURS_MIN {
            return None;
        }
        let (known, week) = (i128::from(known), usize::try_from(WEEK_HOURS).ok()?);
        let last_week = sum(counts.iter().rev().take(week)).saturating_mul(known);
        let mean_week = sum(counts.iter()).saturating_mul(WEEK_HOURS.into());
        let of = |period: i64, slot: i64| -> Vec<i128> {
            let first = usize::try_from(slot.saturating_sub(begin).rem_euclid(period)).unwrap_or(0);
            let step = usize::try_from(period).unwrap_or(usize::MAX);
            counts.iter().skip(first).step_by(step).copied().collect()
        };
        let by_week: Vec<Vec<i128>> = (0..WEEK_HOURS).map(|slot| of(WEEK_HOURS, slot)).collect();
        let mut usual: Vec<i128> = by_week.iter().map(|counts| mean(counts)).collect();
        let variation = if known >= REPEATED_HOURS.into() {
            variation(&by_week)
        } else {
            let by_day: Vec<i128> = (0..DAY_HOURS).map(|slot| mean(&of(DAY_HOURS, slot))).collect();
            for (own, days) in usual.iter_mut().zip(by_day.iter().cycle()) {
                *own = (*own).min(*days);
            }
            variation(&[counts])
        };
        Some(Self { usual, variation, waning: (last_week.min(mean_week), mean_week) })
    }

    /// How many would have come since the last, in thousandths.
    fn expected(&self, last: Timestamp, now: Timestamp) -> i128 {
        let begin = last.micros().saturating_add(HOUR_US);
        // What is four weeks old already is alarming or never will be.
        let end = now.micros().min(begin.saturating_add(WINDOW_HOURS.saturating_mul(HOUR_US)));
        let lately = end.saturating_sub(HOUR_US).max(begin);
        let before = add_up(begin, lately, |hour| self.usual_in(hour));
        let after =
            add_up(lately, end, |hour| self.usual_in(hour).min(self.usual_in(hour.saturating_sub(1))));
        let (last_week, mean_week) = self.waning;
        before.saturating_add(after).saturating_mul(last_week).checked_div(mean_week).unwrap_or(0)
    }

    fn usual_in(&self, hour: i64) -> i128 {
        let slot = usize::try_from(hour.rem_euclid(WEEK_HOURS)).unwrap_or(0);
        self.usual.get(slot).copied().unwrap_or(0)
    }
}

/// What `of` gives for an hour, for each hour between two times and by how much of it lies between them.
fn add_up(begin: i64, end: i64, of: impl Fn(i64) -> i128) -> i128 {
    let (mut at, mut total) = (begin, 0_i128);
    while at < end {
        let hour = at.div_euclid(HOUR_US);
        let next = hour.saturating_add(1).saturating_mul(HOUR_US).min(end);
        total = total.saturating_add(of(hour).saturating_mul(next.saturating_sub(at).into()));
        at = next;
    }
    total.checked_div(HOUR_US.into()).unwrap_or(0)
}

/// The variance of counts that belong together over their mean, in thousandths and over all that belong together;
/// at least 1000, as of independent deliveries.
fn variation(groups: &[Vec<i128>]) -> i128 {
    let (mut chi, mut freedom) = (0_i128, 0_i128);
    for counts in groups {
        let (many, total) = (size(counts), sum(counts.iter()));
        let scale = many.saturating_mul(total);
        if many < 2 || scale == 0 {
            continue;
        }
        for count in counts {
            // (count - mean)² / mean, with numerator and denominator multiplied by `many` twice.
            let off = count.saturating_mul(many).saturating_sub(total);
            let squared = off.saturating_mul(off).saturating_mul(1000);
            chi = chi.saturating_add(squared.checked_div(scale).unwrap_or(0));
        }
        freedom = freedom.saturating_add(many.saturating_sub(1));
    }
    chi.checked_div(freedom).unwrap_or(0).max(1000)
}

/// In thousandths.
fn mean(counts: &[i128]) -> i128 {
    sum(counts.iter()).saturating_mul(1000).checked_div(size(counts)).unwrap_or(0)
}

fn sum<'c>(counts: impl Iterator<Item = &'c i128>) -> i128 {
    counts.fold(0, |sum, count| sum.saturating_add(*count))
}

fn size(counts: &[i128]) -> i128 {
    i128::try_from(counts.len()).unwrap_or(i128::MAX)
}

const fn hour_of(at: Timestamp) -> i64 {
    at.micros().div_euclid(HOUR_US)
}
