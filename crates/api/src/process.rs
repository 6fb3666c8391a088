use anyhow::Context as _;
use matchpurse_service_kit::reload::LOOK_EVERY;
use matchpurse_service_kit::{healthcheck, shutdown, telemetry};
use matchpurse_settings::{ConfigFiles, Settings};

use crate::Application;

/// Runs the API as a process of its own until a signal stops it; `settings` were read from `files`, which are followed.
///
/// # Errors
/// When it cannot start, or its server ends by itself.
pub async fn run(settings: &Settings, files: ConfigFiles) -> anyhow::Result<()> {
    telemetry::init("api", settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let application = Application::build(settings).await?.with_reload(files, LOOK_EVERY);
    application.run_until_stopped(stop).await.context("the API ended")
}

/// Asks the API on this machine, by its admin port, whether it is alive.
///
/// # Errors
/// When it is not, or the settings give it no admin port.
pub async fn healthcheck(settings: &Settings) -> anyhow::Result<()> {
    Ok(healthcheck::healthcheck(settings.api.admin_listen.as_deref(), "api.admin_listen").await?)
}
