//! A worker with a backlog in front of it, beside workers that take one event a transaction.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use matchpurse_contracts::topology::Queue;
use matchpurse_testkit::Database;
use tokio_postgres::Client;

use super::{Measured, per_thousand};
use crate::broker::Broker;
use crate::config::Config;
use crate::events::{self, Backlog};
use crate::figures::Run;
use crate::options::Options;
use crate::programs::{Folder, Running, program};
use crate::servers::{Servers, connect, number};

/// How often it is looked how far a worker is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A worker that gets nowhere for so long hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Those that take one event a transaction get so much less: they would take minutes.
const LESS: usize = 8;
/// The tables of the worker that goes row by row.
const RIVAL_TABLES: &str = include_str!("../../rivals/row_by_row/tables.sql");

/// A worker, its backlog, and what counts.
pub(super) struct Drain {
    scenario: &'static str,
    pub(super) queue: Queue,
    pub(super) backlog: fn(usize) -> Result<Backlog>,
    /// What the backlog is made of, for a second of the worker's time.
    pub(super) a_second: usize,
    pub(super) unit: &'static str,
    /// How many units were done, when all is applied; else the different events.
    pub(super) units: Option<&'static str>,
    target: &'static str,
    /// Whether a worker that goes row by row is there to compare.
    rival: bool,
}

pub(super) const ESCROW: Drain = Drain {
    scenario: "escrow",
    queue: Queue::MatchEscrow,
    backlog: events::escrow,
    a_second: 1_200,
    unit: "transfers",
    units: Some("SELECT count(*) FROM transfer"),
    target: "≥ 10,000/s; ≥ 10 × one event a transaction; ≥ 3 × pgbench -N",
    rival: true,
};
pub(super) const STATS: Drain = Drain {
    scenario: "stats",
    queue: Queue::PlayerStats,
    backlog: events::stats,
    a_second: 150,
    unit: "snapshots",
    units: None,
    target: "≥ 1,000/s; ≥ 10 × row by row",
    rival: true,
};
pub(super) const REWARDS: Drain = Drain {
    scenario: "rewards",
    queue: Queue::RewardFulfillment,
    backlog: events::rewards,
    a_second: 6_000,
    unit: "events",
    units: None,
    target: "≥ 5,000/s",
    rival: false,
};
pub(super) const OFFERS: Drain = Drain {
    scenario: "offers",
    queue: Queue::OfferRemoval,
    backlog: events::offers,
    a_second: 8_000,
    unit: "events",
    units: None,
    target: "≥ 5,000/s",
    rival: false,
};
pub(super) const ARCHIVE: Drain = Drain {
    scenario: "archive",
    queue: Queue::EventArchive,
    backlog: events::archive,
    a_second: 2_000,
    unit: "events",
    units: None,
    target: "≥ 5,000/s",
    rival: false,
};

/// Who takes the backlog.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    OurOwnOneByOne,
    RowByRow,
}

pub(super) async fn measure(options: &Options, servers: &Servers, drain: &Drain) -> Result<Measured> {
    let mut measured = Measured::default();
    let whole = drain.a_second * usize::try_from(options.seconds)?;
    let (much, little) = ((drain.backlog)(whole)?, (drain.backlog)((whole / LESS).max(20))?);
    let worker = drain.queue.worker();
    for _ in 0..options.rounds {
        for who in [Who::Ours, Who::OurOwnOneByOne, Who::RowByRow] {
            let (backlog, name, target) = match who {
                Who::Ours => (&much, worker.to_owned(), drain.target),
                Who::OurOwnOneByOne => (&little, format!("{worker}, one event a transaction"), ""),
                Who::RowByRow if !drain.rival => continue,
                Who::RowByRow => (&little, "row by row, one event a transaction".to_owned(), ""),
            };
            let run = run(servers, drain, backlog, who).await.with_context(|| name.clone())?;
            measured.take(drain.scenario, &name, Some(worker), target, run);
        }
    }
    Ok(measured)
}

async fn run(servers: &Servers, drain: &Drain, backlog: &Backlog, who: Who) -> Result<Run> {
    let database = servers.database().await?;
    let run = on(servers, &database, drain, backlog, who).await?;
    tokio::task::spawn_blocking(move || drop(database)).await?;
    Ok(run)
}

/// Our worker, in a database that may have had other backlogs before.
pub(super) async fn ours(
    servers: &Servers,
    database: &Database,
    drain: &Drain,
    backlog: &Backlog,
) -> Result<Run> {
    on(servers, database, drain, backlog, Who::Ours).await
}

async fn on(
    servers: &Servers,
    database: &Database,
    drain: &Drain,
    backlog: &Backlog,
    who: Who,
) -> Result<Run> {
    let (folder, vhost) = (Folder::new()?, servers.vhost()?);
    matchpurse_bus::declare_topology(&vhost.amqp_url(), &matchpurse_bus::BusOptions::default()).await?;
    let client = connect(&database.url()).await?;
    if who == Who::RowByRow {
        client.batch_execute(RIVAL_TABLES).await?;
    }
    let broker = Broker::connect(&vhost.amqp_url()).await?;
    let queue = backlog.queue.name();
    let published = broker.publish(queue, backlog.parcels.iter().cloned(), 1_000, PATIENCE).await?;
    ensure!(published == u64::try_from(backlog.parcels.len())?, "only {published} were published");
    servers.checkpoint().await?;

    let more = if who == Who::OurOwnOneByOne { "batch_max = 1" } else { "" };
    let config = Config::write(&folder.0, &database.service_url(), &vhost.amqp_url(), more)?;
    let command = if who == Who::RowByRow {
        let mut command = program("bench-row-by-row")?;
        command.args(["--worker", backlog.queue.worker(), "--queue", queue]);
        command.args(["--amqp", &vhost.amqp_url(), "--database", &database.url()]);
        command
    } else {
        let mut command = program(&format!("matchpurse-{}", backlog.queue.worker()))?;
        command.arg("--config").arg(&config.path);
        command
    };
    let seen =
        if who == Who::RowByRow { "SELECT count(*) FROM rival_inbox" } else { "SELECT count(*) FROM inbox" };
    let done =
        drain.units.map(|sql| if who == Who::RowByRow { "SELECT count(*) FROM rival_transfer" } else { sql });
    let (seen_before, done_before) = (number(&client, seen).await?, optional(&client, done).await?);
    let before = servers.cpu_seconds();
    let mut running = Running::start(backlog.queue.worker(), command, &folder.0)?;
    let took = watch(&mut running, &broker, &client, backlog, (seen, seen_before)).await?;
    let after = servers.cpu_seconds();
    let (used, (peak, _)) = (running.cpu_seconds(), running.memory_mib());
    running.stop().await?;
    let mut run = Run { unit: drain.unit, peak_mib: Some(peak), ..Run::default() };
    let units = match (optional(&client, done).await?, done_before) {
        (Some(after), Some(before)) => after - before,
        _ => backlog.distinct,
    } as f64;
    run.rate = units / took;
    run.more.insert("events_per_second".to_owned(), backlog.parcels.len() as f64 / took);
    run.cpu_program = per_thousand(used, units);
    run.cpu_broker = per_thousand(after.0 - before.0, units);
    run.cpu_database = per_thousand(after.1 - before.1, units);
    let checks = if who == Who::RowByRow { &backlog.rival_checks } else { &backlog.checks };
    for (sql, expected) in checks {
        let found = number(&client, sql).await?;
        if found != *expected {
            run.wrong.push(format!("{sql}: {found} instead of {expected}"));
        }
    }
    drop((client, broker));
    tokio::task::spawn_blocking(move || drop(vhost)).await?;
    Ok(run)
}

async fn optional(client: &Client, sql: Option<&str>) -> Result<Option<i64>> {
    match sql {
        Some(sql) => Ok(Some(number(client, sql).await?)),
        None => Ok(None),
    }
}

/// Seconds from the first delivery to the last commit: until the statement `seen` gives so many more than before.
async fn watch(
    running: &mut Running,
    broker: &Broker,
    client: &Client,
    backlog: &Backlog,
    (seen, before): (&str, i64),
) -> Result<f64> {
    let queue = backlog.queue.name();
    let all = u64::try_from(backlog.parcels.len())?;
    let (mut begun, mut progress) = (None, (all, Instant::now()));
    loop {
        running.check()?;
        let ready = broker.ready(queue).await?;
        if ready < all && begun.is_none() {
            begun = Some(Instant::now());
        }
        if ready != progress.0 {
            progress = (ready, Instant::now());
        }
        if let (0, Some(begun)) = (ready, begun)
            && number(client, seen).await? >= before + backlog.distinct
        {
            return Ok(begun.elapsed().as_secs_f64());
        }
        ensure!(progress.1.elapsed() < PATIENCE, "{} gets nowhere with {ready} left", running.name());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
