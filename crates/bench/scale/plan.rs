//! How many machines an arrival needs: by arithmetic, before anything is simulated.

use std::collections::BTreeMap;

use crate::measured::{Measured, Worker};

/// What the machines are, and how full they may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assumed {
    /// Cores of every machine, each as fast as those that were measured.
    pub(crate) cores: usize,
    /// Which share of its cores a machine may use in the mean: the rest is for bursts and for machines that are gone.
    pub(crate) full: f64,
    /// Nodes that have a copy of every queue; each is taken to work as much for it as its leader.
    pub(crate) replicas: usize,
    /// The most events in a batch, and how long one waits for more.
    pub(crate) batch_max: usize,
    pub(crate) batch_wait_s: f64,
}

impl Assumed {
    pub(crate) const fn with_cores(cores: usize) -> Self {
        Self { cores, full: 0.6, replicas: 3, batch_max: 256, batch_wait_s: 0.005 }
    }
}

/// How many of each there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) ingresses: usize,
    pub(crate) brokers: usize,
    /// Each has a group of the sources, and its own workers.
    pub(crate) databases: usize,
    /// The shards of each worker at each database.
    pub(crate) shards: BTreeMap<String, usize>,
}

impl Plan {
    /// For so many events a second, by utilisation alone.
    pub(crate) fn of(measured: &Measured, rate: f64, assumed: &Assumed) -> Self {
        let machine = assumed.cores as f64 * assumed.full;
        let machines = |cpu: f64| (cpu / machine).ceil() as usize;
        let handing: f64 = measured.workers.values().map(|worker| worker.share * worker.broker_ms).sum();
        let broker = measured.publish_ms * assumed.replicas as f64 + handing;
        // The database's share depends on how large batches are, those on how many shards there are, and those on how
        // many databases: a few turns are enough.
        let (mut databases, mut shards) = (1, BTreeMap::new());
        for _ in 0..8 {
            let (mut cpu, mut lines) = (0.0, 1);
            for (name, worker) in &measured.workers {
                let arriving = rate * worker.share / databases as f64;
                let needed = shards_of(worker, arriving, measured, assumed);
                let count = if worker.one_queue { 1 } else { needed };
                if worker.one_queue {
                    lines = lines.max(shards_of(worker, rate * worker.share, measured, assumed));
                }
                let size = batch_of(worker, arriving / count as f64, measured, assumed);
                cpu += rate * worker.share / size * worker.database.seconds(1) * per_batch(worker, size);
                shards.insert(name.clone(), count);
            }
            databases = machines(cpu).max(lines);
        }
        Self {
            ingresses: machines(rate * measured.ingress_ms / 1000.0).max(2),
            brokers: machines(rate * broker / 1000.0).max(assumed.replicas),
            databases,
            shards,
        }
    }

    /// The same with a quarter more of one kind, at least one more.
    pub(crate) fn grown(&self, kind: &str, measured: &Measured) -> Self {
        let more = |count: usize| (count + 1).max(count * 5 / 4);
        let mut plan = self.clone();
        let one_queue = measured.workers.get(kind).is_some_and(|worker| worker.one_queue);
        match kind {
            "ingress" => plan.ingresses = more(plan.ingresses),
            "broker" => plan.brokers = more(plan.brokers),
            // Who has one queue at a database gets more by more databases.
            _ if one_queue => plan.databases = more(plan.databases),
            "database" => plan.databases = more(plan.databases),
            worker => {
                if let Some(count) = plan.shards.get_mut(worker) {
                    *count = more(*count);
                }
            }
        }
        plan
    }

    /// The machines for the workers' programs: what their CPU time needs.
    pub(crate) fn worker_machines(measured: &Measured, rate: f64, assumed: &Assumed) -> usize {
        let cpu: f64 = measured
            .workers
            .values()
            .map(|worker| {
                rate * worker.share * worker.program.seconds(assumed.batch_max) / assumed.batch_max as f64
            })
            .sum();
        (cpu / (assumed.cores as f64 * assumed.full)).ceil().max(1.0) as usize
    }
}

/// What a batch of this size costs the database, in batches of one event.
fn per_batch(worker: &Worker, size: f64) -> f64 {
    let one = worker.database.batch_ms + worker.database.event_ms;
    (worker.database.batch_ms + worker.database.event_ms * size) / one
}

/// Seconds of a batch, from its first event to the commit: a worker has one at a time.
pub(crate) fn batch_seconds(worker: &Worker, events: usize, measured: &Measured) -> f64 {
    worker.program.seconds(events) + worker.database.seconds(events) + measured.commit_ms / 1000.0
}

/// The shards that a worker needs: each is one queue, and one batch at a time.
fn shards_of(worker: &Worker, arriving: f64, measured: &Measured, assumed: &Assumed) -> usize {
    let batch = batch_seconds(worker, assumed.batch_max, measured);
    let by_batches = arriving / (assumed.full * assumed.batch_max as f64 / batch);
    let by_queue = arriving / (assumed.full * measured.queue_rate);
    by_batches.max(by_queue).ceil().max(1.0) as usize
}

/// How large batches become: as many as arrive while one is gathered and the one before it applied.
fn batch_of(worker: &Worker, arriving: f64, measured: &Measured, assumed: &Assumed) -> f64 {
    let mut size = 1.0_f64;
    for _ in 0..32 {
        let took = batch_seconds(worker, size.round() as usize, measured).max(assumed.batch_wait_s);
        size = (arriving * took).clamp(1.0, assumed.batch_max as f64);
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        Measured::read(include_str!("measured.json")).unwrap()
    }

    #[test]
    fn ten_times_the_arrival_needs_no_more_than_about_ten_times_the_machines() {
        let (measured, assumed) = (measured(), Assumed::with_cores(8));
        let (small, large) =
            (Plan::of(&measured, 10_000.0, &assumed), Plan::of(&measured, 100_000.0, &assumed));
        assert!(large.databases > small.databases && large.databases <= small.databases * 10);
        assert!(large.ingresses > small.ingresses && large.brokers > small.brokers);
        let all = |plan: &Plan| plan.databases * plan.shards.values().sum::<usize>();
        assert!(all(&large) > all(&small) && all(&large) <= all(&small) * 20, "{large:?} {small:?}");
    }

    #[test]
    fn who_has_one_queue_gets_more_databases_and_not_more_shards() {
        let (measured, assumed) = (measured(), Assumed::with_cores(64));
        let plan = Plan::of(&measured, 50_000.0, &assumed);
        assert_eq!(plan.shards["event-archive"], 1);
        assert!(plan.databases > 4, "{plan:?}");
        assert_eq!(plan.grown("event-archive", &measured).shards, plan.shards);
        assert!(plan.grown("event-archive", &measured).databases > plan.databases);
        assert!(plan.grown("match-escrow", &measured).shards["match-escrow"] > plan.shards["match-escrow"]);
    }

    #[test]
    fn batches_grow_with_what_arrives() {
        let (measured, assumed) = (measured(), Assumed::with_cores(8));
        let archive = &measured.workers["event-archive"];
        let sizes = [10.0, 1_000.0, 1_000_000.0].map(|rate| batch_of(archive, rate, &measured, &assumed));
        assert_eq!((sizes[0], sizes[2]), (1.0, 256.0));
        assert!(sizes[1] > 1.0 && sizes[1] < 256.0, "{sizes:?}");
    }
}
