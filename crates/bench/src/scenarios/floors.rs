//! What the machine itself does: the broker and the database without any of our logic.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Measured, per_thousand};
use crate::broker::{Broker, Parcel};
use crate::figures::Run;
use crate::options::Options;
use crate::programs::bare;
use crate::servers::{Servers, connect, number};
use crate::usage::cpu_seconds_of_tree;

const FLOORS: &str = "floors";
/// Of a delivery with its envelope.
const BODY: usize = 2_000;
/// Clients of pgbench, and how large its tables are.
const CLIENTS: &str = "8";
const SCALE: &str = "10";
/// Transfers of a statement: a batch of 256 events makes about as many.
const ROWS: i64 = 1_300;

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    let time = Duration::from_secs(options.seconds.into());
    let scratch = Scratch::make(servers).await?;
    for _ in 0..options.rounds {
        for (in_flight, who) in
            [(64, "publish, confirmed, 64 in flight"), (1024, "publish, confirmed, 1,024 in flight")]
        {
            measured.take(FLOORS, who, None, "", publish(servers, in_flight, time).await?);
        }
        for (mode, who) in [("tpcb-like", "pgbench TPC-B"), ("simple-update", "pgbench -N")] {
            servers.checkpoint().await?;
            measured.take(FLOORS, who, None, "", pgbench(servers, &scratch.url, mode, time).await?);
        }
        servers.checkpoint().await?;
        measured.take(FLOORS, "set-based inserts of transfers", None, "", inserts(servers, time).await?);
    }
    scratch.drop(servers).await?;
    Ok(measured)
}

/// Publishes to one quorum queue, each message confirmed.
async fn publish(servers: &Servers, in_flight: usize, time: Duration) -> Result<Run> {
    const QUEUE: &str = "floor";
    let vhost = servers.vhost()?;
    let broker = Broker::connect(&vhost.amqp_url()).await?;
    broker.declare(QUEUE).await?;
    let body = Bytes::from(vec![b'x'; BODY]);
    let parcels = (0_u128..).map(|number| Parcel { id: Uuid::from_u128(number), body: body.clone() });
    let (own, before) = (cpu_seconds_of_tree(std::process::id()), servers.cpu_seconds());
    let begun = Instant::now();
    let confirmed = broker.publish(QUEUE, parcels, in_flight, time).await?;
    let took = begun.elapsed().as_secs_f64();
    let (own, after) = (cpu_seconds_of_tree(std::process::id()) - own, servers.cpu_seconds());
    let there = broker.ready(QUEUE).await?;
    broker.purge(QUEUE).await?;
    let wrong = (there != confirmed).then(|| format!("{confirmed} were confirmed, {there} are there"));
    let count = confirmed as f64;
    Ok(Run {
        rate: count / took,
        unit: "messages",
        // The servers are children of this process.
        cpu_program: per_thousand(own - (after.0 - before.0) - (after.1 - before.1), count),
        cpu_broker: per_thousand(after.0 - before.0, count),
        wrong: wrong.into_iter().collect(),
        ..Run::default()
    })
}

/// pgbench's own database.
struct Scratch {
    name: &'static str,
    url: String,
}

impl Scratch {
    async fn make(servers: &Servers) -> Result<Self> {
        let (name, server) = ("bench_floor", servers.database_url());
        connect(&server).await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let (before, after) = server.rsplit_once('/').context("a URL without a database")?;
        let options = after.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
        let url = format!("{before}/{name}{options}");
        let mut command = bare(&servers.postgres_program("pgbench")?);
        let made = command.args(["-i", "-q", "-s", SCALE, &url]).output()?;
        ensure!(made.status.success(), "pgbench -i: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { name, url })
    }

    async fn drop(self, servers: &Servers) -> Result<()> {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        Ok(connect(&servers.database_url()).await?.batch_execute(&sql).await?)
    }
}

async fn pgbench(servers: &Servers, url: &str, mode: &str, time: Duration) -> Result<Run> {
    let mut command = bare(&servers.postgres_program("pgbench")?);
    let seconds = time.as_secs().to_string();
    command.args(["-b", mode, "-M", "prepared", "-c", CLIENTS, "-j", "2", "-n", "-T", &seconds, url]);
    let before = servers.cpu_seconds();
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let after = servers.cpu_seconds();
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate: f64 =
        rate.and_then(|rest| rest.split(' ').next()?.parse().ok()).context("pgbench said no rate")?;
    let latency = told.lines().find_map(|line| line.strip_prefix("latency average = "));
    let mut run = Run { rate, unit: "transactions", ..Run::default() };
    run.cpu_database = per_thousand(after.1 - before.1, rate * time.as_secs_f64());
    if let Some(mean) = latency.and_then(|rest| rest.split(' ').next()?.parse().ok()) {
        run.more.insert("mean_ms".to_owned(), mean);
    }
    Ok(run)
}

/// Rows as match-escrow's transfers are, with their keys, checks and indexes, and nothing else: a statement and a
/// transaction for each set.
async fn inserts(servers: &Servers, time: Duration) -> Result<Run> {
    let database = servers.database().await?;
    let client: Client = connect(&database.url()).await?;
    client.batch_execute("CREATE TABLE floor (LIKE transfer INCLUDING ALL)").await?;
    let insert = client
        .prepare(
            "INSERT INTO floor (match_no, subject, kind, debit_id, credit_id, amount, event_id, event_at)
             SELECT $1::bigint + n / 16, md5(n::text)::uuid, 1 + n % 2, n, n + 1, 500, md5(n::text)::uuid, now()
               FROM generate_series(0, $2::bigint - 1) n",
        )
        .await?;
    let before = servers.cpu_seconds();
    let begun = Instant::now();
    let (mut rows, mut match_no) = (0, 1_i64);
    while begun.elapsed() < time {
        rows += client.execute(&insert, &[&match_no, &ROWS]).await?;
        match_no += ROWS / 16 + 1;
    }
    let took = begun.elapsed().as_secs_f64();
    let after = servers.cpu_seconds();
    let there = number(&client, "SELECT count(*) FROM floor").await?;
    let wrong = (u64::try_from(there)? != rows).then(|| format!("{rows} were written, {there} are there"));
    drop(client);
    let run = Run {
        rate: rows as f64 / took,
        unit: "rows",
        cpu_database: per_thousand(after.1 - before.1, rows as f64),
        wrong: wrong.into_iter().collect(),
        ..Run::default()
    };
    tokio::task::spawn_blocking(move || drop(database)).await?;
    Ok(run)
}
