//! What was measured on one machine: the service times that everything else follows from.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of a batch of 256, and of one event alone.
const BATCH: f64 = 256.0;
/// What a table of bench calls the workers' scenarios.
const WORKERS: [(&str, &str); 5] = [
    ("escrow", "match-escrow"),
    ("rewards", "reward-fulfillment"),
    ("stats", "player-stats"),
    ("offers", "offer-removal"),
    ("archive", "event-archive"),
];

/// Service times. All are CPU time of one core of the machine that they were measured on, where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    /// Where they come from.
    pub(crate) origin: String,
    /// The ingress: verify, normalize, encode, answer; ms a delivery.
    pub(crate) ingress_ms: f64,
    /// The broker for publishing a delivery to all its queues; ms.
    pub(crate) publish_ms: f64,
    /// What one quorum queue takes, confirmed, in a second: it is one process of the broker.
    pub(crate) queue_rate: f64,
    /// Until a commit is on disk, with its round trip; ms of waiting, not of CPU time.
    pub(crate) commit_ms: f64,
    pub(crate) workers: BTreeMap<String, Worker>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    /// Which share of the mix's events concern it.
    pub(crate) share: f64,
    /// True when it has one queue at each database, because its events form one line.
    pub(crate) one_queue: bool,
    pub(crate) program: Batch,
    pub(crate) database: Batch,
    /// The broker for handing an event out; ms.
    pub(crate) broker_ms: f64,
    /// How much batches of one size differ: the standard deviation of the logarithm.
    pub(crate) spread: f64,
}

/// What a batch costs: so much whatever its size, and so much for each event; ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    pub(crate) batch_ms: f64,
    pub(crate) event_ms: f64,
}

impl Batch {
    /// From what an event costs in a full batch, and alone.
    fn of(full: f64, alone: f64) -> Self {
        let batch_ms = ((alone - full) * BATCH / (BATCH - 1.0)).max(0.0);
        Self { batch_ms, event_ms: (full - batch_ms / BATCH).max(full / 10.0) }
    }

    /// Seconds for a batch of this size.
    pub(crate) fn seconds(&self, events: usize) -> f64 {
        (self.batch_ms + self.event_ms * events as f64) / 1000.0
    }
}

impl Measured {
    pub(crate) fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("no service times")
    }

    /// The same, as if no worker had to have one queue at a database.
    pub(crate) fn with_several_queues(&self) -> Self {
        let mut other = self.clone();
        other.workers.values_mut().for_each(|worker| worker.one_queue = false);
        other
    }

    /// Takes them out of the figures that `matchpurse-bench` writes. Where a run has no figure, that of `before` stays.
    pub(crate) fn derive(results: &Value, before: &Self, origin: &str) -> Self {
        let results = Results(results);
        let mut now = before.clone();
        origin.clone_into(&mut now.origin);
        let set = |target: &mut f64, found: Option<f64>| {
            if let Some(found) = found.filter(|found| *found > 0.0) {
                *target = found;
            }
        };
        let mix = "ingress, mix, 64 connections";
        set(&mut now.ingress_ms, results.median(mix, "ingress", "cpu_program"));
        set(&mut now.publish_ms, results.median(mix, "ingress", "cpu_broker"));
        set(&mut now.queue_rate, results.median("floors", "publish, confirmed, 1,024 in flight", "rate"));
        set(&mut now.commit_ms, results.median("floors", "pgbench -N", "more/mean_ms"));
        for (scenario, name) in WORKERS {
            let Some(worker) = now.workers.get_mut(name) else { continue };
            let alone = format!("{name}, one event a transaction");
            let event = |who: &str, figure: &str| {
                // What the rate counts may be more than the events, as transfers are.
                let units = results.median(scenario, who, "rate")?;
                let events = results.median(scenario, who, "more/events_per_second")?;
                Some(results.median(scenario, who, figure)? * units / events)
            };
            for (part, figure) in
                [(&mut worker.program, "cpu_program"), (&mut worker.database, "cpu_database")]
            {
                if let (Some(full), Some(alone)) = (event(name, figure), event(&alone, figure)) {
                    *part = Batch::of(full, alone);
                }
            }
            set(&mut worker.broker_ms, event(name, "cpu_broker"));
            let together = |figure: &str| {
                results.median("together", "accepted to committed", &format!("more/{figure}_{name}"))
            };
            set(&mut worker.share, together("share"));
            set(&mut worker.spread, together("spread"));
        }
        now
    }
}

/// The figures of every run, as `matchpurse-bench` writes them.
struct Results<'r>(&'r Value);

impl Results<'_> {
    /// The median of a figure over the runs of one contestant.
    fn median(&self, scenario: &str, who: &str, figure: &str) -> Option<f64> {
        let series = self.0.get("series")?.as_array()?.iter().find(|series| {
            let is = |key: &str, wanted: &str| {
                series.pointer(&format!("/subject/{key}")).is_some_and(|v| v == wanted)
            };
            is("scenario", scenario) && is("who", who)
        })?;
        let figures = series.get("runs")?.as_array()?.iter();
        let mut figures: Vec<f64> =
            figures.filter_map(|run| run.pointer(&format!("/{figure}"))?.as_f64()).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_costs_what_was_measured_at_both_ends() {
        let batch = Batch::of(0.1, 1.0);
        assert!((batch.seconds(1) - 0.001).abs() < 1e-12);
        assert!((batch.seconds(256) - 0.0256).abs() < 1e-12);
    }

    #[test]
    fn figures_are_taken_for_an_event() {
        let run = |rate: f64, cpu: f64| {
            json!({ "rate": rate, "cpu_program": cpu, "cpu_database": cpu, "cpu_broker": cpu,
                    "more": { "events_per_second": rate / 4.0 } })
        };
        let series = |scenario: &str, who: &str, runs: Vec<Value>| json!({ "subject": { "scenario": scenario, "who": who }, "runs": runs });
        let results = json!({ "series": [
            series("escrow", "match-escrow", vec![run(4000.0, 0.025), run(8000.0, 0.025), run(1.0, 0.025)]),
            series("escrow", "match-escrow, one event a transaction", vec![run(400.0, 0.25)]),
            series("floors", "pgbench -N", vec![json!({ "more": { "mean_ms": 1.5 } })]),
        ]});
        let before = Measured::read(include_str!("measured.json")).unwrap();
        let derived = Measured::derive(&results, &before, "a test");
        let escrow = &derived.workers["match-escrow"];
        assert!((escrow.program.seconds(1) - 0.001).abs() < 1e-9, "four transfers an event");
        assert!((escrow.broker_ms - 0.1).abs() < 1e-9);
        assert_eq!((derived.commit_ms, derived.ingress_ms), (1.5, before.ingress_ms));
    }
}
