//! `matchpurse dev`: every service in this process, for developing against it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use matchpurse_service_kit::{shutdown, telemetry, trace};
use matchpurse_settings::{SecretUrl, Settings, process_environment};
use serde_json::{Value, json};

use crate::config::WHERE;
use crate::exit::Ending;
use crate::out::Out;
use crate::progress::waiting;
use crate::servers::{ServerArgs, Servers};
use crate::services::Services;
use crate::{config, demo_sources, say};

/// Starts everything and stays up
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Your sources; without it one of each provider, with secrets that are published
    #[arg(long, value_name = "FILE", env = "MATCHPURSE_CONFIG", help_heading = WHERE)]
    config: Option<PathBuf>,
    /// The port for deliveries; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The port of the API; 0 takes a free one
    #[arg(long, default_value_t = 8090)]
    api_port: u16,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Runs until Ctrl-C.
pub(crate) async fn run(args: DevArgs, out: Out) -> Result<Ending> {
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let servers = Servers::start(&args.servers).await?;
    let settings = settings(&args, &servers)?;
    telemetry::init("matchpurse", settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let traces = trace::install(settings.telemetry.otlp.options())?;
    for applied in waiting("migrating", config::bring_up_to_date(&settings)).await? {
        say(&format!("applied {applied}"));
    }
    let mut services = Services::start(settings).await?;
    tell(&services, &servers.database_url);
    if out.json() {
        out.value(&places(&services, &servers.database_url));
    }
    if args.config.is_none() {
        tell_token();
    }
    say("Ctrl-C ends it");
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        error = services.failed() => Some(error),
    };
    if let Some(error) = failed {
        return Err(error);
    }
    services.stop().await?;
    traces.flush().await;
    servers.stop().await?;
    Ok(Ending::Done)
}

fn settings(args: &DevArgs, servers: &Servers) -> Result<Settings> {
    let (listen, api_listen) = (format!("127.0.0.1:{}", args.port), format!("127.0.0.1:{}", args.api_port));
    let broker = servers.broker_url.as_deref();
    let Some(path) = &args.config else {
        return demo_sources::settings(&servers.database_url, broker, &listen, &api_listen);
    };
    let over = [
        ("MATCHPURSE_DATABASE__URL", servers.database_url.as_str()),
        ("MATCHPURSE_BROKER__URL", broker.unwrap_or_default()),
        ("MATCHPURSE_INGRESS__LISTEN", &listen),
        ("MATCHPURSE_API__LISTEN", &api_listen),
    ];
    let over = over.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Settings::load(Some(path), process_environment().chain(over))?)
}

/// Where everything is, for programs.
pub(crate) fn places(services: &Services, database_url: &str) -> Value {
    let admin = |address: SocketAddr| format!("http://{address}");
    json!({
        "hooks": format!("http://{}/hooks", services.address),
        "api": format!("http://{}/v1", services.api_address),
        "ingress_admin": services.admin_address.map(admin),
        "workers_admin": admin(services.workers_admin_address),
        "api_admin": services.api_admin_address.map(admin),
        "database_url": shown(database_url),
    })
}

/// A database of ours has no password; one that somebody gave us is told without it.
fn shown(database_url: &str) -> String {
    SecretUrl::new(database_url).map_or_else(String::new, |url| url.redacted())
}

/// Where everything is.
pub(crate) fn tell(services: &Services, database_url: &str) {
    say(&format!("deliveries are taken at http://{}/hooks/SOURCE", services.address));
    if let Some(admin) = services.admin_address {
        say(&format!("the ingress's health and metrics are at http://{admin}/readyz and /metrics"));
    }
    say(&format!("the workers' are at http://{}/readyz and /metrics", services.workers_admin_address));
    if let Some(admin) = services.api_admin_address {
        say(&format!("the API's are at http://{admin}/readyz and /metrics"));
    }
    say(&format!("the API is at http://{}/v1", services.api_address));
    say(&format!("the console is at http://{}/console", services.api_address));
    say(&format!("the database is {}", shown(database_url)));
}

/// What lets a newcomer in.
pub(crate) fn tell_token() {
    say(&format!("the API lets you in with the header `Authorization: Bearer {}`", demo_sources::API_TOKEN));
}
