//! A worker with its queue in several parts, which one process takes from at once: what that gives on one machine, and
//! that the order within a match stays.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use matchpurse_bus::BusOptions;
use matchpurse_contracts::topology::{shard_of, slot};
use matchpurse_contracts::wire;
use tokio_postgres::Client;
use uuid::Uuid;

use super::drain::{Drain, ESCROW, PATIENCE, STATS};
use super::{Measured, per_thousand};
use crate::broker::{Broker, Parcel};
use crate::config::Config;
use crate::events::Backlog;
use crate::figures::Run;
use crate::options::Options;
use crate::programs::{Folder, Running, program};
use crate::servers::{Servers, connect, number};

const NUMBERS: [u16; 4] = [1, 2, 4, 8];
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    for drain in [&ESCROW, &STATS] {
        let sharded = Sharded::new((drain.backlog)(drain.a_second * usize::try_from(options.seconds)?)?)?;
        let scenario = format!("shards, {}", drain.queue.worker());
        // The curve needs less than what is compared: half as many rounds.
        for _ in 0..options.rounds.div_ceil(2) {
            for shards in NUMBERS {
                let run = run(servers, drain, &sharded, shards).await?;
                let against = (shards > 1).then_some("1 shard");
                let who = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
                let target = if shards == 1 { "" } else { "order and sums kept, no deadlock" };
                measured.take(&scenario, &who, against, target, run);
            }
        }
    }
    Ok(measured)
}

/// A backlog, and where each of its messages goes.
struct Sharded {
    backlog: Backlog,
    /// The slot of each parcel.
    slots: Vec<u16>,
    /// The events of each subject, in the order in which they are published first.
    order: HashMap<String, Vec<Uuid>>,
}

impl Sharded {
    fn new(backlog: Backlog) -> Result<Self> {
        let (mut slots, mut order) = (Vec::new(), HashMap::<String, Vec<Uuid>>::new());
        for parcel in &backlog.parcels {
            let event = wire::decode(&parcel.body)?;
            slots.push(slot(event.source.as_str(), &event.subject));
            let ids = order.entry(event.subject).or_default();
            // What comes again is applied once, when it came first.
            if !ids.contains(&parcel.id) {
                ids.push(parcel.id);
            }
        }
        Ok(Self { backlog, slots, order })
    }

    fn queues(&self, shards: u16) -> Vec<String> {
        let queue = self.backlog.queue;
        if shards == 1 {
            vec![queue.name().to_owned()]
        } else {
            (0..shards).map(|shard| queue.shard_name(shard)).collect()
        }
    }

    /// Publishes it to the queues of so many shards.
    async fn publish(&self, broker: &Broker, shards: u16) -> Result<()> {
        for (shard, queue) in (0..).zip(self.queues(shards)) {
            let of_shard = self.backlog.parcels.iter().zip(&self.slots);
            let parcels: Vec<Parcel> = of_shard
                .filter(|(_, slot)| shard_of(**slot, shards) == shard)
                .map(|(parcel, _)| parcel.clone())
                .collect();
            let count = u64::try_from(parcels.len())?;
            let published = broker.publish(&queue, parcels.into_iter(), 1_000, PATIENCE).await?;
            ensure!(published == count, "only {published} of {count} were published to {queue}");
        }
        Ok(())
    }

    /// The subjects of which an event was applied in a transaction before that of the event before it.
    async fn disordered(&self, client: &Client) -> Result<usize> {
        let sql =
            "SELECT event_id, (extract(epoch FROM seen_at) * 1000000)::bigint FROM inbox WHERE worker = $1";
        let mut seen: HashMap<Uuid, i64> = HashMap::new();
        for row in client.query(sql, &[&self.backlog.queue.worker()]).await? {
            seen.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(self.order.values().filter(|ids| is_disordered(ids, &seen)).count())
    }
}

/// Whether one of these events was not seen, or was seen before the one that comes before it.
fn is_disordered(ids: &[Uuid], seen: &HashMap<Uuid, i64>) -> bool {
    let times: Vec<Option<&i64>> = ids.iter().map(|id| seen.get(id)).collect();
    times.iter().any(Option::is_none) || !times.is_sorted()
}

async fn run(servers: &Servers, drain: &Drain, sharded: &Sharded, shards: u16) -> Result<Run> {
    let (folder, vhost, database) = (Folder::new()?, servers.vhost()?, servers.database().await?);
    let topology = BusOptions { shards, ..BusOptions::default() };
    matchpurse_bus::declare_topology(&vhost.amqp_url(), &topology).await?;
    let (client, broker) = (connect(&database.url()).await?, Broker::connect(&vhost.amqp_url()).await?);
    sharded.publish(&broker, shards).await?;
    servers.checkpoint().await?;

    let backlog = &sharded.backlog;
    let config =
        Config::write(&folder.0, &database.service_url(), &vhost.amqp_url(), &format!("shards = {shards}"))?;
    let mut command = program(&format!("matchpurse-{}", backlog.queue.worker()))?;
    command.arg("--config").arg(&config.path);
    let (deadlocks, before) = (servers.deadlocks()?, servers.cpu_seconds());
    let mut running = Running::start(backlog.queue.worker(), command, &folder.0)?;
    let took = watch(&mut running, &broker, &client, backlog, &sharded.queues(shards)).await?;
    let after = servers.cpu_seconds();
    let (used, (peak, _)) = (running.cpu_seconds(), running.memory_mib());
    running.stop().await?;
    let units = match drain.units {
        Some(sql) => number(&client, sql).await?,
        None => backlog.distinct,
    } as f64;
    let mut run = Run {
        rate: units / took,
        unit: drain.unit,
        cpu_program: per_thousand(used, units),
        cpu_broker: per_thousand(after.0 - before.0, units),
        cpu_database: per_thousand(after.1 - before.1, units),
        peak_mib: Some(peak),
        ..Run::default()
    };
    for (sql, expected) in &backlog.checks {
        let found = number(&client, sql).await?;
        if found != *expected {
            run.wrong.push(format!("{sql}: {found} instead of {expected}"));
        }
    }
    let disordered = sharded.disordered(&client).await?;
    if disordered > 0 {
        run.wrong.push(format!("{disordered} subjects were not applied in their order"));
    }
    let deadlocks = servers.deadlocks()?.saturating_sub(deadlocks);
    if deadlocks > 0 {
        run.wrong.push(format!("{deadlocks} deadlocks"));
    }
    drop((client, broker));
    tokio::task::spawn_blocking(move || drop((database, vhost))).await?;
    Ok(run)
}

/// Seconds from the first delivery to the last commit.
async fn watch(
    running: &mut Running,
    broker: &Broker,
    client: &Client,
    backlog: &Backlog,
    queues: &[String],
) -> Result<f64> {
    let all = u64::try_from(backlog.parcels.len())?;
    let (mut begun, mut progress) = (None, (all, Instant::now()));
    loop {
        running.check()?;
        let mut ready = 0;
        for queue in queues {
            ready += broker.ready(queue).await?;
        }
        if ready < all && begun.is_none() {
            begun = Some(Instant::now());
        }
        if ready != progress.0 {
            progress = (ready, Instant::now());
        }
        if let (0, Some(begun)) = (ready, begun)
            && number(client, "SELECT count(*) FROM inbox").await? >= backlog.distinct
        {
            return Ok(begun.elapsed().as_secs_f64());
        }
        ensure!(progress.1.elapsed() < PATIENCE, "{} gets nowhere with {ready} left", running.name());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disorder_is_seen() {
        let [one, other, third] = [1, 2, 3].map(Uuid::from_u128);
        let seen = HashMap::from([(one, 10), (other, 10), (third, 9)]);
        assert!(!is_disordered(&[one, other], &seen));
        assert!(!is_disordered(&[third, one], &seen));
        assert!(is_disordered(&[one, third], &seen));
        assert!(is_disordered(&[one, Uuid::nil()], &seen));
    }

    #[test]
    fn every_message_has_a_queue_and_a_place_in_its_order() {
        let sharded = Sharded::new(crate::events::escrow(40).unwrap()).unwrap();
        assert_eq!(sharded.slots.len(), sharded.backlog.parcels.len());
        let distinct: usize = sharded.order.values().map(Vec::len).sum();
        assert_eq!((sharded.order.len(), distinct), (40, 120));
        assert_eq!(sharded.queues(1), [sharded.backlog.queue.name()]);
        assert_eq!(sharded.queues(4).len(), 4);
    }
}
