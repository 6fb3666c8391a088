use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use matchpurse_service_kit::admin::{AdminServer, ListenError};
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::health::{Check, Health};
use matchpurse_service_kit::http_client::HttpError;
use matchpurse_service_kit::metrics::{self, MetricsError};
use matchpurse_service_kit::reload::follow;
use matchpurse_settings::{ApiSettings, ConfigFiles, Settings};
use matchpurse_store::{Migrations, Store, chain};
use matchpurse_wiring::store_options;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::auth::KeysError;
use crate::console::Sealer;
use crate::reloading::Reloading;
use crate::token_checks::TokenChecks;
use crate::{body, conditional, cors, erasures, observe, routes, standing};

/// The name by which the database knows this service.
const SERVICE: &str = "matchpurse-api";

/// How long an idle connection is kept. Longer than load balancers keep theirs (60 s is usual), so that it is
/// never us who closes a connection on which a request is just being sent.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How often the database is asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// An API whose ports are bound and not yet served.
pub struct Application {
    address: SocketAddr,
    server: Server,
    admin: Option<AdminServer>,
    api: web::Data<Api>,
    settings: Settings,
    serving: Check,
    database: Check,
    health: Health,
    reloading: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Why the API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The public port cannot be had.
    #[error("cannot listen on {address}, the value of `api.listen`")]
    Listen {
        /// The address as it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The admin port cannot be had.
    #[error(transparent)]
    Admin(#[from] ListenError),
    /// The database's settings will not do.
    #[error("the database cannot be used")]
    Database(#[source] matchpurse_store::Error),
    /// The keys of JWTs cannot be had.
    #[error("the keys of `api.jwt` cannot be used")]
    Keys(#[source] KeysError),
    /// The sessions of the console cannot be sealed.
    #[error("the console's sessions cannot be had")]
    Sessions(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Providers cannot be called.
    #[error("providers cannot be called")]
    Calls(#[source] HttpError),
    /// A source's provider cannot be called as the settings say.
    #[error("the sources cannot be used")]
    Sources(#[source] ConfigError),
    /// No metrics recorder.
    #[error("cannot set up the metrics")]
    Metrics(#[source] MetricsError),
}

impl Application {
    /// Binds the ports of the settings; port 0 takes a free one. Nothing is asked of the database yet: while it is
    /// away, requests are answered 503. They run on the runtime that this is called on.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(settings: &Settings) -> Result<Self, BuildError> {
        let metrics = metrics::install().map_err(BuildError::Metrics)?;
        let options = store_options(settings, SERVICE);
        let store = Store::new(&options).map_err(BuildError::Database)?;
        let secret = settings.api.console_secret.as_ref().map(|secret| secret.expose());
        let sealer = Sealer::new(secret).map_err(|error| BuildError::Sessions(Box::new(error)))?;
        let token_checks = TokenChecks::new(settings, store.clone()).map_err(BuildError::Calls)?;
        token_checks.take_over(settings).map_err(BuildError::Sources)?;
        let api = Api::new(settings, store, options, sealer, token_checks).map_err(BuildError::Keys)?;
        let api = web::Data::new(api);
        let health = Health::new("api");
        let (serving, database) = (health.check("serving"), health.check("database"));
        let (address, server) = public_server(&settings.api, &api)
            .map_err(|source| BuildError::Listen { address: settings.api.listen.clone(), source })?;
        let admin = match &settings.api.admin_listen {
            None => None,
            Some(listen) => {
                Some(AdminServer::bind(listen, "api.admin_listen", health.clone(), metrics).await?)
            }
        };
        Ok(Self {
            address,
            server,
            admin,
            api,
            settings: settings.clone(),
            serving,
            database,
            health,
            reloading: None,
        })
    }

    /// Takes over what changes in these files while it serves, looking at them every so often.
    #[must_use]
    pub fn with_reload(mut self, files: ConfigFiles, every: Duration) -> Self {
        let (loaded, shown) = (files.loaded(), self.health.note("configuration"));
        let reloading = Reloading { api: self.api.clone(), files, started: self.settings.clone() };
        self.reloading = Some(Box::pin(follow(reloading, loaded, every, shown)));
        self
    }

    /// Where requests are taken, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin port, if the settings want one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminServer::address)
    }

    /// Serves until `stop` is tripped, then drains: readiness fails, requests in work end, and only then the admin
    /// port closes.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> io::Result<()> {
        let admin_address = self.admin_address().map(tracing::field::display);
        tracing::info!(address = %self.address, admin_address, "taking requests");
        if self.api.access.is_empty() {
            tracing::warn!("`api.tokens` names nobody, so every request is refused");
        }
        if self.settings.api.jwt.as_ref().is_some_and(|jwt| jwt.hs256_secret.is_some()) {
            tracing::warn!(
                "JWTs signed by HS256 are taken: whoever can read the configuration can make them"
            );
        }
        let drain = Duration::from_millis(self.settings.api.drain_timeout_ms);
        // The admin port is the last to go, so that a service that drains can be seen to.
        let ended = CancellationToken::new();
        let admin = self.admin.map(|admin| tokio::spawn(admin.run(ended.clone())));
        let followed = self.api.clone();
        let following = tokio::spawn(async move { followed.access.follow_keys().await });
        let reloading = self.reloading.map(tokio::spawn);
        let watching = watch(&self.settings, self.api.store.clone(), self.database);
        let standing = tokio::spawn(standing::follow(
            self.api.store.clone(),
            self.api.sources().map(str::to_owned).collect(),
        ));
        let erasing = tokio::spawn(erasures::follow(self.api.store.clone()));
        let handle = self.server.handle();
        let mut server = tokio::spawn(self.server);
        self.serving.ready();

        let by_itself = tokio::select! {
            () = stop.cancelled() => None,
            outcome = &mut server => Some(outcome),
        };
        self.serving.not_ready("draining");
        let api = self.api;
        // A stream never ends by itself, so it would be in work for ever.
        api.hub.close();
        let drained = async {
            handle.stop(true).await;
            // Those whose client has hung up are in work without a connection.
            api.idle().await;
        };
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!("requests were still in work at the end of the drain");
        }
        server.abort();
        watching.abort();
        following.abort();
        if let Some(reloading) = reloading {
            reloading.abort();
        }
        standing.abort();
        erasing.abort();
        ended.cancel();
        if let Some(Err(panic)) = match admin {
            Some(admin) => Some(admin.await),
            None => None,
        } {
            tracing::error!(%panic, "the admin port's task panicked");
        }
        tracing::info!("stopped");
        match by_itself {
            None => Ok(()),
            Some(Ok(Ok(()))) => Err(io::Error::other("the server ended by itself")),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(io::Error::other(panic)),
        }
    }
}

fn public_server(settings: &ApiSettings, api: &web::Data<Api>) -> io::Result<(SocketAddr, Server)> {
    let api = api.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .app_data(body::limits())
            .wrap(from_fn(conditional::conditional))
            .wrap(from_fn(cors::cors))
            .wrap(from_fn(observe::observe))
            .configure(routes::all)
    })
    .client_request_timeout(Duration::from_millis(settings.request_timeout_ms))
    .keep_alive(KEEP_ALIVE)
    // Whole seconds are all that it takes; rounded up, so that what was promised is kept.
    .shutdown_timeout(settings.drain_timeout_ms.div_ceil(1000))
    .disable_signals()
    .bind(&settings.listen)?;
    let address = server.addrs().first().copied();
    let address = address.ok_or_else(|| io::Error::other("no address was bound"))?;
    Ok((address, server.run()))
}

/// Keeps the database's check up to date. A database that lacks migrations is not ready: what this version asks for
/// may not be there.
fn watch(settings: &Settings, store: Store, check: Check) -> JoinHandle<()> {
    let url = settings.database.url.expose().into();
    tokio::spawn(async move {
        let mut migrated = false;
        loop {
            let problem = if migrated {
                store.ping().await.err().map(|error| chain(&error))
            } else {
                match Migrations::pending(&url).await {
                    Ok(pending) if pending.is_empty() => None,
                    Ok(pending) => Some(format!("the database lacks migrations: {}", pending.join(", "))),
                    Err(error) => Some(chain(&error)),
                }
            };
            migrated |= problem.is_none();
            match problem {
                None => check.ready(),
                Some(problem) => check.not_ready(problem),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}
