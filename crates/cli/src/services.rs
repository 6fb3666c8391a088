//! Every service in this process: the ingress, the workers behind it, the dispatcher, the reconciler, and the API.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use matchpurse_api::Application as Api;
use matchpurse_bus::{EmbeddedTransport, Publisher, RabbitTransport, Transport};
use matchpurse_ingress::{Application, Egress};
use matchpurse_service_kit::admin::AdminServer;
use matchpurse_service_kit::health::Health;
use matchpurse_service_kit::metrics;
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_wiring::{bus_options, worker_store_options};
use matchpurse_worker_kit::{Context, spawn};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Where the workers' health can be read: each has a port of its own as a process, and here they share one.
const WORKERS_ADMIN: &str = "127.0.0.1:0";

/// The services, running.
pub(crate) struct Services {
    /// Where deliveries are taken.
    pub(crate) address: SocketAddr,
    /// The ingress's health, and metrics, if the settings want a port for them.
    pub(crate) admin_address: Option<SocketAddr>,
    /// Where people and back-ends read and operate.
    pub(crate) api_address: SocketAddr,
    /// The API's health, and the same metrics, if the settings want a port for them.
    pub(crate) api_admin_address: Option<SocketAddr>,
    /// The workers' health, and the same metrics: they are the process's.
    pub(crate) workers_admin_address: SocketAddr,
    /// The database.
    pub(crate) store: Store,
    stop_servers: CancellationToken,
    stop_workers: CancellationToken,
    ingress: JoinHandle<std::io::Result<()>>,
    api: JoinHandle<std::io::Result<()>>,
    workers: JoinSet<Result<()>>,
    workers_admin: JoinHandle<()>,
    /// Ends the workers' admin port, after them.
    stop_admin: CancellationToken,
    egress: Option<Egress>,
    transport: Transport,
}

impl Services {
    /// Starts them, on RabbitMQ where the settings have one, else on the spool.
    pub(crate) async fn start(settings: Settings) -> Result<Self> {
        let settings = Arc::new(settings);
        let store =
            Store::connect(&worker_store_options(&settings, "matchpurse")).await.with_context(|| {
                format!("the database cannot be reached: {}", settings.database.url.redacted())
            })?;
        let options = bus_options(&settings, "matchpurse");
        let (transport, egress) = match &settings.broker.url {
            Some(url) => {
                let rabbit = RabbitTransport::start(url.expose(), &options)
                    .with_context(|| format!("the broker cannot be used: {}", url.redacted()))?;
                (Transport::Rabbit(rabbit), Some(Egress::start(&settings).await?))
            }
            None => {
                let spool = Arc::new(store.spool(settings.ingress.spool_events_max));
                (Transport::Embedded(EmbeddedTransport::new(spool, &options)), None)
            }
        };
        let publisher: Arc<dyn Publisher> = match &egress {
            Some(egress) => egress.publisher(),
            None => transport.publisher(),
        };
        let (stop_servers, stop_workers) = (CancellationToken::new(), CancellationToken::new());
        let mut application = Application::build(&settings, Arc::clone(&publisher)).await?;
        if let Some(relay) = egress.as_ref().and_then(Egress::relay_status) {
            application = application.with_relay(relay);
        }
        let (address, admin_address) = (application.address(), application.admin_address());
        // Its console shows where deliveries go, and asks there what was refused: the ports that there are, not a 0.
        let mut bound = Settings::clone(&settings);
        bound.ingress.listen = address.to_string();
        bound.ingress.admin_listen = admin_address.map(|address| address.to_string());
        let api = Api::build(&bound).await?;
        let (api_address, api_admin_address) = (api.address(), api.admin_address());
        let api = tokio::spawn(api.run_until_stopped(stop_servers.clone()));
        let ingress = tokio::spawn(application.run_until_stopped(stop_servers.clone()));
        let (health, stop_admin) = (Health::new("workers"), CancellationToken::new());
        let server = AdminServer::bind(WORKERS_ADMIN, "none", health.clone(), metrics::install()?).await?;
        let workers_admin_address = server.address();
        let workers_admin = tokio::spawn(server.run(stop_admin.clone()));
        let context = Context {
            store: store.clone(),
            transport: transport.clone(),
            settings: Arc::clone(&settings),
            health,
            shutdown: stop_workers.clone(),
        };
        if let Transport::Embedded(embedded) = &transport {
            let (embedded, stop) = (embedded.clone(), stop_workers.clone());
            tokio::spawn(async move { embedded.watch(stop).await });
        }
        let workers = workers(&settings, &context, publisher)?;
        Ok(Self {
            address,
            admin_address,
            api_address,
            api_admin_address,
            workers_admin_address,
            store,
            stop_servers,
            stop_workers,
            ingress,
            api,
            workers,
            workers_admin,
            stop_admin,
            egress,
            transport,
        })
    }

    /// Returns when a service ends by itself, which is a failure.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.ingress => server_ended("the ingress", ended),
            ended = &mut self.api => server_ended("the API", ended),
            Some(ended) = self.workers.join_next() => match ended {
                Ok(Ok(())) => anyhow::anyhow!("a worker ended by itself"),
                Ok(Err(error)) => error.context("a worker ended"),
                Err(error) => anyhow::Error::new(error).context("a worker panicked"),
            },
        }
    }

    /// Stops them in the order in which nothing is lost: first no delivery and no request is taken any more, then the
    /// workers finish the batch in hand.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop_servers.cancel();
        (&mut self.ingress)
            .await
            .context("the ingress panicked")?
            .context("the ingress ended with an error")?;
        (&mut self.api).await.context("the API panicked")?.context("the API ended with an error")?;
        if let Some(egress) = self.egress.take() {
            egress.stop().await;
        }
        self.stop_workers.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.context("a worker panicked")??;
        }
        self.transport.close().await;
        self.stop_admin.cancel();
        self.workers_admin.await.context("the workers' admin port panicked")
    }
}

/// What ends by itself has failed.
fn server_ended(name: &str, ended: Result<std::io::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("{name} ended by itself"),
        Ok(Err(error)) => anyhow::Error::new(error).context(format!("{name} ended")),
        Err(error) => anyhow::Error::new(error).context(format!("{name} panicked")),
    }
}

fn workers(
    settings: &Settings,
    context: &Context,
    publisher: Arc<dyn Publisher>,
) -> Result<JoinSet<Result<()>>> {
    let handles = [
        spawn(matchpurse_match_escrow::plan(settings)?, context.clone()),
        spawn(matchpurse_reward_fulfillment::plan(settings)?, context.clone()),
        spawn(matchpurse_player_stats::plan(settings)?, context.clone()),
        spawn(matchpurse_offer_removal::plan(settings)?, context.clone()),
        spawn(matchpurse_event_archive::plan(), context.clone()),
    ];
    let dispatching = matchpurse_dispatcher::spawn(matchpurse_dispatcher::Context {
        settings: Arc::clone(&context.settings),
        health: context.health.clone(),
        shutdown: context.shutdown.clone(),
        files: None,
    });
    let asking = matchpurse_reconciler::spawn(matchpurse_reconciler::Context {
        settings: Arc::clone(&context.settings),
        publisher,
        health: context.health.clone(),
        shutdown: context.shutdown.clone(),
        files: None,
    });
    let mut workers = JoinSet::new();
    for handle in handles.into_iter().chain([dispatching, asking]) {
        workers.spawn(async move { handle.await.context("a worker panicked")? });
    }
    Ok(workers)
}
