//! The real programs on a database and a virtual host of their own.

pub(crate) mod http;
pub(crate) mod provider;
pub(crate) mod service;
pub(crate) mod settle;
pub(crate) mod sources;
#[allow(dead_code, reason = "the kill harness uses all of it, the system tests a part")]
mod starting;
pub(crate) mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use matchpurse_domain::ids::EventId;
use matchpurse_testkit::{Database, Vhost};
use tokio_postgres::Client;
use uuid::Uuid;

use http::{Answer, Request};
use service::{Running, Service, free_port, program};
use sources::{Fixture, Source};

/// A condition is looked at again after this time.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A program that takes longer to start, on a busy machine, does not start.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(60);
/// A program that takes longer to stop hangs: what it has in hand is a batch.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// The secret of the API's one token.
const API_TOKEN: &str = "a-token-of-the-system-tests-0123456789";
/// How long a condition may take to come true: a busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How many deliveries are under way at once.
const SENDERS: usize = 16;

/// All programs, running. A test that ends without [`System::stop`] has failed, and is shown their logs.
pub(crate) struct System {
    pub(crate) sources: Vec<Source>,
    pub(crate) client: Client,
    database_url: String,
    services: Vec<Running>,
    /// The id of every delivery that was answered with 200 or 422, as often as it was.
    accepted: Mutex<Vec<Uuid>>,
    /// False once a worker's counts no longer go back to the beginning.
    counts_whole: bool,
    ingress: String,
    api: String,
    config: PathBuf,
    variables: BTreeMap<Service, Vec<(String, String)>>,
    varied: BTreeMap<Service, Vec<(String, String)>>,
    programs: Option<PathBuf>,
    folder: Folder,
    stopped: bool,
    _vhost: Option<Vhost>,
    database: Option<Database>,
}

/// What a system is made of. The default has a database and a virtual host of its own and nothing unusual.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<Source>,
    /// The broker's URL where it is not that of a new virtual host, which then must live longer.
    pub(crate) broker_url: Option<String>,
    /// The database's URL where it is not that of a new database; it must be migrated.
    pub(crate) database_url: Option<String>,
    /// The database's URL with the rights of a service, where it is not the one above.
    pub(crate) service_url: Option<String>,
    /// More lines of `[broker]`.
    pub(crate) broker: &'static str,
    /// More lines of `[ingress]`.
    pub(crate) ingress: &'static str,
    /// More lines of `[dispatcher]`.
    pub(crate) dispatcher: &'static str,
    /// More lines of `[reconciler]`.
    pub(crate) reconciler: &'static str,
    /// More tables.
    pub(crate) more: String,
    /// What is another's for one service: its variables.
    pub(crate) variables: BTreeMap<Service, Vec<(String, String)>>,
}

impl System {
    /// Starts all programs for these sources, and waits until they are ready.
    pub(crate) async fn start(sources: Vec<Source>) -> Result<Self> {
        Self::start_with(Plan { sources, ..Plan::default() }).await
    }

    /// Starts all programs, and waits until they are ready.
    pub(crate) async fn start_with(plan: Plan) -> Result<Self> {
        let database = match plan.database_url {
            Some(_) => None,
            None => Some(Database::create().await?),
        };
        // The programs have the rights of services; the test looks with the owner's.
        let service_url = plan.service_url.clone().or_else(|| plan.database_url.clone());
        let service_url = service_url.or_else(|| database.as_ref().map(Database::service_url));
        let service_url = service_url.context("no database")?;
        let database_url = plan.database_url.clone().or_else(|| database.as_ref().map(Database::url));
        let database_url = database_url.context("no database")?;
        let vhost = match plan.broker_url {
            Some(_) => None,
            None => Some(Vhost::create()?),
        };
        let broker_url = plan.broker_url.clone().or_else(|| vhost.as_ref().map(Vhost::amqp_url));
        let folder = Folder::new()?;
        let ports = Ports::choose()?;
        let config = folder.0.join("matchpurse.toml");
        let mut toml = settings(&service_url, &broker_url.context("no broker")?, &plan, &ports)?;
        for source in &plan.sources {
            writeln!(toml, "{}", source.toml()?)?;
        }
        std::fs::write(&config, toml)?;
        let mut system = Self {
            sources: plan.sources,
            client: connect(&database_url).await?,
            database_url,
            services: Vec::new(),
            accepted: Mutex::default(),
            counts_whole: true,
            ingress: format!("127.0.0.1:{}", ports.ingress),
            api: format!("127.0.0.1:{}", ports.api),
            config,
            variables: plan.variables,
            varied: BTreeMap::new(),
            programs: None,
            folder,
            stopped: false,
            _vhost: vhost,
            database,
        };
        for (service, port) in Service::ALL.into_iter().zip(ports.admin) {
            let admin = format!("127.0.0.1:{port}");
            let variables = system.variables_of(service);
            let running =
                Running::start(service, None, &system.config, &variables, &admin, &system.folder.0)?;
            system.services.push(running);
        }
        system.ready().await?;
        Ok(system)
    }

    /// The ingress's address.
    pub(crate) fn ingress(&self) -> &str {
        &self.ingress
    }

    /// The configuration of all programs.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// A folder that goes with the test.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// The database, when it is this system's own.
    pub(crate) fn database(&self) -> Result<&Database> {
        self.database.as_ref().context("the database is another's")
    }

    /// The source of this name.
    pub(crate) fn source(&self, name: &str) -> Result<&Source> {
        let found = self.sources.iter().find(|source| source.name.as_str() == name);
        found.with_context(|| format!("no source {name}"))
    }

    /// A running program.
    pub(crate) fn service(&mut self, service: Service) -> Result<&mut Running> {
        let found = self.services.iter_mut().find(|running| running.service == service);
        found.with_context(|| format!("{} does not run", service.name()))
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        request.send(&self.ingress).await
    }

    /// Asks the API, with a token and the headers of a write where there is a body.
    pub(crate) async fn ask_api(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut request = Request::new(method, path, body.as_bytes());
        let mut header =
            |name: &str, value: String| request.headers.push((name.to_owned(), value.into_bytes()));
        header("authorization", format!("Bearer {API_TOKEN}"));
        if !body.is_empty() {
            header("content-type", "application/json".to_owned());
            header("idempotency-key", unique());
        }
        request.send(&self.api).await
    }

    /// Sends a fixture's body, signed, and remembers it if it was kept.
    pub(crate) async fn deliver(&self, source: &str, fixture: &Fixture) -> Result<Answer> {
        let source = self.source(source)?;
        let request = source.delivery(fixture.role, fixture.method, &fixture.body)?;
        let answer = self.send(&request).await?;
        if matches!(answer.status, 200 | 422) {
            let id = EventId::of_delivery(&source.name, fixture.method.as_str(), &fixture.body, 0);
            self.accepted().push(id.uuid());
        }
        Ok(answer)
    }

    /// Sends many deliveries, some of them at the same time; each must be kept.
    pub(crate) async fn deliver_all(&self, deliveries: &[(&str, &Fixture)]) -> Result<()> {
        let sending = deliveries.iter().map(|(source, fixture)| async move {
            let answer = self.deliver(source, fixture).await?;
            ensure!(matches!(answer.status, 200 | 422), "{source}: {answer:?}");
            anyhow::Ok(())
        });
        futures_util::stream::iter(sending).buffer_unordered(SENDERS).try_collect().await
    }

    /// Sends lists of deliveries: each list in its order, one after the other, but the lists side by side.
    pub(crate) async fn deliver_side_by_side(&self, lists: &[(&str, Vec<Fixture>)]) -> Result<()> {
        let sending = lists.iter().map(|(source, list)| async move {
            for fixture in list {
                self.deliver_all(&[(source, fixture)]).await?;
            }
            anyhow::Ok(())
        });
        futures_util::stream::iter(sending).buffer_unordered(SENDERS).try_collect().await
    }

    fn accepted(&self) -> std::sync::MutexGuard<'_, Vec<Uuid>> {
        self.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until every program says that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        for running in &mut self.services {
            running.ready(START_PATIENCE).await?;
        }
        Ok(())
    }

    /// Connects to the database again, after it was away.
    pub(crate) async fn reconnect(&mut self) -> Result<()> {
        self.client = connect(&self.database_url).await?;
        Ok(())
    }

    /// One number.
    pub(crate) async fn count(&self, sql: &str) -> Result<i64> {
        Ok(self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?.try_get(0)?)
    }

    /// Rows of one text.
    pub(crate) async fn lines(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.client.query(sql, &[]).await.with_context(|| sql.to_owned())?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Stops everything in order; each program must end well, and leave a ledger and an archive that are whole.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let audit = program("matchpurse")?.args(["audit", "--config"]).arg(&self.config).output()?;
        let found = String::from_utf8_lossy(&audit.stdout);
        ensure!(audit.status.success(), "{found}\n{}", String::from_utf8_lossy(&audit.stderr));
        for running in &mut self.services {
            let status = running.terminate(STOP_PATIENCE).await?;
            ensure!(status.success(), "{} ended with {status}", running.service.name());
        }
        self.stopped = true;
        Ok(())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if !self.stopped {
            for running in &self.services {
                eprint!("{}", running.shown_log());
            }
            eprintln!("the configuration and the whole logs stay in {}", self.folder.keep().display());
        }
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    // It ends with the client, whose calls report what went wrong.
    tokio::spawn(connection);
    Ok(client)
}

/// The ports of a system's programs.
struct Ports {
    ingress: u16,
    api: u16,
    admin: [u16; Service::ALL.len()],
}

impl Ports {
    fn choose() -> Result<Self> {
        let mut ports: Vec<u16> = Vec::new();
        while ports.len() < Service::ALL.len() + 2 {
            ports.push(free_port()?);
        }
        let (ingress, api) = (ports.pop().context("no port")?, ports.pop().context("no port")?);
        let admin = ports.try_into().map_err(|ports| anyhow::anyhow!("{ports:?}"))?;
        Ok(Self { ingress, api, admin })
    }
}

fn settings(database_url: &str, broker_url: &str, plan: &Plan, ports: &Ports) -> Result<String> {
    let mut toml = format!(
        "[database]
         url = \"{database_url}\"
         pool_size = 4
         [broker]
         url = \"{broker_url}\"
         reconnect_max_ms = 1000
         {}
         [api.tokens.tester]
         secret = \"{API_TOKEN}\"
         scopes = [\"read\", \"operate\"]
         [telemetry]
         log_format = \"json\"\n",
        plan.broker
    );
    for (service, port) in Service::ALL.into_iter().zip(ports.admin) {
        writeln!(toml, "[{}]\nadmin_listen = \"127.0.0.1:{port}\"", service.section())?;
        match service {
            Service::Ingress => {
                writeln!(
                    toml,
                    "listen = \"127.0.0.1:{}\"\ndrain_delay_ms = 0\n{}",
                    ports.ingress, plan.ingress
                )?;
            }
            Service::Api => writeln!(toml, "listen = \"127.0.0.1:{}\"", ports.api)?,
            Service::Dispatcher => writeln!(toml, "{}", plan.dispatcher)?,
            Service::Reconciler => writeln!(toml, "{}", plan.reconciler)?,
            _ => {}
        }
    }
    writeln!(toml, "{}", plan.more)?;
    Ok(toml)
}

/// A folder of its own, deleted on drop.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("matchpurse-test-{}", unique()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Leaves it where it is.
    pub(crate) fn keep(&mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is empty once the folder is to stay.
        if self.0.is_absolute() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

/// Looks again and again until there is nothing left to say against it, or fails with what is said last.
pub(crate) async fn until(
    what: &str,
    patience: Duration,
    mut objection: impl AsyncFnMut() -> Result<Option<String>>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while let Some(objection) = objection().await? {
        if Instant::now() > deadline {
            bail!("not true after {patience:?}: {what}; {objection}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A word that no other test of this machine has.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let micros = sources::now().micros();
    format!("{micros:x}-{}-{count}", std::process::id())
}
