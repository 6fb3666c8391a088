use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use matchpurse_bus::{Publisher, Status};
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::http_client::HttpError;
use matchpurse_service_kit::metrics::{self, MetricsError};
use matchpurse_service_kit::reload::follow;
use matchpurse_settings::{ConfigFiles, Settings};
use matchpurse_tls::{Acceptor, TlsError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, IngressHealth};
use crate::hooks::Hooks;
use crate::receive::Ingress;
use crate::rejected::RejectedLog;
use crate::reloading::Reloading;
use crate::{over_tls, port};

/// Probes and scrapers are few.
const ADMIN_WORKERS: usize = 1;

/// An ingress whose ports are bound and not yet served.
pub struct Application {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    server: Server,
    admin: Option<Server>,
    ingress: web::Data<Ingress>,
    health: Arc<IngressHealth>,
    drain_delay: Duration,
    drain_timeout: Duration,
    max_in_flight: u32,
    acceptor: Option<Arc<Acceptor>>,
    reloading: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Why the ingress cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A source cannot work as it is configured, or what it would be reached by over TLS cannot.
    #[error(transparent)]
    Sources(#[from] ConfigError),
    /// There can be no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port cannot be had.
    #[error("cannot listen on {address}, the value of `{setting}`")]
    Listen {
        /// The address as it was given.
        address: String,
        /// The setting that gave it.
        setting: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No metrics recorder.
    #[error("cannot set up the metrics")]
    Metrics(#[source] MetricsError),
    /// The database that keeps answers cannot be used as it is configured.
    #[error("the database of the answers cannot be used")]
    Database(#[source] matchpurse_store::Error),
    /// No HTTP client to fetch public keys with.
    #[error("cannot set up the HTTP client")]
    HttpClient(#[source] HttpError),
}

impl Application {
    /// Checks the sources and binds the ports of the settings; port 0 takes a free one. Events are published
    /// on the runtime that this is called on; the server has threads of its own.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(settings: &Settings, publisher: Arc<dyn Publisher>) -> Result<Self, BuildError> {
        let metrics = metrics::install().map_err(BuildError::Metrics)?;
        let hooks = Hooks::new(settings, Arc::clone(&publisher))?;
        let own = &settings.ingress;
        let rejected = Arc::clone(&hooks.0.rejected);
        let health = Arc::new(IngressHealth::new(publisher));

        let acceptor = over_tls::identity(own)?.map(|identity| Arc::new(Acceptor::new(identity)));
        let (address, server) = port::open(own, &hooks, &health, acceptor.clone())
            .map_err(|source| listen_error(&own.listen, "ingress.listen", source))?;
        let admin = match &own.admin_listen {
            None => None,
            Some(listen) => {
                let admin = Admin { health: Arc::clone(&health), metrics, rejected };
                Some(admin_server(listen, admin)?)
            }
        };
        let (admin_address, admin) = admin.unzip();
        Ok(Self {
            address,
            admin_address,
            server,
            admin,
            ingress: hooks.0,
            health,
            drain_delay: Duration::from_millis(own.drain_delay_ms),
            drain_timeout: Duration::from_millis(own.drain_timeout_ms),
            max_in_flight: own.max_in_flight,
            acceptor,
            reloading: None,
        })
    }

    /// Takes over what changes in these files while it serves, looking at them every so often; `settings` are those of
    /// the start.
    #[must_use]
    pub fn with_reload(mut self, files: ConfigFiles, settings: Settings, every: Duration) -> Self {
        let (loaded, shown) = (files.loaded(), self.health.configuration());
        let (ingress, acceptor) = (self.ingress.clone(), self.acceptor.clone());
        let reloading = Reloading { ingress, acceptor, files, started: settings };
        self.reloading = Some(Box::pin(follow(reloading, loaded, every, shown)));
        self
    }

    /// Shows the relay from the spool to the broker beside the ingress's own checks. The ingress is ready without
    /// it: while it waits, the spool keeps the events.
    #[must_use]
    pub fn with_relay(self, relay: Status) -> Self {
        self.health.show_relay(relay);
        self
    }

    /// Where deliveries are taken, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin port, if the settings want one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The log of refused deliveries; it lives on with the handle.
    pub fn rejected(&self) -> Arc<RejectedLog> {
        Arc::clone(&self.ingress.rejected)
    }

    /// Serves until `stop` is tripped, then drains: readiness fails, deliveries are taken for the drain delay
    /// still, those in work end, and only then the admin port closes. All of that has ended when drain delay and
    /// drain timeout have both gone by since the token was tripped.
    ///
    /// # Errors
    /// When a server ends by itself.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> io::Result<()> {
        let mut background = JoinSet::new();
        let fetching = self.ingress.clone();
        background.spawn(async move { fetching.sources.keep_keys_fresh().await });
        if let Some(reloading) = self.reloading {
            background.spawn(reloading);
        }
        let (handle, admin_handle) = (self.server.handle(), self.admin.as_ref().map(Server::handle));
        let mut servers = JoinSet::new();
        servers.spawn(self.server);
        if let Some(admin) = self.admin {
            servers.spawn(admin);
        }
        self.health.serving();
        let admin_address = self.admin_address.map(tracing::field::display);
        let over_tls = self.acceptor.is_some();
        tracing::info!(address = %self.address, over_tls, admin_address, "taking deliveries");

        let ended = tokio::select! {
            () = stop.cancelled() => None,
            Some(ended) = servers.join_next() => Some(ended),
        };
        self.health.draining();
        let delay = if ended.is_none() { self.drain_delay } else { Duration::ZERO };
        let deadline = Instant::now() + delay + self.drain_timeout;
        if ended.is_none() {
            tracing::info!("draining");
            tokio::time::sleep(delay).await;
        }
        let drained = async {
            handle.stop(true).await;
            // Those whose sender has hung up are in work without a connection.
            drop(self.ingress.places.acquire_many(self.max_in_flight).await);
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("deliveries were still in work at the end of the drain");
        }
        // Probes were answered until here.
        if let Some(admin_handle) = admin_handle {
            admin_handle.stop(false).await;
        }
        drop(background);
        tracing::info!("stopped");
        match ended {
            None => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(io::Error::other(panic)),
            Some(Ok(Ok(()))) => Err(io::Error::other("a server ended by itself")),
        }
    }
}

fn admin_server(listen: &str, admin: Admin) -> Result<(SocketAddr, Server), BuildError> {
    let health = web::Data::from(Arc::clone(&admin.health));
    let admin = web::Data::new(admin);
    let server = HttpServer::new(move || {
        App::new().app_data(admin.clone()).app_data(health.clone()).configure(admin::routes)
    })
    .workers(ADMIN_WORKERS);
    let failed = |source| listen_error(listen, "ingress.admin_listen", source);
    let server = server.bind(listen).map_err(failed)?.disable_signals();
    let address = port::first(&server.addrs()).map_err(failed)?;
    Ok((address, server.run()))
}

fn listen_error(address: &str, setting: &'static str, source: io::Error) -> BuildError {
    BuildError::Listen { address: address.to_owned(), setting, source }
}
