use std::sync::Arc;

use anyhow::{Context as _, Result};
use matchpurse_bus::{RabbitPublisher, Status};
use matchpurse_service_kit::admin::AdminServer;
use matchpurse_service_kit::health::{Check, Health};
use matchpurse_service_kit::{healthcheck, metrics, shutdown, telemetry, trace};
use matchpurse_settings::{ConfigFiles, Settings};
use matchpurse_wiring::bus_options;
use tokio_util::sync::CancellationToken;

use crate::service::{Context, SERVICE, run};

const ADMIN_SETTING: &str = "reconciler.admin_listen";

/// Runs the reconciler as a process of its own until a signal stops it; `settings` were read from `files`, which are
/// followed.
///
/// # Errors
/// When it cannot start.
pub async fn serve(settings: Settings, files: ConfigFiles) -> Result<()> {
    telemetry::init(SERVICE, settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let metrics = metrics::install()?;
    let traces = trace::install(settings.telemetry.otlp.options())?;
    let shutdown = shutdown::on_signals().context("cannot listen for signals")?;
    let url = settings.broker.url.as_ref().context(
        "`broker.url` is not set, and without a broker reconciler and workers must run in one process: set it, or start \
         `matchpurse dev`",
    )?;
    // There is no spool behind it: what is not confirmed is asked for again.
    let publisher = RabbitPublisher::start(url.expose(), &bus_options(&settings, "matchpurse-reconciler"))
        .context("`broker.url` cannot be used")?;
    let health = Health::new(SERVICE);
    // Not ready from the beginning.
    health.check("asking");
    let watching = tokio::spawn(watch_broker(publisher.status().clone(), health.check("broker")));
    // The admin port is the last to go, so that a reconciler that drains can be seen to.
    let ended = CancellationToken::new();
    let admin = match settings.reconciler.admin_listen.as_deref() {
        None => None,
        Some(address) => {
            let server = AdminServer::bind(address, ADMIN_SETTING, health.clone(), metrics).await?;
            tracing::info!(address = %server.address(), "health and metrics");
            Some(tokio::spawn(server.run(ended.clone())))
        }
    };
    let settings = Arc::new(settings);
    let context =
        Context { settings, publisher: Arc::clone(&publisher) as _, health, shutdown, files: Some(files) };
    let outcome = run(context).await;
    watching.abort();
    publisher.close().await;
    traces.flush().await;
    ended.cancel();
    if let Some(admin) = admin {
        admin.await.context("the admin port's task panicked")?;
    }
    outcome?;
    tracing::info!("stopped");
    Ok(())
}

/// Keeps a check up to date with whether what was found can be published now.
async fn watch_broker(status: Status, check: Check) {
    let mut changes = status.subscribe();
    loop {
        let problem = changes.borrow_and_update().problem.clone();
        match (status.can_publish(), problem.as_str()) {
            (true, _) => check.ready(),
            (false, "") => check.not_ready("not connected yet"),
            (false, problem) => check.not_ready(problem),
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Asks the reconciler on this machine, by its admin port, whether it is alive.
///
/// # Errors
/// When it is not, or the settings give it no admin port.
pub async fn healthcheck(settings: &Settings) -> Result<()> {
    Ok(healthcheck::healthcheck(settings.reconciler.admin_listen.as_deref(), ADMIN_SETTING).await?)
}
