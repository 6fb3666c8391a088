//! Deliveries over HTTP until they are confirmed: our ingress, a bare handler, and what a studio would write.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use matchpurse_contracts::wire;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_testkit::{Database, Vhost};
use uuid::Uuid;

use super::rivals::{Installed, Rival};
use super::{Measured, per_thousand};
use crate::broker::Broker;
use crate::config::Config;
use crate::figures::Run;
use crate::load::{Load, Loaded, Pace, Request, run as send};
use crate::options::Options;
use crate::programs::{Folder, Running, free_port, program};
use crate::requests::{ONE_SOURCE, Signature, mixed, of_one_source, signature};
use crate::servers::{Servers, connect, number};

/// As many as anything here takes in a second, and more.
const A_SECOND_MAX: usize = 16_000;
/// For the relay from the spool to the broker.
const RELAY_PATIENCE: Duration = Duration::from_secs(60);
/// Latency is measured at this share of what the bare handler took in the same round.
const SHARE: f64 = 0.6;
const BARE: &str = "bare handler";
/// The queue of a bare handler that publishes to one alone.
const FLOOR: &str = "floor";
const OURS: &str = "ingress";

/// Who takes the deliveries.
enum Who<'r> {
    /// One message a delivery, with the routing key of the ingress: to the same three queues.
    Bare,
    /// The same to one quorum queue: what is in the way then is the machine.
    BareToOneQueue,
    Ours,
    /// With a message an event, as the others have.
    OursAlone,
    Other(&'r Installed),
}

pub(super) async fn one_source(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut installed = Vec::new();
    for rival in Rival::ALL {
        match rival.install() {
            Ok(ready) => installed.push((rival.name(), ready)),
            Err(error) => measured.notes.push(format!("{} was left out: {error:#}", rival.name())),
        }
    }
    // Twice: once for the rate, once for the latency; a second of each is not counted.
    let seconds = usize::try_from(options.seconds)? + 1;
    let requests = of_one_source(11, A_SECOND_MAX * seconds * 2)?;
    let signature = signature()?;
    for round in 0..options.rounds {
        for connections in [64, 256] {
            let scenario = format!("ingress, {connections} connections");
            let mut offered = None;
            let ours = "≥ 0.9 ×, aim ≥ 1.5 × the bare handler; ≥ 2 × Fastify, ≥ 5 × FastAPI; p99 ≤ 1.2 ×";
            let mut contestants = vec![
                (BARE, "", Who::Bare),
                (OURS, ours, Who::Ours),
                ("ingress, a message an event", "", Who::OursAlone),
                ("bare handler, one queue", "", Who::BareToOneQueue),
            ];
            contestants.extend(installed.iter().map(|(name, ready)| (*name, "", Who::Other(ready))));
            // The bare handler is first, because the others' arrival follows from it; they take turns.
            let turn = usize::try_from(round)? % (contestants.len() - 1);
            contestants.get_mut(1..).unwrap_or_default().rotate_left(turn);
            for (name, target, who) in contestants {
                let one = One { servers, requests: &requests, signature: &signature, connections };
                let run = one.run(&who, options, offered).await.with_context(|| name.to_owned())?;
                offered = offered.or(run.offered);
                measured.take(&scenario, name, Some(BARE), target, run);
            }
        }
    }
    Ok(measured)
}

pub(super) async fn mix(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    let seconds = usize::try_from(options.seconds)? + 1;
    let (requests, signature) = (mixed(13, A_SECOND_MAX / 3 * seconds * 2)?, signature()?);
    for _ in 0..options.rounds {
        let one = One { servers, requests: &requests, signature: &signature, connections: 64 };
        let run = one.run(&Who::Ours, options, None).await?;
        measured.take("ingress, mix, 64 connections", OURS, None, "state the rate", run);
    }
    Ok(measured)
}

/// What all contestants of a scenario have in common.
struct One<'s> {
    servers: &'s Servers,
    requests: &'s Arc<Vec<Request>>,
    signature: &'s Signature,
    connections: usize,
}

impl One<'_> {
    /// As fast as it goes, and then at an arrival; without a given one at a share of its own rate.
    async fn run(&self, who: &Who<'_>, options: &Options, offered: Option<f64>) -> Result<Run> {
        let (folder, vhost) = (Folder::new()?, self.servers.vhost()?);
        matchpurse_bus::declare_topology(&vhost.amqp_url(), &matchpurse_bus::BusOptions::default()).await?;
        let broker = Broker::connect(&vhost.amqp_url()).await?;
        broker.declare(FLOOR).await?;
        // Only its spool is in it, and only if the broker fails.
        let database = self.servers.database().await?;
        let groups = if matches!(who, Who::OursAlone) { "group_max_events = 1" } else { "" };
        let config = Config::write(&folder.0, &database.service_url(), &vhost.amqp_url(), groups)?;
        let (command, address) = self.command(who, &config, &vhost)?;
        let mut running = Running::start("contestant", command, &folder.0)?;
        match who {
            Who::Ours | Who::OursAlone => running.ready(config.admin("ingress")?, "/readyz").await?,
            _ => running.ready(&address, "/healthz").await?,
        }
        let before = (running.cpu_seconds(), self.servers.cpu_seconds());
        let full = self.send(&address, 0, Pace::Saturating, options).await?;
        let after = (running.cpu_seconds(), self.servers.cpu_seconds());
        let offered = offered.unwrap_or(full.rate * SHARE);
        let steady = self.send(&address, full.next, Pace::Arriving(offered), options).await?;
        running.check()?;
        let (peak, _) = running.memory_mib();

        let queue = if matches!(who, Who::BareToOneQueue) { FLOOR } else { Queue::EventArchive.name() };
        let ours = matches!(who, Who::Ours | Who::OursAlone);
        // What the broker did not confirm in time is in the spool, and is relayed.
        let spooled = relayed(&database).await?;
        let found = broker.drain(queue, |body| delivery_of(body, ours)).await?;
        running.stop().await?;
        let done = full.answered as f64;
        let mut run = Run {
            rate: full.rate,
            unit: "deliveries",
            p50_ms: Some(steady.quantile_ms(0.5)),
            p99_ms: Some(steady.quantile_ms(0.99)),
            offered: Some(offered),
            cpu_program: per_thousand(after.0 - before.0, done),
            cpu_broker: per_thousand(after.1.0 - before.1.0, done),
            peak_mib: Some(peak),
            errors: full.errors() + steady.errors(),
            wrong: audit(&[full, steady], &found),
            ..Run::default()
        };
        if spooled > 0 {
            run.wrong.push(format!("{spooled} stay in the spool"));
        }
        drop(broker);
        tokio::task::spawn_blocking(move || drop((database, vhost))).await?;
        Ok(run)
    }

    async fn send(&self, address: &str, from: usize, pace: Pace, options: &Options) -> Result<Loaded> {
        send(Load {
            address: address.to_owned(),
            connections: self.connections,
            requests: Arc::clone(self.requests),
            from,
            pace,
            time: Duration::from_secs(options.seconds.into()),
        })
        .await
    }

    /// What starts a contestant, and where it listens.
    fn command(&self, who: &Who<'_>, config: &Config, vhost: &Vhost) -> Result<(Command, String)> {
        let port = free_port()?;
        let mut command = match who {
            Who::Ours | Who::OursAlone => {
                let mut command = program("matchpurse-ingress")?;
                command.arg("--config").arg(&config.path);
                return Ok((command, config.ingress.clone()));
            }
            Who::Bare | Who::BareToOneQueue => program("bench-bare")?,
            Who::Other(installed) => installed.command(),
        };
        let one_queue = matches!(who, Who::BareToOneQueue);
        let (exchange, key) =
            if one_queue { ("", FLOOR) } else { (EVENTS_EXCHANGE, self.signature.routing_key.as_str()) };
        let Signature { header, prefix, key: secret, .. } = self.signature;
        command.envs([
            ("BENCH_PORT", port.to_string()),
            ("BENCH_PATH", format!("/hooks/{ONE_SOURCE}")),
            ("BENCH_AMQP", vhost.amqp_url()),
            ("BENCH_EXCHANGE", exchange.to_owned()),
            ("BENCH_ROUTING_KEY", key.to_owned()),
            ("BENCH_HEADER", header.clone()),
            ("BENCH_PREFIX", prefix.clone()),
            ("BENCH_SECRET", secret.clone()),
        ]);
        Ok((command, format!("127.0.0.1:{port}")))
    }
}

/// Waits until the spool is empty; what never leaves it.
async fn relayed(database: &Database) -> Result<i64> {
    let (client, begun) = (connect(&database.url()).await?, Instant::now());
    loop {
        let waiting = number(&client, "SELECT count(*) FROM spool").await?;
        if waiting == 0 || begun.elapsed() > RELAY_PATIENCE {
            return Ok(waiting);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The delivery that a message is of. A contestant publishes the body as it came.
fn delivery_of(body: &[u8], ours: bool) -> Result<Uuid> {
    if !ours {
        let source = SourceName::parse(ONE_SOURCE)?;
        return Ok(EventId::of_delivery(&source, "POST", body, 0).uuid());
    }
    let event = wire::decode(body)?;
    // Of a delivery with several events the first one counts.
    Ok(if event.id == event.delivery_id { event.id.uuid() } else { Uuid::nil() })
}

/// What was answered as kept must be there, as often as it was; what got no answer may be.
fn audit(loaded: &[Loaded], found: &HashMap<Uuid, u32>) -> Vec<String> {
    let mut wanted: HashMap<Uuid, (u32, u32)> = HashMap::new();
    for part in loaded {
        for id in &part.kept {
            wanted.entry(*id).or_default().0 += 1;
        }
        for id in &part.unknown {
            wanted.entry(*id).or_default().1 += 1;
        }
    }
    let (mut lost, mut doubled) = (0_u64, 0_u64);
    for (id, (kept, unknown)) in &wanted {
        let there = found.get(id).copied().unwrap_or(0);
        lost += u64::from(kept.saturating_sub(there));
        doubled += u64::from(there.saturating_sub(kept + unknown));
    }
    let strange = found.keys().filter(|id| !id.is_nil() && !wanted.contains_key(id)).count();
    let tell = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    [
        tell(lost, "were answered as kept and are not there"),
        tell(doubled, "are there more often than they were sent"),
        tell(u64::try_from(strange).unwrap_or(u64::MAX), "are there and should have been refused"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
