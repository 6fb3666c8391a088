//! The dispatcher with all that it needs around it, in a process of its own or beside others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_service_kit::health::Health;
use matchpurse_service_kit::reload::{LOOK_EVERY, follow};
use matchpurse_settings::{ConfigFiles, Settings};
use matchpurse_store::{Migrations, Store, StoreOptions, chain, dispatch, now};
use matchpurse_wiring::worker_store_options;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::reloading::Reloading;
use crate::{Clock, Dispatcher};

/// The name by which the database and the health report know this service.
pub(crate) const SERVICE: &str = "dispatcher";

/// Between attempts to have the database tell of new notices.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a dispatcher has to work with.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The checks of the process.
    pub health: Health,
    /// Tripped when it is time to end.
    pub shutdown: CancellationToken,
    /// Where the settings were read from, if they are to be followed.
    pub files: Option<ConfigFiles>,
}

/// Runs a dispatcher in the background of this process; see [`run`].
pub fn spawn(context: Context) -> JoinHandle<Result<()>> {
    tokio::spawn(run(context))
}

/// Runs a dispatcher until [`Context::shutdown`], then lets what is in flight end for as long as the settings allow.
///
/// # Errors
/// When it cannot start: the database's URL or an endpoint of the configuration will not do.
pub async fn run(context: Context) -> Result<()> {
    let Context { settings, health, shutdown, files } = context;
    let migrated = health.check("migrations");
    let stall_after = Duration::from_millis(settings.dispatcher.stall_after_ms);
    let options = worker_store_options(&settings, SERVICE);
    let store = Store::new(&options)?;
    let clock: Clock = Arc::new(now);
    let mut dispatcher = Dispatcher::new(store, &settings, clock)?;
    let url = settings.database.url.expose().into();
    tokio::select! {
        () = Migrations::await_all(&url, |problem| migrated.not_ready(problem)) => migrated.ready(),
        () = shutdown.cancelled() => return Ok(()),
    }
    dispatcher.bring_endpoints().await.context("cannot bring in the endpoints of the configuration")?;
    let mut following = None;
    if let Some(files) = files {
        let (loaded, shown) = (files.loaded(), health.note("configuration"));
        let (reloading, changes) = Reloading::new(files, Settings::clone(&settings));
        dispatcher = dispatcher.follow(changes);
        following = Some(tokio::spawn(follow(reloading, loaded, LOOK_EVERY, shown)));
    }
    let woken = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(options, Arc::clone(&woken)));
    let turning = health.check_with_progress("dispatching", stall_after);
    let turned = |turn: matchpurse_store::Result<_>| match turn {
        Ok(_) => turning.ready(),
        Err(error) => {
            let reason = chain(&error);
            tracing::warn!(reason, "a turn failed; it is done again");
            turning.not_ready(reason);
        }
    };
    dispatcher.run(&woken, &shutdown, turned).await;
    turning.not_ready("shutting down");
    listening.abort();
    if let Some(following) = following {
        following.abort();
    }
    Ok(())
}

/// Wakes the dispatcher when the database tells of something new. Where it cannot, polling goes on.
async fn listen(options: StoreOptions, woken: Arc<Notify>) {
    loop {
        match dispatch::listen(&options).await {
            Ok(mut listener) => {
                // What came while nobody listened.
                woken.notify_one();
                while listener.told().await {
                    woken.notify_one();
                }
                tracing::info!("the connection that tells of new notices has ended; it is made anew");
            }
            Err(error) => {
                tracing::info!(reason = chain(&error), "nobody tells of new notices; they are polled")
            }
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}
