//! `matchpurse audit` as an operator sees it.

use anyhow::{Context as _, Result};
use matchpurse_testkit::{Database, fill_ledger};

use crate::system::service::program;

/// What the command printed, what it told meanwhile, and its exit code.
fn audit(database: &Database) -> Result<(String, String, Option<i32>)> {
    // A service's rights are enough: it only reads.
    let run = program("matchpurse")?.args(["audit", "--database-url", &database.service_url()]).output()?;
    Ok((String::from_utf8(run.stdout)?, String::from_utf8(run.stderr)?, run.status.code()))
}

#[tokio::test]
async fn an_audit_tells_how_far_it_is_names_every_row_and_fails_with_one() -> Result<()> {
    let database = Database::create().await?;
    let mut owner = database.connection().await?;
    fill_ledger(&mut owner, 1000).await?;
    let (found, told, code) = audit(&database)?;
    let checks = told.lines().count();
    assert_eq!((found, code), (format!("{checks} checks, 0 problems: clean\n"), Some(0)));
    for (line, number) in told.lines().zip(1..) {
        let place = format!("matchpurse: check {number} of {checks}, ");
        let rest = line.strip_prefix(&place).with_context(|| line.to_owned())?;
        assert!(rest.contains(" ms, 0 findings: "), "{line}");
    }

    // More rows than anybody would gather, and one that several checks look at.
    let tampering = "SET session_replication_role = replica;
                     DELETE FROM match_deadline;
                     UPDATE transfer SET event_id = gen_random_uuid() WHERE generation = 1 OR kind = 7;
                     UPDATE account SET balance = balance + 1 WHERE kind = 4 AND source = 'studio'";
    owner.batch_execute(tampering).await?;
    let (found, _, code) = audit(&database)?;
    assert_eq!(code, Some(1), "{found}");
    let of = |check: &str| found.lines().filter(|line| line.starts_with(check)).count();
    assert_eq!(of("a match that holds money has a deadline: match "), 6, "{found}");
    assert_eq!(of("what a correction moved names its operation: match "), 72, "{found}");
    assert_eq!(
        of("nothing is made or lost: the balances of a source and currency add up to zero: studio, USD: 1"),
        1
    );
    assert_eq!(of("every balance is the sum of its transfers: account "), 1, "{found}");
    assert!(found.ends_with(&format!("\n{checks} checks, 80 problems: NOT clean\n")), "{found}");
    Ok(())
}
