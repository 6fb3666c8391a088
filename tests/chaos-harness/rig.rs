//! All programs on a database and a virtual host of their own, and the blows they take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_simulator::{Expected, SimulatedSource};
use matchpurse_testkit::{Database, Vhost};
use uuid::Uuid;

use crate::links::Links;
use crate::servers::Servers;
use crate::stand_in::StandIn;
use crate::system::http::Request;
use crate::system::service::Service;
use crate::system::sources::Source;
use crate::system::{Folder, Plan, System};

/// A dispatcher that is killed gives back what it was sending when its lease ends: as early as may be configured.
const DISPATCHER: &str = "request_timeout_ms = 1000
connect_timeout_ms = 500
lease_ms = 12000
breaker_pause_min_ms = 1000
breaker_pause_max_ms = 4000";

/// What a worker never got is brought to it soon.
const WORKERS: &str = "[workers]\nmissed_poll_ms = 500\n";

/// Everything that a round is played on.
pub(crate) struct Rig {
    // Dropped in this order: programs first, and what they stand on last.
    pub(crate) system: System,
    pub(crate) stand_ins: [StandIn; 2],
    pub(crate) links: Links,
    pub(crate) vhost: Vhost,
    pub(crate) database: Database,
    /// Soon after this no server is killed.
    pub(crate) declared: Instant,
    /// What must be there after all rounds so far.
    pub(crate) expected: Expected,
    /// Every delivery that was taken, with its round, as the log outside says.
    pub(crate) accepted: BTreeMap<Uuid, u32>,
    /// Every event that must have come of these, with its delivery, as the providers' scripts say.
    pub(crate) events: BTreeMap<Uuid, Uuid>,
    /// Where logs and journals are; it stays when something was wrong.
    pub(crate) folder: Folder,
}

impl Rig {
    /// Starts everything; services and servers are connected through [`Links`] where these are to be broken.
    pub(crate) async fn build(servers: &Servers, through_links: bool) -> Result<Self> {
        let database = Database::create_on(&servers.database).await?;
        let vhost = Vhost::create_on(&servers.amqp, &servers.management)?;
        let folder = Folder::new()?;
        let stand_ins = [
            StandIn::start("any-order", false, &folder.0).await?,
            StandIn::start("in-order", true, &folder.0).await?,
        ];
        let (links, variables) = Links::lay(&database, &vhost).await?;
        let sources = matchpurse_providers::all().iter().map(|one| Source::new(*one, one.id()));
        let plan = Plan {
            sources: sources.collect::<Result<_>>()?,
            database_url: Some(database.url()),
            service_url: Some(database.service_url()),
            broker_url: Some(vhost.amqp_url()),
            broker: "confirm_timeout_ms = 2000",
            ingress: "request_timeout_ms = 60000",
            dispatcher: DISPATCHER,
            reconciler: "",
            more: stand_ins.iter().map(StandIn::toml).chain([WORKERS.to_owned()]).collect(),
            variables: if through_links { variables } else { BTreeMap::new() },
        };
        let system = System::start_with(plan).await?;
        let declared = Instant::now();
        let (expected, accepted, events) = (Expected::default(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { system, stand_ins, links, vhost, database, declared, expected, accepted, events, folder })
    }

    /// The sources, as they are played.
    pub(crate) fn simulated(&self) -> Result<Vec<SimulatedSource>> {
        let simulated = |source: &Source| {
            let key = |role: &str| source.keys.get(role).map(|keys| keys.sign.clone());
            let webhook = key("webhook").context("a source without a key")?;
            let simulated = SimulatedSource::new(source.settings.clone(), webhook)?;
            Ok(match key("postback") {
                Some(postback) => simulated.with_postback_key(postback),
                None => simulated,
            })
        };
        self.system.sources.iter().map(simulated).collect()
    }

    /// A file of this rig.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Starts again, as an orchestrator does, whoever says of itself that it is not alive; how many that were.
    pub(crate) async fn revive(&mut self) -> Result<usize> {
        let mut revived = 0;
        for service in Service::ALL {
            let admin = self.system.service(service)?.admin_address().to_owned();
            let answer = Request::new("GET", "/healthz", b"").send(&admin).await?;
            if answer.status != 200 {
                println!("{} is not alive, and started again: {}", service.name(), answer.body.trim());
                self.system.kill9(service)?;
                self.system.restart(service).await?;
                revived += 1;
            }
        }
        Ok(revived)
    }

    /// The first queue with something in it.
    pub(crate) fn waiting(&self) -> Result<Option<String>> {
        for queue in Queue::ALL.into_iter().map(Queue::name).chain([DEAD_LETTER_QUEUE]) {
            let ready = self.vhost.ready(queue)?;
            if ready > 0 {
                return Ok(Some(format!("{ready} messages wait in {queue}")));
            }
        }
        Ok(None)
    }

    /// What each worker has acknowledged or parked since its start.
    pub(crate) async fn consumed(&mut self) -> Result<BTreeMap<Queue, u64>> {
        let mut all = BTreeMap::new();
        for queue in Queue::ALL {
            all.insert(queue, self.system.consumed(queue).await?);
        }
        Ok(all)
    }

    /// Stops everything in order; every program must end well.
    pub(crate) async fn stop(self) -> Result<()> {
        let Self { system, links, vhost, database, .. } = self;
        system.stop().await?;
        drop(links);
        // Elsewhere, because it blocks: PostgreSQL drops no database while a session of another lane waits for us to
        // read what it sends.
        Ok(tokio::task::spawn_blocking(move || drop((vhost, database))).await?)
    }

    /// Ends everything as it is; that shows the logs.
    pub(crate) async fn abandon(self) -> Result<()> {
        Ok(tokio::task::spawn_blocking(move || drop(self)).await?)
    }
}
