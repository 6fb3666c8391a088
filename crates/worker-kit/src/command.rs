//! A worker's command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use matchpurse_bus::{RabbitTransport, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_service_kit::admin::AdminServer;
use matchpurse_service_kit::health::Health;
use matchpurse_service_kit::healthcheck::healthcheck;
use matchpurse_service_kit::{metrics, shutdown, telemetry, trace};
use matchpurse_settings::{Settings, process_environment};
use matchpurse_store::{Migrations, Store};
use matchpurse_wiring::{bus_options, worker_store_options};
use tokio_util::sync::CancellationToken;

use crate::service::{admin_setting, watch_database};
use crate::{Context, Effects, Plan, run};

#[derive(Parser)]
#[command(
    version,
    about = "A worker of Matchpurse: applies the events of its queue to PostgreSQL, once each"
)]
struct Arguments {
    /// The configuration file; what it leaves out is by default, and MATCHPURSE_* variables win over it.
    #[arg(long, global = true, env = "MATCHPURSE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Clone, Copy)]
enum Command {
    /// Run until SIGTERM or SIGINT; this is the default.
    Run,
    /// Check the configuration and print what is in effect, without secrets.
    CheckConfig,
    /// Ask the running worker on its admin port whether it is alive.
    Healthcheck,
}

/// The `main` of a worker: reads the command line, runs, and reports an error once with all its causes.
pub fn main<E: Effects>(queue: Queue, plan: impl FnOnce(&Settings) -> Result<Plan<E>>) -> ExitCode {
    match execute(queue, plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", queue.worker());
            ExitCode::FAILURE
        }
    }
}

fn execute<E: Effects>(queue: Queue, plan: impl FnOnce(&Settings) -> Result<Plan<E>>) -> Result<()> {
    let matches = Arguments::command().name(queue.worker()).get_matches();
    let Arguments { config, command } = Arguments::from_arg_matches(&matches)?;
    let settings = Settings::load(config.as_deref(), process_environment())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command.unwrap_or(Command::Run) {
        Command::CheckConfig => {
            // What only this worker can check.
            plan(&settings)?;
            print!("{}", settings.render());
            Ok(())
        }
        Command::Healthcheck => runtime.block_on(ask(queue, &settings)),
        Command::Run => runtime.block_on(async {
            let plan = plan(&settings)?;
            serve(queue, plan, settings).await
        }),
    }
}

/// Runs a worker as a process of its own.
async fn serve<E: Effects>(queue: Queue, plan: Plan<E>, settings: Settings) -> Result<()> {
    let service = queue.worker();
    telemetry::init(service, settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let metrics = metrics::install()?;
    let traces = trace::install(settings.telemetry.otlp.options())?;
    let shutdown = shutdown::on_signals().context("cannot listen for signals")?;
    let health = Health::new(service);
    // The admin port outlives the worker, so that a worker that drains can be seen to.
    let ended = CancellationToken::new();
    let admin_listen = settings.workers.of(service).and_then(|own| own.admin_listen.as_deref());
    let admin = match admin_listen {
        None => None,
        Some(address) => {
            let server = AdminServer::bind(address, &admin_setting(queue), health.clone(), metrics).await?;
            tracing::info!(address = %server.address(), "health and metrics");
            Some(tokio::spawn(server.run(ended.clone())))
        }
    };
    let outcome = work(plan, Arc::new(settings), health, shutdown).await;
    traces.flush().await;
    ended.cancel();
    if let Some(admin) = admin {
        admin.await.context("the admin port's task panicked")?;
    }
    outcome?;
    tracing::info!("stopped");
    Ok(())
}

async fn work<E: Effects>(
    plan: Plan<E>,
    settings: Arc<Settings>,
    health: Health,
    shutdown: CancellationToken,
) -> Result<()> {
    let broker_url = settings.broker.url.as_ref().context(
        "`broker.url` is not set, and without a broker ingress and workers must run in one process: set it, or \
         start `matchpurse dev`",
    )?;
    let service = health.service();
    let store = Store::new(&worker_store_options(&settings, service))?;
    let migrated = health.check("migrations");
    // Not ready from the beginning; the worker itself takes this check over when it runs.
    health.check(service);
    let url = settings.database.url.expose().into();
    tokio::select! {
        () = Migrations::await_all(&url, |problem| migrated.not_ready(problem)) => migrated.ready(),
        () = shutdown.cancelled() => return Ok(()),
    }
    let options = bus_options(&settings, service);
    let transport = Transport::Rabbit(RabbitTransport::start(broker_url.expose(), &options)?);
    let watching = tokio::spawn(watch_database(store.clone(), health.clone(), shutdown.clone()));
    let context = Context { store, transport: transport.clone(), settings, health, shutdown };
    let outcome = run(plan, context).await;
    watching.abort();
    transport.close().await;
    outcome
}

/// Asks the worker that runs by these settings whether it is alive: a worker that waits for its servers is well, and
/// starting it anew would not bring them back.
async fn ask(queue: Queue, settings: &Settings) -> Result<()> {
    let own = settings.workers.of(queue.worker());
    let listen = own.and_then(|own| own.admin_listen.as_deref());
    Ok(healthcheck(listen, &admin_setting(queue)).await?)
}
