use anyhow::Context as _;
use matchpurse_service_kit::reload::LOOK_EVERY;
use matchpurse_service_kit::{healthcheck, shutdown, telemetry, trace};
use matchpurse_settings::{ConfigFiles, Settings};

use crate::{Application, Egress};

/// Runs the ingress as a process of its own until a signal stops it; `settings` were read from `files`, which are
/// followed.
///
/// # Errors
/// When it cannot start, or a server ends by itself.
pub async fn run(settings: &Settings, files: ConfigFiles) -> anyhow::Result<()> {
    telemetry::init("ingress", settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let traces = trace::install(settings.telemetry.otlp.options())?;
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let egress = Egress::start(settings).await?;
    let mut application = Application::build(settings, egress.publisher()).await?;
    application = application.with_reload(files, settings.clone(), LOOK_EVERY);
    if let Some(relay) = egress.relay_status() {
        application = application.with_relay(relay);
    }
    let ended = application.run_until_stopped(stop).await.context("the ingress ended");
    egress.stop().await;
    traces.flush().await;
    ended
}

/// Asks the ingress on this machine, by its admin port, whether it is alive.
///
/// # Errors
/// When it is not, or the settings give it no admin port.
pub async fn healthcheck(settings: &Settings) -> anyhow::Result<()> {
    let listen = settings.ingress.admin_listen.as_deref();
    Ok(healthcheck::healthcheck(listen, "ingress.admin_listen").await?)
}
