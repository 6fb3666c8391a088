use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart from longer ones: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// This many surprises are kept whole; the others are only counted.
const SURPRISES_KEPT: usize = 20;
/// As much of an answer as a surprise shows, in characters.
const SHOWN_CHARS: usize = 300;

/// What came of playing a plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Requests of the plan that have their final answer, repeats and forgeries among them.
    pub done: u64,
    /// Requests of the plan.
    pub planned: u64,
    /// Requests that were sent, attempts after a failure among them.
    pub sent: u64,
    /// Requests that were taken: 2xx, or the 422 of what had to be parked as unreadable.
    pub accepted: u64,
    /// Of them repeats of a delivery that had been planned before.
    pub repeats: u64,
    /// Requests that were refused with 401.
    pub refused: u64,
    /// Attempts after which the same request was sent again: 429, 5xx and broken connections.
    pub retried: u64,
    /// Requests that were given up at the deadline, or cannot be sent at all.
    pub given_up: u64,
    /// Requests that had been taken before, by the journal.
    pub skipped: u64,
    /// Requests that were lost on purpose.
    pub lost: u64,
    /// Answers by status; 0 for an attempt without an answer.
    pub by_status: BTreeMap<u16, u64>,
    /// Attempts without an answer, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Answers that were not the ones that had to come.
    pub surprising: u64,
    /// The first of them.
    pub surprises: Vec<Surprise>,
    /// From when a request was due until its final answer, over all attempts.
    pub latency: Latency,
    /// The same for single attempts that were answered, from when they were sent.
    pub attempt_latency: Latency,
    /// From the first request to the last answer, in milliseconds.
    pub elapsed_ms: u64,
}

/// An answer that was not the one that had to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surprise {
    /// The source.
    pub source: String,
    /// The kind of life.
    pub kind: String,
    /// What was forged about it, if anything.
    pub forgery: Option<String>,
    /// The statuses that had to come.
    pub expected: String,
    /// The status that came.
    pub found: u16,
    /// The beginning of the answer's body.
    pub answer: String,
}

/// Times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half took no longer.
    pub p50_us: u64,
    /// 90 percent took no longer.
    pub p90_us: u64,
    /// 99 percent took no longer.
    pub p99_us: u64,
    /// 99.9 percent took no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// How far the playing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that have their final answer.
    pub done: u64,
    /// Requests of the plan.
    pub planned: u64,
    /// Requests that were taken.
    pub accepted: u64,
    /// Of them repeats.
    pub repeats: u64,
    /// Requests that were refused with 401.
    pub refused: u64,
    /// Attempts that had to be made again.
    pub retried: u64,
    /// Since the beginning.
    pub elapsed: Duration,
}

impl Report {
    /// True when everything was answered as it had to be.
    pub const fn is_as_planned(&self) -> bool {
        self.surprising == 0 && self.given_up == 0 && self.done == self.planned
    }

    /// Requests with a final answer in a second, rounded down.
    pub fn per_second(&self) -> u64 {
        self.done.saturating_mul(1_000).checked_div(self.elapsed_ms).unwrap_or(0)
    }
}

/// A report in the making.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) report: Report,
    latency: Histogram<u64>,
    attempts: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new(planned: u64) -> Self {
        // Three digits over an hour of microseconds take some 250 KiB.
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants, which it takes: 2 <= max, digits <= 5"
        )]
        let histogram = || Histogram::new_with_max(LONGEST_US, 3).expect("an hour in three digits");
        Self { report: Report { planned, ..Report::default() }, latency: histogram(), attempts: histogram() }
    }

    pub(crate) fn took(&mut self, whole: Duration) {
        self.latency.saturating_record(micros(whole));
    }

    pub(crate) fn attempt_took(&mut self, attempt: Duration) {
        self.attempts.saturating_record(micros(attempt));
    }

    pub(crate) fn surprise(&mut self, surprise: Surprise) {
        self.report.surprising += 1;
        if self.report.surprises.len() < SURPRISES_KEPT {
            let answer = surprise.answer.chars().take(SHOWN_CHARS).collect();
            self.report.surprises.push(Surprise { answer, ..surprise });
        }
    }

    pub(crate) fn progress(&self, elapsed: Duration) -> Progress {
        let Report { done, planned, accepted, repeats, refused, retried, .. } = self.report;
        Progress { done, planned, accepted, repeats, refused, retried, elapsed }
    }

    pub(crate) fn finish(self, elapsed: Duration) -> Report {
        Report {
            latency: latency(&self.latency),
            attempt_latency: latency(&self.attempts),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            ..self.report
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p90_us: histogram.value_at_quantile(0.9),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}
