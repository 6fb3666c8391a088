//! `matchpurse demo`: everything on this machine, four providers played, and what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use matchpurse_domain::ids::SourceName;
use matchpurse_service_kit::{shutdown, telemetry};
use matchpurse_settings::Settings;
use matchpurse_simulator::{Difference, Expected, Plan, Played, play};
use matchpurse_store::audit::Finding;
use matchpurse_store::{Store, survey};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::exit::Ending;
use crate::money::Coins;
use crate::out::{Out, Paint};
use crate::progress::{Progress, waiting};
use crate::servers::{ServerArgs, Servers, fresh_database};
use crate::services::Services;
use crate::simulate::{PlayArgs, plan, play_options, print_report, progress_line};
use crate::{audit, config, demo_sources, dev, say, summary};

/// The private server's database of the demo; each demo begins with an empty one.
const DATABASE: &str = "matchpurse_demo";

/// How long nothing may change before the demo stops waiting for the workers.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many problems are shown; the audit's command shows them all.
const PROBLEMS_SHOWN: usize = 20;

/// Starts everything, plays four providers, shows what came of it
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// End when everything is shown, with 0 if all is as it must be; otherwise it stays up
    #[arg(long)]
    exit: bool,
    /// The port for deliveries; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The port of the API; 0 takes a free one
    #[arg(long, default_value_t = 8090)]
    api_port: u16,
    #[command(flatten)]
    play: PlayArgs,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Runs the demo.
pub(crate) async fn run(args: DemoArgs, out: Out) -> Result<Ending> {
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let servers = Servers::start(&args.servers).await?;
    let done = Box::pin(with_servers(&args, &servers, &stop, out)).await;
    // Servers that were started here end in any case; the first error is the one to tell.
    let stopped = servers.stop().await;
    let code = done?;
    stopped?;
    Ok(code)
}

async fn with_servers(
    args: &DemoArgs,
    servers: &Servers,
    stop: &CancellationToken,
    out: Out,
) -> Result<Ending> {
    let database_url = match &args.servers.database_url {
        Some(url) => url.clone(),
        None => fresh_database(&servers.database_url, DATABASE).await?,
    };
    let (listen, api_listen) = (format!("127.0.0.1:{}", args.port), format!("127.0.0.1:{}", args.api_port));
    let settings =
        demo_sources::settings(&database_url, servers.broker_url.as_deref(), &listen, &api_listen)?;
    telemetry::init("matchpurse", settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let applied = waiting("migrating", config::bring_up_to_date(&settings)).await?;
    say(&format!("{} migrations applied", applied.len()));
    let plan = Arc::new(plan(&settings, &demo_sources::signing_keys(), &args.play)?);
    let mut services = Services::start(settings.clone()).await.with_context(
        || "the services did not start; if a port is taken, choose another one with --port or --api-port",
    )?;
    dev::tell(&services, &database_url);
    dev::tell_token();
    empty_before(&services.store, &plan).await?;

    let target = format!("http://{}", services.address);
    let store = services.store.clone();
    let clean = tokio::select! {
        clean = show(args, &plan, &target, &store, &settings, out) => clean?,
        error = services.failed() => return Err(error),
        () = stop.cancelled() => bail!("stopped before it was over"),
    };
    if !args.exit {
        say("everything stays up; the README's curl works now, and Ctrl-C ends it");
        tokio::select! {
            () = stop.cancelled() => {}
            error = services.failed() => return Err(error),
        }
    }
    services.stop().await?;
    Ok(Ending::of_check(clean))
}

/// What is there already would be counted as if the play had brought it.
async fn empty_before(store: &Store, plan: &Plan) -> Result<()> {
    let client = store.client().await?;
    for name in plan.source_names() {
        let events = survey::events(&client, &SourceName::parse(name)?).await?;
        if !events.is_empty() {
            bail!("this database has events of source {name} already; give the demo one without");
        }
    }
    Ok(())
}

/// Plays, waits until everything is applied, and prints what is in the database. True when it is all as it
/// must be.
async fn show(
    args: &DemoArgs,
    plan: &Arc<Plan>,
    target: &str,
    store: &Store,
    settings: &Settings,
    out: Out,
) -> Result<bool> {
    say(&format!("playing four providers: {} requests, seed {}", plan.items().len(), args.play.seed));
    let options = play_options(&args.play, vec![target.to_owned()]);
    let Played { report, accepted } = play(plan, &options, progress_line(plan)).await?;
    let expected = plan.expected_after(&accepted);
    let waited = Instant::now();
    let differences = settle(store, &expected).await?;
    say(&format!("the workers were done {} ms after the last answer", waited.elapsed().as_millis()));
    let mut problems = Vec::new();
    let mut keep = |finding: Finding| {
        if problems.len() < PROBLEMS_SHOWN {
            problems.push(finding.to_string());
        }
    };
    let checking = audit::standing_checks(store, |_| {}, &mut keep);
    let tally = waiting("checking everything", checking).await?;
    let summary = summary::read(store, settings).await?;
    problems.extend(differences.iter().map(ToString::to_string));
    problems.truncate(PROBLEMS_SHOWN);
    let clean = tally.clean() && differences.is_empty() && report.is_as_planned();
    if out.json() {
        out.value(&json!({
            "clean": clean,
            "sent": report,
            "database": summary.json(),
            "audit": { "checks": tally.checks, "problems": tally.findings, "differences": differences.len(),
                       "listed": problems },
        }));
        return Ok(clean);
    }
    let heading = |text: &str| out.line(format_args!("\n{}", out.painted(Some(Paint::Heading), text)));
    heading("What was sent");
    print_report(&report, out);
    heading("What is in the database");
    summary.print(Coins(Some(settings)), out);
    heading("Audit");
    out.line(format_args!(
        "  standing checks of the ledger and the archive: {} made, {} broken",
        tally.checks, tally.findings
    ));
    out.line(format_args!(
        "  effects compared with what the play must lead to: {} differences",
        differences.len()
    ));
    for problem in &problems {
        out.line(format_args!("  ! {problem}"));
    }
    let (verdict, paint) = if clean {
        ("Everything is as it must be: audit clean.", Paint::Good)
    } else {
        ("Something is NOT as it must be.", Paint::Bad)
    };
    out.line(format_args!("\n{}\n", out.painted(Some(paint), verdict)));
    Ok(clean)
}

/// Waits until the database has what must be there; what still differs when nothing changes any more is
/// returned.
async fn settle(store: &Store, expected: &Expected) -> Result<Vec<Difference>> {
    let mut last = usize::MAX;
    let mut changed = Instant::now();
    let progress = Progress::begin("waiting for the workers", None);
    loop {
        progress.show();
        let differences = audit::compare(store, expected).await?;
        if differences.is_empty() || changed.elapsed() > PATIENCE {
            return Ok(differences);
        }
        if differences.len() != last {
            last = differences.len();
            changed = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
