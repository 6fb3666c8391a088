//! All programs at once, as a deployment runs them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::Queue;
use matchpurse_testkit::{Database, Vhost};
use tokio_postgres::Client;

use crate::ages::{AGE, Ages};
use crate::broker::Broker;
use crate::config::Config;
use crate::http;
use crate::programs::{Folder, Running, program};
use crate::servers::{Servers, connect, number};

/// Until the queues are empty after the last request.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Beside the workers.
const OTHERS: [&str; 2] = ["dispatcher", "ingress"];

/// Five workers, the dispatcher and the ingress, on a database and a virtual host of their own.
pub(super) struct Everything {
    pub(super) config: Config,
    pub(super) broker: Broker,
    pub(super) client: Client,
    running: Vec<Running>,
    folder: Folder,
    vhost: Vhost,
    database: Database,
}

impl Everything {
    pub(super) async fn start(servers: &Servers) -> Result<Self> {
        let (folder, vhost, database) = (Folder::new()?, servers.vhost()?, servers.database().await?);
        matchpurse_bus::declare_topology(&vhost.amqp_url(), &matchpurse_bus::BusOptions::default()).await?;
        let config = Config::write(&folder.0, &database.service_url(), &vhost.amqp_url(), "")?;
        let (broker, client) = (Broker::connect(&vhost.amqp_url()).await?, connect(&database.url()).await?);
        let mut all = Self { config, broker, client, running: Vec::new(), folder, vhost, database };
        for name in Queue::ALL.into_iter().map(Queue::worker).chain(OTHERS) {
            all.start_program(name).await?;
        }
        Ok(all)
    }

    /// Starts one of them, and waits until it is ready.
    pub(super) async fn start_program(&mut self, name: &str) -> Result<()> {
        let mut command = program(&format!("matchpurse-{name}"))?;
        command.arg("--config").arg(&self.config.path);
        let mut started = Running::start(name, command, &self.folder.0)?;
        started.ready(self.config.admin(name)?, "/readyz").await?;
        self.running.push(started);
        Ok(())
    }

    pub(super) async fn stop_program(&mut self, name: &str) -> Result<()> {
        let place = self.running.iter().position(|one| one.name() == name);
        self.running.swap_remove(place.with_context(|| format!("no program {name}"))?).stop().await
    }

    /// That none has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        self.running.iter_mut().try_for_each(Running::check)
    }

    pub(super) fn cpu_seconds(&self) -> f64 {
        self.running.iter().map(Running::cpu_seconds).sum()
    }

    /// The memory of each now, in MiB.
    pub(super) fn memory_mib(&self) -> BTreeMap<String, f64> {
        self.running.iter().map(|one| (one.name().to_owned(), one.memory_mib().1)).collect()
    }

    /// The most that each has had, in MiB.
    pub(super) fn peaks_mib(&self) -> BTreeMap<String, f64> {
        self.running.iter().map(|one| (one.name().to_owned(), one.memory_mib().0)).collect()
    }

    /// The messages that are ready in all workers' queues.
    pub(super) async fn waiting(&self) -> Result<u64> {
        let mut sum = 0;
        for queue in Queue::ALL {
            sum += self.broker.ready(queue.name()).await?;
        }
        Ok(sum)
    }

    /// The messages in all workers' queues and hands, as the broker told of them last: it counts every five seconds.
    pub(super) fn messages(&self) -> Result<u64> {
        let path = format!("/api/queues/{}?columns=name,messages", self.vhost.name());
        let told = self.vhost.request("GET", &path, "")?.body;
        let told: Vec<serde_json::Value> = serde_json::from_str(&told)?;
        let is_worker = |queue: &&serde_json::Value| {
            let name = queue.get("name").and_then(serde_json::Value::as_str);
            Queue::ALL.into_iter().any(|known| Some(known.name()) == name)
        };
        let messages = |queue: &serde_json::Value| queue.get("messages").and_then(serde_json::Value::as_u64);
        Ok(told.iter().filter(is_worker).filter_map(messages).sum())
    }

    /// How long events took so far, by worker.
    pub(super) async fn ages(&self) -> Result<BTreeMap<&'static str, Ages>> {
        self.histograms(AGE).await
    }

    /// A histogram of each worker's metrics.
    pub(super) async fn histograms(&self, metric: &str) -> Result<BTreeMap<&'static str, Ages>> {
        let mut ages = BTreeMap::new();
        for name in self.workers() {
            let (_, metrics) = http::get(self.config.admin(name)?, "/metrics").await?;
            ages.insert(name, Ages::read(&metrics, metric));
        }
        Ok(ages)
    }

    /// The workers that run.
    fn workers(&self) -> impl Iterator<Item = &'static str> {
        let runs = |name: &&str| self.running.iter().any(|one| one.name() == *name);
        Queue::ALL.into_iter().map(Queue::worker).filter(runs)
    }

    /// Waits until all that was answered as kept is archived, and the queues are empty; what of that does not happen,
    /// and what the standing checks of the ledger and the archive say. `unknown` deliveries got no answer and may be
    /// there or not.
    pub(super) async fn until_through(&mut self, kept: usize, unknown: usize) -> Result<Vec<String>> {
        let (begun, mut wrong) = (Instant::now(), Vec::new());
        loop {
            self.check()?;
            let (waiting, archived) = (self.waiting().await?, self.archived().await?);
            if waiting == 0 && archived >= kept {
                break;
            }
            if begun.elapsed() > PATIENCE {
                wrong.push(format!("{waiting} wait in queues, {archived} of {kept} are archived"));
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let archived = self.archived().await?;
        if archived > kept + unknown {
            wrong.push(format!("{kept} deliveries were kept, {archived} are archived"));
        }
        Ok(wrong)
    }

    /// The deliveries in the archive.
    async fn archived(&self) -> Result<usize> {
        let sql = "SELECT count(*) FROM archive WHERE event_id = delivery_id";
        Ok(usize::try_from(number(&self.client, sql).await?)?)
    }

    /// What the standing checks of the ledger and the archive find.
    pub(super) fn audit(&self) -> Result<Option<String>> {
        audit(&self.config)
    }

    pub(super) async fn stop(self) -> Result<()> {
        let Self { running, broker, client, vhost, database, folder, .. } = self;
        for one in running.into_iter().rev() {
            one.stop().await?;
        }
        drop((client, broker, folder));
        Ok(tokio::task::spawn_blocking(move || drop((database, vhost))).await?)
    }
}

/// What the standing checks of the ledger and the archive find in the configuration's database.
pub(super) fn audit(config: &Config) -> Result<Option<String>> {
    let output = program("matchpurse")?.args(["audit", "--config"]).arg(&config.path).output()?;
    let (found, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Where it could not even look, its last words say why.
    let last = said.lines().last().unwrap_or_default();
    Ok((!output.status.success()).then(|| format!("matchpurse audit: {found} {last}")))
}
