//! `matchpurse audit`: is everything in the database as it must be?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use matchpurse_domain::ids::SourceName;
use matchpurse_simulator::{Difference, Expected};
use matchpurse_store::{Store, audit as standing};

use crate::config::DatabaseArgs;
use crate::{observe, say};

/// Checks the ledger and the archive, and compares with what a simulation expects
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// What must be there: a file that `matchpurse simulate --expect FILE` wrote
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
}

/// What an audit found; nothing is good.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How many checks were made.
    pub(crate) checks: usize,
    /// What is not as it must be, a line each.
    pub(crate) problems: Vec<String>,
}

impl Findings {
    /// True when everything is as it must be.
    pub(crate) fn clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The standing checks of the ledger, and the archive's chains.
pub(crate) async fn standing_checks(store: &Store, tell: impl Fn(&str)) -> Result<Findings> {
    let client = store.client().await.context("failed to reach the database")?;
    let mut findings = Findings::default();
    for check in standing::CHECKS {
        tell(check.name);
        findings.checks += 1;
        for finding in standing::run(&client, check).await? {
            findings.problems.push(format!("{}: {}", finding.check, finding.what));
        }
    }
    drop(client);
    tell("the archive's chains of hashes are whole");
    findings.checks += 1;
    findings.problems.extend(chains(store).await?);
    Ok(findings)
}

/// Walks along every source's chain.
async fn chains(store: &Store) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in store.archived_sources().await.context("failed to read the archive")? {
        let source = SourceName::parse(&name)?;
        let report =
            store.verify_chain(&source).await.with_context(|| format!("failed to read {name}'s archive"))?;
        if let Some(broken) = report.broken {
            problems.push(format!(
                "the archive of {name} does not hold after {} rows: {broken:?}",
                report.verified
            ));
        }
    }
    Ok(problems)
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

/// Makes the audit, prints every finding, and fails when there is one.
pub(crate) async fn run(args: AuditArgs) -> Result<ExitCode> {
    let expected = args.expect.as_deref().map(read_expected).transpose()?;
    let store = args.database.connect().await?;
    let mut findings = standing_checks(&store, |check| say(&format!("checking: {check}"))).await?;
    if let Some(expected) = expected {
        say("checking: the effects are those that the simulation must lead to");
        findings.checks += 1;
        findings.problems.extend(compare(&store, &expected).await?.iter().map(ToString::to_string));
    }
    for problem in &findings.problems {
        println!("{problem}");
    }
    println!(
        "{} checks, {} problems: {}",
        findings.checks,
        findings.problems.len(),
        if findings.clean() { "clean" } else { "NOT clean" }
    );
    Ok(if findings.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
