//! Events on their way through ingresses, brokers, queues, workers and databases.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::measured::{Measured, Worker};
use crate::plan::{Assumed, Plan};
use crate::station::{Arrivals, At, Chance, Passed, Station};

/// Deliveries differ: their bodies have 0.5 to 30 kB.
const BODIES: f64 = 0.6;

/// What one stage did.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) name: String,
    /// How many there are, in words.
    pub(crate) many: String,
    /// Of the fullest.
    pub(crate) utilisation: f64,
    pub(crate) passed: Passed,
}

/// What came of a simulation.
#[derive(Debug, Clone)]
pub(crate) struct Simulated {
    pub(crate) stages: Vec<Stage>,
    /// From when an event was due until the answer could be sent.
    pub(crate) answered: Passed,
    /// From then until it was committed, by worker.
    pub(crate) committed: BTreeMap<String, Passed>,
}

/// An event that waits for a worker.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// When the queue has it.
    there: f64,
    /// When all queues had it, so that it was answered.
    accepted: f64,
}

/// The queues by database, worker and shard, and what each has handed out.
type Queues<'m> = BTreeMap<(usize, &'m str, usize), (Station, Vec<Waiting>)>;

/// Simulates so many seconds of this arrival.
pub(crate) fn simulate(
    measured: &Measured,
    plan: &Plan,
    assumed: &Assumed,
    arrivals: Arrivals,
    seconds: f64,
) -> Simulated {
    let mut chance = Chance::new(0x6d61_7463_6870);
    let mut stages = Vec::new();
    let arrived = arrivals.times(seconds, &mut chance);

    let mut nodes = stations(plan.ingresses, assumed.cores);
    let mut passed = Passed::default();
    let mut verified: Vec<(f64, f64)> = Vec::with_capacity(arrived.len());
    for due in arrived {
        let service = measured.ingress_ms / 1000.0 * chance.lognormal(BODIES);
        let done = serve(&mut nodes, &mut chance, due, service);
        passed.add(due, done);
        verified.push((done, due));
    }
    verified.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    stages.push(stage(
        "ingress",
        format!("{} × {} cores", plan.ingresses, assumed.cores),
        &nodes,
        seconds,
        passed,
    ));

    let mut nodes = stations(plan.brokers, assumed.cores);
    let mut passed = Passed::default();
    let mut routed = Vec::with_capacity(verified.len());
    for (at, due) in verified {
        let wanted: Vec<&str> = wanted_by(measured, &mut chance);
        let handing: f64 =
            wanted.iter().filter_map(|name| Some(measured.workers.get(*name)?.broker_ms)).sum();
        let publish = measured.publish_ms / 1000.0;
        let leader = (chance.next() % nodes.len() as u64) as usize;
        let mut done = at;
        for (place, node) in (0..assumed.replicas.min(nodes.len())).map(|n| (n, (leader + n) % plan.brokers))
        {
            let Some(node) = nodes.get_mut(node) else { continue };
            let service = if place == 0 { publish + handing / 1000.0 } else { publish };
            let ended = node.serve(at, service);
            if place == 0 {
                done = ended;
            }
        }
        passed.add(at, done);
        routed.push((done, due, wanted));
    }
    routed.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    stages.push(stage(
        "broker",
        format!("{} × {} cores", plan.brokers, assumed.cores),
        &nodes,
        seconds,
        passed,
    ));

    let mut answered = Passed::default();
    let mut queues = Queues::new();
    let mut passed = Passed::default();
    for (at, due, wanted) in routed {
        let (database, subject) = ((chance.next() % plan.databases as u64) as usize, chance.next());
        let places: Vec<_> = wanted
            .into_iter()
            .map(|name| (database, name, (subject % plan.shards.get(name).map_or(1, |n| *n as u64)) as usize))
            .collect();
        let mut accepted = at;
        let mut there = Vec::with_capacity(places.len());
        for place in &places {
            let (queue, _) = queues.entry(*place).or_insert_with(|| (Station::new(1), Vec::new()));
            // On disk at most of the replicas before it is confirmed.
            let done = queue.serve(at, 1.0 / measured.queue_rate) + measured.commit_ms / 1000.0;
            passed.add(at, done);
            there.push(done);
            accepted = accepted.max(done);
        }
        for (place, there) in places.into_iter().zip(there) {
            if let Some((_, waiting)) = queues.get_mut(&place) {
                waiting.push(Waiting { there, accepted });
            }
        }
        answered.add(due, accepted);
    }
    let many = plan.databases * plan.shards.values().sum::<usize>();
    let fullest = queues.values().map(|(queue, _)| queue.utilisation(seconds)).fold(0.0, f64::max);
    stages.push(Stage { name: "queue".to_owned(), many: many.to_string(), utilisation: fullest, passed });

    let applied = apply(measured, plan, assumed, queues, seconds, &mut chance);
    stages.extend(applied.stages);
    Simulated { stages, answered, committed: applied.committed }
}

/// The workers that an event concerns.
fn wanted_by<'m>(measured: &'m Measured, chance: &mut Chance) -> Vec<&'m str> {
    let wanted = measured.workers.iter().filter(|(_, worker)| chance.unit() < worker.share);
    wanted.map(|(name, _)| name.as_str()).collect()
}

fn stations(count: usize, cores: usize) -> Vec<Station> {
    vec![Station::new(cores); count.max(1)]
}

/// By one of them, whichever it falls to.
fn serve(nodes: &mut [Station], chance: &mut Chance, at: f64, service: f64) -> f64 {
    let place = (chance.next() % nodes.len().max(1) as u64) as usize;
    nodes.get_mut(place).map_or(at, |node| node.serve(at, service))
}

fn stage(name: &str, many: String, nodes: &[Station], seconds: f64, passed: Passed) -> Stage {
    let utilisation = nodes.iter().map(|node| node.utilisation(seconds)).fold(0.0, f64::max);
    Stage { name: name.to_owned(), many, utilisation, passed }
}

/// One shard of a worker: it gathers a batch, applies it, and gathers the next.
struct Shard<'m> {
    name: &'m str,
    worker: &'m Worker,
    waiting: Vec<Waiting>,
    next: usize,
    busy_s: f64,
}

impl Shard<'_> {
    /// When the next batch is there, for a worker that is free at `free`, and how many events it has; none when nothing
    /// comes any more.
    fn gather(&self, free: f64, assumed: &Assumed) -> Option<(f64, usize)> {
        let rest = self.waiting.get(self.next..)?;
        let begun = rest.first()?.there.max(free);
        let patience = begun + assumed.batch_wait_s;
        let full = rest.get(assumed.batch_max - 1).map_or(patience, |last| last.there.max(begun));
        let start = full.min(patience);
        let most = rest.get(..assumed.batch_max.min(rest.len())).unwrap_or(rest);
        Some((start, most.partition_point(|event| event.there <= start).max(1)))
    }
}

struct Applied {
    stages: Vec<Stage>,
    committed: BTreeMap<String, Passed>,
}

/// What happens next at a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A shard has a batch of so many events.
    Gathered(usize, usize),
    /// It has decided, and asks the database.
    Asks(usize, usize),
}

fn apply<'m>(
    measured: &'m Measured,
    plan: &Plan,
    assumed: &Assumed,
    mut queues: Queues<'m>,
    seconds: f64,
    chance: &mut Chance,
) -> Applied {
    let mut committed: BTreeMap<String, Passed> = BTreeMap::new();
    let (mut workers, mut database): (BTreeMap<String, (f64, Passed)>, _) =
        (BTreeMap::new(), (0.0_f64, Passed::default()));
    for number in 0..plan.databases {
        let mut cores = Station::new(assumed.cores);
        let mut shards: Vec<Shard<'_>> = Vec::new();
        for (name, worker) in &measured.workers {
            for shard in 0..plan.shards.get(name).copied().unwrap_or(1) {
                let Some((_, mut waiting)) = queues.remove(&(number, name.as_str(), shard)) else { continue };
                waiting.sort_by(|one, other| one.there.total_cmp(&other.there));
                shards.push(Shard { name, worker, waiting, next: 0, busy_s: 0.0 });
            }
        }
        let mut steps: BinaryHeap<Reverse<(At, Step)>> = BinaryHeap::new();
        let begin = |shards: &[Shard<'_>], place: usize, free: f64| {
            let (at, events) = shards.get(place)?.gather(free, assumed)?;
            Some(Reverse((At(at), Step::Gathered(place, events))))
        };
        steps.extend((0..shards.len()).filter_map(|place| begin(&shards, place, 0.0)));
        while let Some(Reverse((At(at), step))) = steps.pop() {
            match step {
                Step::Gathered(place, events) => {
                    let Some(shard) = shards.get_mut(place) else { continue };
                    let service =
                        shard.worker.program.seconds(events) * chance.lognormal(shard.worker.spread);
                    shard.busy_s += service;
                    steps.push(Reverse((At(at + service), Step::Asks(place, events))));
                }
                Step::Asks(place, events) => {
                    let Some(shard) = shards.get_mut(place) else { continue };
                    let service =
                        shard.worker.database.seconds(events) * chance.lognormal(shard.worker.spread);
                    let done = cores.serve(at, service) + measured.commit_ms / 1000.0;
                    database.1.add(at, done);
                    shard.busy_s += done - at;
                    let batch = shard.waiting.get(shard.next..shard.next + events).unwrap_or_default();
                    let of_worker = committed.entry(shard.name.to_owned()).or_default();
                    let (_, passed) = workers.entry(shard.name.to_owned()).or_default();
                    for event in batch {
                        of_worker.add(event.accepted.min(done), done);
                        passed.add(event.there, done);
                    }
                    shard.next += events;
                    steps.extend(begin(&shards, place, done));
                }
            }
        }
        database.0 = database.0.max(cores.utilisation(seconds));
        for shard in &shards {
            let (fullest, _) = workers.entry(shard.name.to_owned()).or_default();
            *fullest = fullest.max(shard.busy_s / seconds);
        }
    }
    let mut stages: Vec<Stage> = Vec::new();
    for (name, (utilisation, passed)) in workers {
        let many = format!("{} × {}", plan.databases, plan.shards.get(&name).copied().unwrap_or(1));
        stages.push(Stage { name, many, utilisation, passed });
    }
    let many = format!("{} × {} cores", plan.databases, assumed.cores);
    stages.push(Stage { name: "database".to_owned(), many, utilisation: database.0, passed: database.1 });
    Applied { stages, committed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Batch;

    /// One worker, whose program takes a second for an event and whose database nothing.
    fn simple(batch_max: usize) -> (Measured, Plan, Assumed) {
        let nothing = Batch { batch_ms: 0.0, event_ms: 0.0 };
        let program = Batch { batch_ms: 1_000.0, event_ms: 0.0 };
        let worker =
            Worker { share: 1.0, one_queue: false, program, database: nothing, broker_ms: 0.0, spread: 0.0 };
        let measured = Measured {
            origin: String::new(),
            ingress_ms: 0.0,
            publish_ms: 0.0,
            queue_rate: 1e12,
            commit_ms: 0.0,
            workers: BTreeMap::from([("w".to_owned(), worker)]),
        };
        let shards = BTreeMap::from([("w".to_owned(), 1)]);
        let plan = Plan { ingresses: 1, brokers: 1, databases: 1, shards };
        let assumed = Assumed { batch_max, batch_wait_s: 0.0, ..Assumed::with_cores(1) };
        (measured, plan, assumed)
    }

    fn mean(passed: &Passed) -> f64 {
        passed.times.iter().map(|(came, done)| done - came).sum::<f64>() / passed.times.len() as f64
    }

    #[test]
    fn a_worker_without_batches_is_a_queue_with_constant_service() {
        let (measured, plan, assumed) = simple(1);
        let simulated = simulate(&measured, &plan, &assumed, Arrivals::plain(0.7), 200_000.0);
        // M/D/1: 1 + rho / (2 (1 - rho))
        let found = mean(&simulated.committed["w"]);
        assert!((found / (1.0 + 0.7 / 0.6) - 1.0).abs() < 0.04, "{found}");
    }

    #[test]
    fn batches_take_what_one_at_a_time_could_not() {
        let (measured, plan, assumed) = simple(256);
        let simulated = simulate(&measured, &plan, &assumed, Arrivals::plain(20.0), 5_000.0);
        // The next batch has what came during the one before: half of a second of waiting, and a second.
        let found = mean(&simulated.committed["w"]);
        assert!((found - 1.5).abs() < 0.05, "{found}");
        assert_eq!(simulated.committed["w"].times.len(), simulated.answered.times.len());
    }

    #[test]
    fn the_same_input_gives_the_same_output() {
        let measured = Measured::read(include_str!("measured.json")).unwrap();
        let assumed = Assumed::with_cores(8);
        let plan = Plan::of(&measured, 2_000.0, &assumed);
        let once = || {
            let arrivals = Arrivals { rate: 2_000.0, burst: 3.0, share: 0.1, every_s: 1.0 };
            let simulated = simulate(&measured, &plan, &assumed, arrivals, 2.0);
            simulated.committed.values().map(|passed| passed.latency_ms(0.99)).collect::<Vec<_>>()
        };
        assert_eq!(once(), once());
        assert_eq!(once().len(), measured.workers.len());
    }
}
