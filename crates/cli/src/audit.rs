//! `matchpurse audit`: is everything in the database as it must be?

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use matchpurse_domain::ids::SourceName;
use matchpurse_simulator::{Difference, Expected};
use matchpurse_store::Store;
use matchpurse_store::audit::{self as standing, Audit, Finding};
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::exit::Ending;
use crate::observe;
use crate::out::{Out, Paint};
use crate::progress::Progress;
use crate::say;

/// Checks the ledger and the archive, and compares with what a simulation expects
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// What must be there: a file that `matchpurse simulate --expect FILE` wrote
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
}

/// How often something is said of a check that takes long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// The most findings that are listed in JSON; all are counted.
const LISTED_MAX: usize = 1_000;

/// What an audit found; nothing is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many checks were made.
    pub(crate) checks: usize,
    /// How many things are not as they must be.
    pub(crate) findings: u64,
}

impl Tally {
    /// True when everything is as it must be.
    pub(crate) fn clean(self) -> bool {
        self.findings == 0
    }
}

/// The standing checks of the ledger, and the archive's chains: all of one moment. Findings are handed on as they
/// come; `tell` hears how it goes.
pub(crate) async fn standing_checks(
    store: &Store,
    tell: impl Fn(&str),
    found: &mut (dyn FnMut(Finding) + Send),
) -> Result<Tally> {
    let mut client = store.client().await.context("failed to reach the database")?;
    let audit = Audit::begin(&mut client).await.context("failed to begin the audit")?;
    let checks = standing::CHECKS.len() + 1;
    let mut tally = Tally { checks, findings: 0 };
    let names = standing::CHECKS.iter().map(|check| check.name).chain([standing::CHAINS]);
    for (index, name) in names.enumerate() {
        let before = tally.findings;
        let begun = Instant::now();
        let rows = AtomicU64::new(0);
        let mut counted = |finding| {
            tally.findings += 1;
            found(finding);
        };
        let made = async {
            match standing::CHECKS.get(index) {
                Some(check) => audit.check(check, &mut counted).await,
                None => audit.chains(&mut |walked| rows.store(walked, Relaxed), &mut counted).await,
            }
        };
        let place = format!("check {} of {checks}", index + 1);
        let waiting = || match rows.load(Relaxed) {
            0 => tell(&format!("{place} runs for {} s: {name}", begun.elapsed().as_secs())),
            rows => tell(&format!("{place} runs for {} s, {rows} rows: {name}", begun.elapsed().as_secs())),
        };
        with_signs_of_life(made, waiting).await.with_context(|| format!("could not check whether {name}"))?;
        let took = begun.elapsed().as_millis();
        tell(&format!("{place}, {took} ms, {} findings: {name}", tally.findings - before));
    }
    Ok(tally)
}

/// Waits for what takes long, and says so now and then.
async fn with_signs_of_life<T>(work: impl Future<Output = T>, say_so: impl Fn()) -> T {
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, &mut work).await {
            Ok(done) => return done,
            Err(_) => say_so(),
        }
    }
}

/// Compares the database with what a simulation expects, source by source.
pub(crate) async fn compare(store: &Store, expected: &Expected) -> Result<Vec<Difference>> {
    let names: Vec<SourceName> =
        expected.effects.keys().map(|name| SourceName::parse(name)).collect::<Result<_, _>>()?;
    Ok(expected.audit(&observe::effects(store, names.iter()).await?))
}

/// Reads what a simulation expects.
fn read_expected(path: &Path) -> Result<Expected> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no file of expected effects", path.display()))
}

/// Makes the audit, prints every finding as it comes, and fails when there is one.
pub(crate) async fn run(args: AuditArgs, out: Out) -> Result<Ending> {
    let expected = args.expect.as_deref().map(read_expected).transpose()?;
    let store = args.database.connect().await?;
    let progress = Progress::begin("checking", None);
    let mut listed: Vec<String> = Vec::new();
    let mut found = |finding: &dyn Display| {
        if out.json() {
            // All are counted; a list of millions helps nobody.
            if listed.len() < LISTED_MAX {
                listed.push(finding.to_string());
            }
        } else {
            let line = out.painted(Some(Paint::Bad), &finding.to_string());
            progress.aside(|| out.line(line));
        }
    };
    let tell = |text: &str| {
        if progress.is_log() { say(text) } else { progress.now(text) }
    };
    let mut tally = standing_checks(&store, tell, &mut |finding| found(&finding)).await?;
    if let Some(expected) = expected {
        let differences = compare(&store, &expected).await?;
        let count = differences.len();
        differences.iter().for_each(|difference| found(difference));
        say(&format!("compared with what the simulation must lead to: {count} differences"));
        tally.checks += 1;
        tally.findings += u64::try_from(count).unwrap_or(u64::MAX);
    }
    drop(progress);
    out.thing(|| as_json(tally, &listed), || verdict(tally, out));
    Ok(Ending::of_check(tally.clean()))
}

fn verdict(tally: Tally, out: Out) -> String {
    let (word, paint) = if tally.clean() { ("clean", Paint::Good) } else { ("NOT clean", Paint::Bad) };
    format!("{} checks, {} problems: {}", tally.checks, tally.findings, out.painted(Some(paint), word))
}

fn as_json(tally: Tally, listed: &[String]) -> Value {
    json!({ "clean": tally.clean(), "checks": tally.checks, "problems": { "count": tally.findings, "listed": listed } })
}
