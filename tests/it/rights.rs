//! What the programs ask of the database, against what their roles may do there: a statement without a right is found here,
//! also where no other test comes by it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use matchpurse_testkit::Database;

use crate::system::service::{Service, program};

/// What changes a table, as our statements begin.
const CHANGES: &str = "(INSERT INTO|DELETE FROM|UPDATE) [a-z_]+";

/// The distinct `VERB table` in files, texts or programs.
fn changes(files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<BTreeSet<String>> {
    let mut grep = Command::new("grep");
    let found =
        grep.env("LC_ALL", "C").args(["-aohE", CHANGES]).args(files).output().context("grep did not run")?;
    ensure!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    Ok(String::from_utf8(found.stdout)?.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn no_program_has_a_statement_that_its_role_may_not_run() -> Result<()> {
    let database = Database::create().await?;
    let client = database.connection().await?;
    // The migrations stand in every program, and are the owner's: what they change says nothing of a service.
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/store/migrations");
    let migrations =
        std::fs::read_dir(migrations)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let of_migrations = changes(migrations)?;
    let sql = "SELECT to_regclass($2) IS NULL OR has_table_privilege($1::text, to_regclass($2)::oid, $3)
                      OR ($3 = 'UPDATE' AND has_any_column_privilege($1::text, to_regclass($2)::oid, $3))";
    let (mut seen, mut missing) = (0, Vec::new());
    for service in Service::ALL {
        let role = format!("matchpurse_{}", service.name().replace('-', "_"));
        let program = program(&format!("matchpurse-{}", service.name()))?;
        for change in changes([program.get_program()])?.difference(&of_migrations) {
            let (verb, table) = change.rsplit_once(' ').context("a verb and a table")?;
            let right = verb.split(' ').next().unwrap_or(verb);
            // A word after one of the verbs that is no table is no statement of ours.
            if client.query_one(sql, &[&role, &table, &right]).await?.try_get(0)? {
                seen += 1;
            } else {
                missing.push(format!("{role} may not {change}"));
            }
        }
    }
    ensure!(seen > 100, "only {seen} statements were found: do the programs still hold them as text?");
    ensure!(
        missing.is_empty(),
        "grant it in crates/store/src/rights.sql, if the service is to do it: {missing:#?}"
    );
    Ok(())
}
