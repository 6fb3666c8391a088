//! A worker that was away: its queue is full while everything else goes on, and it takes what waits beside what comes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use matchpurse_contracts::topology::Queue;
use uuid::Uuid;

use super::Measured;
use super::everything::Everything;
use crate::ages::{Ages, told};
use crate::events;
use crate::figures::Run;
use crate::load::{Load, Pace, Request, WARM_UP, run as send};
use crate::options::Options;
use crate::requests::mixed;
use crate::say;
use crate::servers::{Servers, number};

const SCENARIO: &str = "backlog";
/// Who was away.
const AWAY: Queue = Queue::MatchEscrow;
/// Load comes in such slices, one behind the other, until the backlog is gone.
const SLICE: Duration = Duration::from_secs(10);
/// Slices without a backlog, to compare with.
const QUIET_SLICES: u64 = 2;
/// Matches whose events are made and published at a time, so that only theirs are in memory.
const CHUNK: usize = 2_000;
const IN_FLIGHT: usize = 2_000;
/// A chunk that is not published in this time never is.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(120);
/// What is not drained when so many of its events a second would have been counts as far as it got; at least 900 s.
const DRAIN_RATE_MIN: u64 = 350;
/// The backlog's matches, and those of them that have ended as they must.
const SETTLED: &str = "SELECT count(*) FROM match WHERE match_id LIKE 'match-%' AND settlement IS NOT NULL";

/// Latencies of several workers.
type ByWorker = BTreeMap<&'static str, Ages>;

/// The mix, as it goes on.
struct Live {
    rate: f64,
    seed: u64,
    requests: Option<Arc<Vec<Request>>>,
    kept: HashSet<Uuid>,
    unknown: usize,
    /// What else happened, how often.
    errors: BTreeMap<String, u64>,
}

impl Live {
    fn new(rate: u32) -> Self {
        let (kept, rate) = (HashSet::new(), f64::from(rate));
        Self { rate, seed: 1_000, requests: None, kept, unknown: 0, errors: BTreeMap::new() }
    }

    /// The next slice's requests; made while the one before is sent.
    async fn prepare(&mut self) -> Result<()> {
        let (seed, count) = (self.seed, (self.rate * SLICE.as_secs_f64() * 1.1).ceil() as usize);
        self.seed += 2;
        self.requests = Some(tokio::task::spawn_blocking(move || mixed(seed, count)).await??);
        Ok(())
    }

    /// One slice; `each_second` looks on meanwhile.
    async fn slice(&mut self, all: &mut Everything, watch: &mut Watch) -> Result<()> {
        if self.requests.is_none() {
            self.prepare().await?;
        }
        let load = Load {
            address: all.config.ingress.clone(),
            connections: 32,
            requests: self.requests.take().unwrap_or_default(),
            from: 0,
            pace: Pace::Arriving(self.rate),
            time: SLICE - WARM_UP,
        };
        let mut sending = tokio::spawn(send(load));
        self.prepare().await?;
        let loaded = loop {
            tokio::select! {
                loaded = &mut sending => break loaded??,
                () = tokio::time::sleep(Duration::from_secs(1)) => watch.look(all).await?,
            }
        };
        for (what, times) in loaded.errors {
            *self.errors.entry(what).or_default() += times;
        }
        self.unknown += loaded.unknown.len();
        self.kept.extend(loaded.kept);
        Ok(())
    }
}

/// How far the backlog is.
#[derive(Default)]
struct Watch {
    /// The backlog's matches, messages and when it began to be taken; none while there is no backlog.
    games: usize,
    messages: u64,
    begun: Option<Instant>,
    /// Seconds until all was committed.
    took: Option<f64>,
    /// What is left, at the last look.
    left: u64,
    /// The latencies at that moment.
    ages: Option<ByWorker>,
    looks: u64,
}

impl Watch {
    async fn look(&mut self, all: &mut Everything) -> Result<()> {
        all.check()?;
        let (Some(begun), None) = (self.begun, self.took) else { return Ok(()) };
        self.left = all.broker.ready(AWAY.name()).await?;
        self.looks += 1;
        if self.looks.is_multiple_of(10) {
            let memory = all.memory_mib().get(AWAY.worker()).copied().unwrap_or(0.0);
            let seconds = begun.elapsed().as_secs();
            say(&format!("  {seconds} s: {} messages left, {memory:.0} MiB", self.left));
        }
        // Live events come all the time: what is left is a few of theirs.
        if self.left < self.messages / 100 + 500 {
            let settled = number(&all.client, SETTLED).await?;
            if usize::try_from(settled)? >= self.games {
                self.took = Some(begun.elapsed().as_secs_f64());
                self.ages = Some(all.ages().await?);
            }
        }
        Ok(())
    }
}

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut all = Everything::start(servers).await?;
    let mut live = Live::new(options.backlog_rate);
    let mut watch = Watch::default();
    // The first slice warms everything up.
    live.slice(&mut all, &mut watch).await?;
    let before = all.ages().await?;
    for _ in 0..QUIET_SLICES {
        live.slice(&mut all, &mut watch).await?;
    }
    let quiet = neighbours(&all.ages().await?, &before);

    all.stop_program(AWAY.worker()).await?;
    let (games, messages) = fill(&all, options.backlog).await?;
    servers.checkpoint().await?;
    let before = all.ages().await?;
    let cpu = servers.cpu_seconds();
    all.start_program(AWAY.worker()).await?;
    watch = Watch { games, messages, left: messages, begun: Some(Instant::now()), ..Watch::default() };
    let patience = Duration::from_secs((messages / DRAIN_RATE_MIN).max(900));
    while watch.took.is_none() && watch.begun.is_some_and(|begun| begun.elapsed() < patience) {
        live.slice(&mut all, &mut watch).await?;
    }
    let seconds = watch.took.unwrap_or(patience.as_secs_f64());
    let done = messages - if watch.took.is_some() { 0 } else { watch.left.min(messages) };
    let (ages, cpu_after) = (all.ages().await?, servers.cpu_seconds());
    let loaded = neighbours(watch.ages.as_ref().unwrap_or(&ages), &before);

    let mut wrong = all.until_through(live.kept.len(), live.unknown).await?;
    wrong.extend(all.audit()?);
    wrong.extend(checked(&all, games).await?);
    let peaks = all.peaks_mib();
    all.stop().await?;

    let p99 = |of: &ByWorker| Ages::of_all(of.values()).quantile_ms(0.99);
    let p50 = |of: &ByWorker| Ages::of_all(of.values()).quantile_ms(0.5);
    let units = done as f64;
    let arriving = f64::from(options.backlog_rate);
    let with = Run {
        rate: units / seconds,
        unit: "events",
        p50_ms: p50(&loaded),
        p99_ms: p99(&loaded),
        offered: Some(arriving),
        cpu_broker: super::per_thousand(cpu_after.0 - cpu.0, units),
        cpu_database: super::per_thousand(cpu_after.1 - cpu.1, units),
        peak_mib: peaks.values().copied().reduce(f64::max),
        errors: live.errors.values().sum(),
        wrong,
        ..Run::default()
    };
    let without = Run {
        rate: arriving,
        unit: "events",
        p50_ms: p50(&quiet),
        p99_ms: p99(&quiet),
        offered: Some(arriving),
        ..Run::default()
    };
    for (what, times) in &live.errors {
        measured.notes.push(format!("Backlog: of the live deliveries {times} had no good answer: {what}."));
    }
    let times = with.p99_ms.zip(without.p99_ms).map_or(0.0, |(with, without)| with / without);
    let faster = with.rate / arriving;
    measured.notes.push(format!(
        "Backlog: {messages} events for {} were there when it started, and were {} in {seconds:.0} s, {faster:.1} times as \
         fast as {arriving:.0} deliveries/s of the mix arrived meanwhile. p99 of the workers without a backlog was \
         {times:.2} times what it was before; p50 and p99 before: {}; during: {}. The most memory of {}: {:.0} MiB.",
        AWAY.worker(),
        if watch.took.is_some() { "applied".to_owned() } else { format!("applied but for {}", watch.left) },
        told(&quiet),
        told(&loaded),
        AWAY.worker(),
        peaks.get(AWAY.worker()).copied().unwrap_or(0.0),
    ));
    measured.take(SCENARIO, "live, no backlog", None, "", without);
    let target = "≥ 3 × the live arrival; p99 of the others ≤ 2 × without; ≤ 64 MiB";
    measured.take(SCENARIO, "backlog, beside the live arrival", Some("live, no backlog"), target, with);
    Ok(measured)
}

/// What the workers that have no backlog needed since then.
fn neighbours(now: &ByWorker, before: &ByWorker) -> ByWorker {
    let others = now.iter().filter(|(name, _)| **name != AWAY.worker());
    let none = Ages::default();
    others.map(|(name, ages)| (*name, ages.since(before.get(name).unwrap_or(&none)))).collect()
}

/// Publishes at least so many events to the queue of who is away; how many matches they are of, and how many they are.
async fn fill(all: &Everything, wanted: u32) -> Result<(usize, u64)> {
    let (begun, mut games, mut messages) = (Instant::now(), 0, 0_u64);
    while messages < u64::from(wanted) {
        let chunk = CHUNK.min(usize::try_from(wanted)?.div_ceil(3));
        let from = games;
        let backlog = tokio::task::spawn_blocking(move || events::escrow_of(from..from + chunk)).await??;
        let count = u64::try_from(backlog.parcels.len())?;
        let parcels = backlog.parcels.into_iter();
        let published = all.broker.publish(AWAY.name(), parcels, IN_FLIGHT, PUBLISH_PATIENCE).await?;
        ensure!(published == count, "only {published} of {count} were published");
        (games, messages) = (games + chunk, messages + published);
        if games.is_multiple_of(CHUNK * 10) {
            say(&format!("  {messages} events published in {} s", begun.elapsed().as_secs()));
        }
    }
    Ok((games, messages))
}

/// What the backlog's matches must have come to, and have not.
async fn checked(all: &Everything, games: usize) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let expected = events::escrow_ends(0..games);
    for (sql, expected) in [
        (SETTLED, expected.all),
        (
            "SELECT count(*) FROM match WHERE match_id LIKE 'match-%' AND settlement = 'payout' \
             AND paid = 4500 AND fee = 500",
            expected.won,
        ),
        (
            "SELECT count(*) FROM match WHERE match_id LIKE 'match-%' AND settlement = 'tie' AND refunded = 5000",
            expected.tied,
        ),
        ("SELECT sum(balance)::bigint FROM account", 0),
    ] {
        let found = number(&all.client, sql).await?;
        if found != expected {
            wrong.push(format!("{sql}: {found} instead of {expected}"));
        }
    }
    Ok(wrong)
}
