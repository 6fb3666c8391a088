//! One round: every process, the broker and the database are killed once in the middle of a simulation, and
//! afterwards everything is as it must be.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use matchpurse_local_servers::{Postgres, Rabbitmq};
use matchpurse_testkit::Studio;
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use crate::system::service::{Service, program};
use crate::system::sources::{Source, now};
use crate::system::{Plan, START_PATIENCE, System, until};

/// How long after the end of the simulation everything must have been applied: what was handed back while the
/// database was away waits for seconds before it comes again.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// How many more events must be in the archive before the next process is killed: it is in the middle of work.
const EVENTS_BETWEEN: i64 = 60;
/// How many events must be in the spool before RabbitMQ is started again.
const SPOOLED: i64 = 60;
/// So many lives that all kills happen before they are over; senders wait for their answers, so a slow machine
/// is slow in both.
const LIVES: &str = "1600";
const SENDERS: &str = "12";
/// What a killed dispatcher was sending is sent again when its lease ends: as early as may be configured.
const DISPATCHER: &str = "request_timeout_ms = 1000
connect_timeout_ms = 500
lease_ms = 12000";

/// The providers, played by a process of its own. It is killed when dropped.
struct Simulation(Child);

impl Simulation {
    fn start(system: &System, seed: &str, expected: &Path) -> Result<Self> {
        let key = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../crates/providers/src/okletsplay/fixtures/keys/private.pem");
        let log = std::fs::File::create(system.folder().join("simulate.log"))?;
        let child = program("matchpurse")?
            .args(["simulate", "--seed", seed, "--lives", LIVES, "--connections", SENDERS])
            .args(["--duplicates", "25", "--disorder", "40", "--bad-signatures", "5", "--odd", "5"])
            .arg("--config")
            .arg(system.config())
            .args(["--target", &format!("http://{}", system.ingress())])
            .arg("--sign-key")
            .arg(format!("okletsplay={}", key.display()))
            .arg("--expect")
            .arg(expected)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// Lets it wait, or go on: while a server takes its time to start again, it must not come to its end.
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn whatever_is_killed_nothing_is_lost_or_done_twice() -> Result<()> {
    let (postgres, rabbitmq) = tokio::join!(Postgres::start_temporary(), Rabbitmq::start_temporary());
    let (mut postgres, mut rabbitmq) = (postgres?, rabbitmq?);
    let migrated =
        program("matchpurse")?.arg("migrate").env("MATCHPURSE_DATABASE__URL", postgres.url()).output()?;
    ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let studio = Studio::start().await?;
    let sources = matchpurse_providers::all().iter().map(|provider| Source::new(*provider, provider.id()));
    let plan = Plan {
        sources: sources.collect::<Result<_>>()?,
        database_url: Some(postgres.url()),
        broker_url: Some(rabbitmq.amqp_url()),
        dispatcher: DISPATCHER,
        more: format!(
            "[endpoints.game]\nurl = \"{}\"\nsecrets = [\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]\nallow_private = true",
            studio.url("/hook")
        ),
        ..Plan::default()
    };
    let mut system = System::start_with(plan).await?;
    let seed = std::env::var("MATCHPURSE_TEST_SEED").unwrap_or_else(|_| now().seconds().to_string());
    eprintln!("the seed is {seed}; MATCHPURSE_TEST_SEED={seed} plays the same");
    let expected = system.folder().join("expected.json");
    let mut simulation = Simulation::start(&system, &seed, &expected)?;

    for service in Service::ALL {
        some_work(&system, &mut simulation, service.name()).await?;
        system.kill9(service)?;
        system.restart(service).await?;
    }
    // The queues were declared long ago: within a second of it RabbitMQ 3.10 would not survive this.
    some_work(&system, &mut simulation, "RabbitMQ").await?;
    rabbitmq.kill9().await;
    until("deliveries come while RabbitMQ is away", DRAIN_PATIENCE, async || {
        let spooled = system.count("SELECT count(*) FROM spool").await?;
        Ok((spooled < SPOOLED).then(|| format!("{spooled} are in the spool")))
    })
    .await?;
    simulation.signal(Signal::STOP)?;
    rabbitmq.restart().await?;
    system.ready().await?;
    simulation.signal(Signal::CONT)?;
    some_work(&system, &mut simulation, "PostgreSQL").await?;
    postgres.kill9().await;
    postgres.restart().await?;
    simulation.signal(Signal::STOP)?;
    system.reconnect().await?;
    system.ready().await?;
    simulation.signal(Signal::CONT)?;
    some_work(&system, &mut simulation, "nothing more").await?;

    let log = system.folder().join("simulate.log");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut ended = None;
    until("the simulation is over", DRAIN_PATIENCE, async || {
        ended = simulation.0.try_wait()?;
        Ok(ended.is_none().then(said))
    })
    .await?;
    ensure!(ended.is_some_and(|status| status.success()), "not as planned: {}", said());
    println!("{}", said());

    let events = expected_events(&expected)?;
    until("everything is applied", DRAIN_PATIENCE, async || {
        let archived = system.count("SELECT count(*) FROM archive").await?;
        let objection = system.not_applied(&[]).await?;
        Ok(if archived < events { Some(format!("{archived} of {events} are archived")) } else { objection })
    })
    .await?;
    let audit = program("matchpurse")?
        .args(["audit", "--config"])
        .arg(system.config())
        .arg("--expect")
        .arg(&expected)
        .output()?;
    let (found, problems) = (String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    ensure!(audit.status.success(), "the audit of seed {seed} is not clean:\n{found}\n{problems}");
    println!("{found}");
    until("the studio has all notices", DRAIN_PATIENCE, async || {
        let waiting = system.count("SELECT count(*) FROM delivery WHERE state <> 'delivered'").await?;
        Ok((waiting > 0).then(|| format!("{waiting} wait")))
    })
    .await?;
    told_once_each(&system, &studio).await?;
    system.stop().await?;
    tokio::try_join!(postgres.stop(), rabbitmq.stop())?;
    Ok(())
}

/// The studio has taken every notice, and nothing else, and never one with other bytes; every grant is fulfilled.
async fn told_once_each(system: &System, studio: &Studio) -> Result<()> {
    let mut bodies: BTreeMap<Uuid, Vec<u8>> = BTreeMap::new();
    for request in studio.take_requests() {
        let id = Uuid::try_parse(request.webhook_id())?;
        let first = bodies.entry(id).or_insert_with(|| request.body.clone());
        ensure!(*first == request.body, "{id} came with other bytes");
    }
    let mut kept = BTreeMap::new();
    for row in system.client.query("SELECT webhook_id, body FROM outbox", &[]).await? {
        kept.insert(row.try_get(0)?, row.try_get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default());
    }
    ensure!(kept.len() > 100, "only {} notices", kept.len());
    ensure!(kept == bodies, "{} notices were kept, and the studio took {}", kept.len(), bodies.len());
    let open = "SELECT state || ' ' || grant_id FROM reward_grant WHERE state IN ('granted', 'delivering', 'failed')";
    let open = system.lines(open).await?;
    ensure!(open.is_empty(), "not fulfilled: {open:?}");
    Ok(())
}

/// Waits until more events have gone all the way. The simulation must still be on: a kill afterwards would
/// show nothing.
async fn some_work(system: &System, simulation: &mut Simulation, next: &str) -> Result<()> {
    let archived = || system.count("SELECT count(*) FROM archive");
    let before = archived().await?;
    until(&format!("there is work before {next} is killed"), START_PATIENCE, async || {
        let more = archived().await? - before;
        Ok((more < EVENTS_BETWEEN).then(|| format!("{more} more events in the archive")))
    })
    .await?;
    println!("there was work; next is {next}");
    let ended = simulation.0.try_wait()?;
    ensure!(ended.is_none(), "the simulation was over before {next} was killed: more lives are needed");
    Ok(())
}

/// How many distinct events the simulation has sent.
fn expected_events(path: &Path) -> Result<i64> {
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let sources = expected.as_object().context("no sources")?.values();
    Ok(sources.filter_map(|source| source["events"].as_i64()).sum())
}
