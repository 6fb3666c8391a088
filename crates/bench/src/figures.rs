//! What one run gave, and what several say together.

use std::collections::BTreeMap;

use serde::Serialize;

/// Who is measured, in one scenario.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Subject {
    /// The scenario's name, as `--scenario` takes it, and what tells its parts apart.
    pub(crate) scenario: String,
    /// The contestant.
    pub(crate) who: String,
}

/// One run. What was not measured is zero or none.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Run {
    /// What was done in a second.
    pub(crate) rate: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// From when a request was due to its answer, or as the scenario says, in milliseconds, at `offered`.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The arrivals a second at which the latency was measured.
    pub(crate) offered: Option<f64>,
    /// CPU seconds for a thousand units: of the program, of RabbitMQ, of PostgreSQL.
    pub(crate) cpu_program: Option<f64>,
    pub(crate) cpu_broker: Option<f64>,
    pub(crate) cpu_database: Option<f64>,
    /// The most memory that the program had, in MiB.
    pub(crate) peak_mib: Option<f64>,
    /// Requests that were not answered as they must be.
    pub(crate) errors: u64,
    /// What the audit found: then the run counts for nothing.
    pub(crate) wrong: Vec<String>,
    /// Other figures of the scenario.
    pub(crate) more: BTreeMap<String, f64>,
}

/// Several runs of one subject.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) subject: Subject,
    /// The contestant whose rate is 1.
    pub(crate) against: Option<String>,
    /// What this has to reach, in words.
    pub(crate) target: &'static str,
    pub(crate) runs: Vec<Run>,
}

impl Series {
    /// The middle one of a figure, or the mean of the two in the middle; none when no run has it.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let mut all: Vec<f64> = self.runs.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        let (low, high) = (all.get(all.len().checked_sub(1)? / 2)?, all.get(all.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }

    /// The median of the rates; zero when any run lost or doubled something.
    pub(crate) fn rate(&self) -> f64 {
        if self.is_wrong() { 0.0 } else { self.median(|run| Some(run.rate)).unwrap_or(0.0) }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        self.runs.iter().any(|run| !run.wrong.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rates: &[f64], wrong: bool) -> Series {
        let run = |rate: &f64| Run { rate: *rate, ..Run::default() };
        let mut runs: Vec<Run> = rates.iter().map(run).collect();
        if wrong && let Some(run) = runs.first_mut() {
            run.wrong.push("one is missing".to_owned());
        }
        let subject = Subject { scenario: "s".to_owned(), who: "w".to_owned() };
        Series { subject, against: None, target: "", runs }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(series(&[9.0, 1.0, 2.0], false).rate(), 2.0);
        assert_eq!(series(&[1.0, 2.0], false).rate(), 1.5);
        assert_eq!(series(&[], false).rate(), 0.0);
    }

    #[test]
    fn who_loses_anything_has_no_rate() {
        assert_eq!(series(&[9.0, 9.0, 9.0], true).rate(), 0.0);
    }
}
