//! `matchpurse simulate`: the providers, played against a running ingress.

mod apis;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use matchpurse_domain::ids::SourceName;
use matchpurse_ingress::adapter_settings;
use matchpurse_settings::{Settings, SourceSettings, process_environment};
use matchpurse_simulator::{Pace, Plan, PlanOptions, PlayOptions, Progress, Report, SimulatedSource, play};

use self::apis::{ApiArgs, Serving};
use crate::config::WHERE;
use crate::exit::Ending;
use crate::out::Out;
use crate::{demo_sources, progress, say};

/// How much is played, and how roughly.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PlayArgs {
    /// The same seed plays the same bytes in the same order
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many matches, contests, offers and players are played, with 1 to 40 deliveries each
    #[arg(long, default_value_t = 400)]
    pub(crate) lives: u32,
    /// How many deliveries come again, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) duplicates: u32,
    /// How far a delivery may come from its place; 0 keeps the order
    #[arg(long, value_name = "PLACES", default_value_t = 20)]
    pub(crate) disorder: u32,
    /// How many requests are forged, in percent of the deliveries
    #[arg(long, value_name = "PERCENT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) bad_signatures: u32,
    /// How many lives are something that must be parked, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) odd: u32,
    /// Requests a second, whether or not the earlier ones are answered; without it as fast as they are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Connections when no rate is given; with one the most requests under way
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
}

/// Plays the providers and says what must come of it
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// The configuration whose sources are played; without it those of `demo` and `dev`
    #[arg(long, value_name = "FILE", env = "MATCHPURSE_CONFIG", help_heading = WHERE)]
    config: Option<PathBuf>,
    /// Where the ingress is; several take turns
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", help_heading = WHERE)]
    target: Vec<String>,
    /// A private key to sign with, for a source whose configuration has only the public one
    #[arg(long, value_name = "SOURCE=FILE")]
    sign_key: Vec<String>,
    /// Write what must be in the database afterwards; `matchpurse audit --expect FILE` compares
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Write down each delivery that was taken, and go on from there when it is played again
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// For how long a delivery that is not taken is tried again
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    give_up_after: u64,
    #[command(flatten)]
    play: PlayArgs,
    #[command(flatten)]
    apis: ApiArgs,
}

/// Plays, prints the figures, and fails when something was not answered as it had to be.
pub(crate) async fn run(args: SimulateArgs, out: Out) -> Result<Ending> {
    let settings = sources(args.config.as_deref())?;
    let keys = signing_keys(args.config.as_deref(), &args.sign_key)?;
    let plan = Arc::new(lossy_plan(&settings, &keys, &args.play, &args.apis)?);
    say(&format!("seed {}, {} requests", args.play.seed, plan.items().len()));
    let lost = plan.losses();
    if lost.deliveries > 0 {
        say(&format!(
            "{} deliveries get lost on purpose; what {} of them say can be asked for",
            lost.deliveries, lost.retold
        ));
    }
    let serving = Serving::begin(&args.apis, &plan).await?;
    let mut options = play_options(&args.play, args.target);
    options.give_up_after = Duration::from_secs(args.give_up_after);
    options.journal = args.journal;
    options.apis = serving.as_ref().map(|serving| serving.apis.clone());
    let played = play(&plan, &options, progress_line(&plan)).await?;
    if !out.json() {
        print_report(&played.report, out);
    }
    if let Some(path) = &args.expect {
        let expected = serde_json::to_string_pretty(&plan.expected_after(&played.accepted))?;
        std::fs::write(path, expected).with_context(|| format!("failed to write {}", path.display()))?;
        say(&format!("what must be there now stands in {}", path.display()));
    }
    let asked = match serving {
        Some(serving) => Some(serving.end(&args.apis, out).await?),
        None => None,
    };
    if out.json() {
        let mut report = serde_json::to_value(&played.report)?;
        if let (Some(report), Some(asked)) = (report.as_object_mut(), asked) {
            report.insert("apis".to_owned(), serde_json::to_value(asked)?);
        }
        out.value(&report);
    }
    Ok(Ending::of_check(played.report.is_as_planned()))
}

/// The configuration with the sources that are played; without a file those of `demo` and `dev`.
pub(crate) fn sources(config: Option<&Path>) -> Result<Settings> {
    match config {
        Some(path) => Ok(Settings::load(Some(path), process_environment())?),
        None => {
            demo_sources::settings("postgres://unused@127.0.0.1/unused", None, "127.0.0.1:0", "127.0.0.1:0")
        }
    }
}

/// Private keys by the source's name: those that are given as SOURCE=FILE, and without a configuration those of `demo`.
pub(crate) fn signing_keys(config: Option<&Path>, given: &[String]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut keys = if config.is_none() { demo_sources::signing_keys() } else { BTreeMap::new() };
    for given in given {
        let (source, file) = given.split_once('=').context("--sign-key wants SOURCE=FILE")?;
        let key = std::fs::read(file).with_context(|| format!("failed to read the key {file}"))?;
        keys.insert(source.to_owned(), key);
    }
    Ok(keys)
}

/// A source as the simulator signs for it: by its private key where there is one, else by its first secret.
pub(crate) fn simulated(
    name: &SourceName,
    source: &SourceSettings,
    keys: &BTreeMap<String, Vec<u8>>,
) -> Result<SimulatedSource> {
    let secret = source.secrets().first().map(|secret| secret.expose().as_bytes().to_vec());
    let Some(key) = keys.get(name.as_str()).cloned().or(secret) else {
        bail!("source {name} has no secret to sign with; give one with --sign-key {name}=FILE");
    };
    let simulated = SimulatedSource::new(adapter_settings(source), key)?;
    Ok(match source.keys("postback").first() {
        Some(key) => simulated.with_postback_key(key.expose().as_bytes().to_vec()),
        None => simulated,
    })
}

/// The plan of the settings' sources; `keys` are private keys by the source's name.
pub(crate) fn plan(settings: &Settings, keys: &BTreeMap<String, Vec<u8>>, args: &PlayArgs) -> Result<Plan> {
    lossy_plan(settings, keys, args, &ApiArgs::default())
}

/// The same with what is lost, and with the sources whose providers can be asked.
fn lossy_plan(
    settings: &Settings,
    keys: &BTreeMap<String, Vec<u8>>,
    args: &PlayArgs,
    apis: &ApiArgs,
) -> Result<Plan> {
    let mut sources = Vec::new();
    for (name, source) in &settings.sources {
        let api_key = source.keys("api").first().filter(|_| apis.apis.is_some());
        let api_key = api_key.map(|key| key.expose().as_bytes().to_vec());
        let sends = !source.secrets().is_empty() || keys.contains_key(name.as_str());
        sources.push(match api_key {
            Some(key) if sends => simulated(name, source, keys)?.with_api_key(key),
            Some(key) => SimulatedSource::asked_only(adapter_settings(source), key)?,
            None => simulated(name, source, keys)?,
        });
    }
    let options = PlanOptions {
        lost_percent: apis.lose,
        lives: args.lives,
        duplicate_percent: args.duplicates,
        shuffle_window: args.disorder,
        forged_percent: args.bad_signatures,
        odd_percent: args.odd,
        ..PlanOptions::new(args.seed, sources)
    };
    Plan::new(options)
        .context("there is no such play; a source that has only a public key wants --sign-key SOURCE=FILE")
}

/// How the plan is played.
pub(crate) fn play_options(args: &PlayArgs, targets: Vec<String>) -> PlayOptions {
    let connections = usize::from(args.connections);
    let pace = match args.rate {
        None => Pace::AsFastAs { connections },
        Some(per_second) => Pace::AtRate { per_second, in_flight_max: connections.max(64) },
    };
    PlayOptions { targets, pace, tell_every: Duration::from_millis(200), ..PlayOptions::new("") }
}

/// Shows how far the playing is.
pub(crate) fn progress_line(plan: &Plan) -> impl FnMut(Progress) + use<> {
    let shown = progress::Progress::begin("playing", u64::try_from(plan.items().len()).ok());
    move |progress| {
        let Progress { done, accepted, repeats, refused, retried, .. } = progress;
        shown.now(format!(
            "playing: {accepted} taken ({repeats} repeats), {refused} refused, {retried} tried again"
        ));
        shown.at(done);
    }
}

/// The figures of the sender's side.
pub(crate) fn print_report(report: &Report, out: Out) {
    let ms = |us: u64| format!("{}.{} ms", us / 1000, us % 1000 / 100);
    let seconds = report.elapsed_ms / 1000;
    out.line(format_args!(
        "  sent        {:>7} requests in {seconds}.{} s, {} a second; half within {}, 99 % within {}",
        report.sent,
        report.elapsed_ms % 1000 / 100,
        report.per_second(),
        ms(report.latency.p50_us),
        ms(report.latency.p99_us),
    ));
    out.line(format_args!("  delivered   {:>7} taken, {} of them repeats", report.accepted, report.repeats));
    out.line(format_args!("  refused     {:>7} forged ones, with 401", report.refused));
    if report.retried > 0 || report.skipped > 0 {
        out.line(format_args!(
            "  again       {:>7} tried again, {} taken in an earlier run",
            report.retried, report.skipped
        ));
    }
    if report.lost > 0 {
        out.line(format_args!("  lost        {:>7} on purpose", report.lost));
    }
    if report.given_up > 0 {
        out.line(format_args!("  given up    {:>7}", report.given_up));
    }
    for surprise in &report.surprises {
        out.line(format_args!(
            "  not as it had to be: {} {}{}: expected {}, answered {} {}",
            surprise.source,
            surprise.kind,
            surprise.forgery.as_ref().map(|forgery| format!(" (forged: {forgery})")).unwrap_or_default(),
            surprise.expected,
            surprise.found,
            surprise.answer
        ));
    }
}
