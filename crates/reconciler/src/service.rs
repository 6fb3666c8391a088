//! The reconciler with all that it needs around it, in a process of its own or beside others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::Publisher;
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::health::{Check, Health};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_service_kit::reload::{LOOK_EVERY, Reload, follow};
use matchpurse_settings::{ConfigFiles, Settings};
use matchpurse_store::{Migrations, Store, chain};
use matchpurse_wiring::store_options;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::asker::Asker;
use crate::asking::Asking;
use crate::turn::ask_source;
use crate::{USER_AGENT, check_inquiries};

/// The name by which the database and the health report know this service.
pub(crate) const SERVICE: &str = "reconciler";

/// How much of an answer is read, in bytes: a list of offers has many.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is taken over while it runs: how providers are asked, and with which keys. And what the reconciler does not read.
const NOT_FOR_THE_NEXT_START: [&str; 12] = [
    "api.tokens",
    "archive",
    "dispatcher",
    "endpoints",
    "ingress",
    "leaderboards",
    "operations",
    "sources.*.keys",
    "sources.*.max_body_bytes",
    "sources.*.options",
    "sources.*.secrets",
    "workers",
];

/// What a reconciler has to work with.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Takes what was found.
    pub publisher: Arc<dyn Publisher>,
    /// The checks of the process.
    pub health: Health,
    /// Tripped when it is time to end.
    pub shutdown: CancellationToken,
    /// Where the settings were read from, if they are to be followed.
    pub files: Option<ConfigFiles>,
}

/// Runs a reconciler in the background of this process; see [`run`].
pub fn spawn(context: Context) -> JoinHandle<Result<()>> {
    tokio::spawn(run(context))
}

/// Runs a reconciler until [`Context::shutdown`], then lets what is being asked end for as long as the settings allow.
/// Without a source that is to be asked it waits for one.
///
/// # Errors
/// When it cannot start: the database's URL or a source of the configuration will not do.
pub async fn run(context: Context) -> Result<()> {
    let Context { settings, publisher, health, shutdown, files } = context;
    let migrated = health.check("migrations");
    let stall_after = Duration::from_millis(settings.reconciler.stall_after_ms);
    let store = Store::new(&store_options(&settings, SERVICE))?;
    let client = client(&settings)?;
    check_inquiries(&settings)?;
    let url = settings.database.url.expose().into();
    tokio::select! {
        () = Migrations::await_all(&url, |problem| migrated.not_ready(problem)) => migrated.ready(),
        () = shutdown.cancelled() => return Ok(()),
    }
    let (changed, mut current) = watch::channel(Arc::clone(&settings));
    let following = files.map(|files| {
        let (loaded, shown) = (files.loaded(), health.note("configuration"));
        let reloading = Reloading { files, started: Settings::clone(&settings), changed };
        tokio::spawn(follow(reloading, loaded, LOOK_EVERY, shown))
    });
    let asking = Arc::new(Asking { store, publisher, settings: settings.reconciler.clone() });
    let turning = Arc::new(health.check_with_progress("asking", stall_after));
    while !shutdown.is_cancelled() {
        let changed = Arc::clone(&current.borrow_and_update());
        let stop = shutdown.child_token();
        let mut sources = ask_all((&settings, &changed), &client, &asking, &stop, &turning)?;
        if sources.is_empty() {
            tracing::info!("no source is configured to be asked");
            turning.ready();
        }
        // Idle, it says itself that it is alive.
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = current.changed() => break,
                () = sleep(stall_after / 4), if sources.is_empty() => turning.ready(),
            }
        }
        stop.cancel();
        while sources.join_next().await.is_some() {}
    }
    turning.not_ready("shutting down");
    if let Some(following) = following {
        following.abort();
    }
    Ok(())
}

/// Has every source asked that is configured so by the settings of today. Which sources there are, and the rules by which
/// money moves, are the workers' business too, and stay those of the start until all are started anew.
fn ask_all(
    (started, today): (&Settings, &Settings),
    client: &HttpClient,
    asking: &Arc<Asking>,
    stop: &CancellationToken,
    turning: &Arc<Check>,
) -> Result<JoinSet<()>> {
    let time_limit = Duration::from_millis(started.reconciler.request_timeout_ms);
    let mut sources = JoinSet::new();
    for mut asker in Asker::all(today)? {
        let source = started.sources.get(&asker.source);
        let Some(source) = source.filter(|source| source.provider() == asker.adapter.id()) else { continue };
        asker.settings.policy = source.policy().clone();
        let calling = asker.calling(client, &asking.store, time_limit);
        let turning = Arc::clone(turning);
        let turned = move |turn: matchpurse_store::Result<()>| match turn {
            Ok(()) => turning.ready(),
            Err(error) => turning.not_ready(chain(&error)),
        };
        sources.spawn(ask_source(Arc::clone(asking), calling, stop.clone(), turned));
    }
    Ok(sources)
}

fn client(settings: &Settings) -> Result<HttpClient> {
    let own = &settings.reconciler;
    Ok(HttpClient::new(&HttpClientOptions {
        time_limit: Duration::from_millis(own.request_timeout_ms),
        connect_time_limit: Duration::from_millis(own.connect_timeout_ms),
        response_bytes_max: RESPONSE_BYTES_MAX,
        user_agent: USER_AGENT,
        ..HttpClientOptions::default()
    })?)
}

/// The reconciler, following its files.
struct Reloading {
    files: ConfigFiles,
    started: Settings,
    changed: watch::Sender<Arc<Settings>>,
}

impl Reload for Reloading {
    type Config = Settings;
    type Error = ConfigError;

    fn fingerprint(&mut self) -> u64 {
        self.files.fingerprint()
    }

    fn load(&mut self) -> Result<Settings, ConfigError> {
        let settings = self.files.load()?;
        check_inquiries(&settings)?;
        Ok(settings)
    }

    async fn apply(&mut self, settings: Settings) -> Result<Vec<String>, ConfigError> {
        let later = self.started.differences(&settings, &NOT_FOR_THE_NEXT_START);
        self.changed.send_replace(Arc::new(settings));
        Ok(later)
    }
}
