//! The standing checks: what must be true of the database at every moment.
//!
//! Each check is one statement that returns what breaks it, so a clean ledger returns nothing. What does break it
//! is handed on as it comes, so the memory that an audit takes does not grow with the ledger, nor with what is
//! wrong with it. An [`Audit`] sees one moment in all its checks; workers go on meanwhile.
//!
//! | checks of | look at |
//! | --- | --- |
//! | the ledger | accounts and transfers: nothing is lost, every balance and every moment of it, what joins what |
//! | matches | status, sums, seats, escrow, deadlines; generations that were overruled |
//! | operations | deposits, withdrawals, corrections and deadlines against what they moved |
//! | guards | that the constraints and triggers that refuse all this are in force |
//! | effects | totals, lines and records of players, their links; promises of rewards, what is counted against limits, what people did to them; answers; what providers are told of them |
//! | the archive | every source's chain of hashes |

#[macro_use]
mod label;
mod effects;
mod guards;
mod ledger;
mod matches;
mod operations;

use std::fmt;
use std::pin::pin;

use futures_util::TryStreamExt as _;

use crate::archive::walk_chain;
use crate::{Client, Result, Tx};

/// One thing that must be true, and the statement that returns what breaks it, as one text column.
#[derive(Debug)]
pub struct Check {
    /// What must be true.
    pub name: &'static str,
    sql: &'static str,
}

impl Check {
    /// The statement, for whoever wants to run it by hand.
    pub const fn sql(&self) -> &'static str {
        self.sql
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What should have been true.
    pub check: &'static str,
    /// The row that breaks it, with its figures.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// All checks that are one statement; [`CHAINS`] is one more.
pub const CHECKS: &[Check] = &[
    guards::GUARDS,
    guards::RIGHTS,
    ledger::NOTHING_MADE_OR_LOST,
    ledger::BALANCES,
    ledger::FLOORS,
    ledger::NEVER_BELOW_FLOOR,
    ledger::OWNERS,
    ledger::JOINED_ACCOUNTS,
    matches::STATUS,
    matches::ESCROW,
    matches::CLOSED,
    matches::SUMS,
    matches::SEATS,
    matches::GENERATIONS,
    matches::REVERSED,
    matches::DEADLINES,
    matches::NO_DEADLINES,
    operations::FUNDS,
    operations::CORRECTIONS,
    operations::GENERATION,
    operations::CAUSES,
    operations::TIMEOUTS,
    operations::RESULTS,
    effects::TOTALS,
    effects::LINES,
    effects::RECORDS,
    effects::LINKS,
    effects::GRANTS,
    effects::COUNTS,
    effects::REWARD_OPERATIONS,
    effects::CONVERSIONS,
    effects::CALLS,
    effects::WITHDRAWN,
];

/// Those of them that take no time however much there is.
pub const QUICK: &[Check] = &[guards::GUARDS, guards::RIGHTS];

/// The name of the check that [`Audit::chains`] makes.
pub const CHAINS: &str = "the archive's chains of hashes are whole";

/// How the checks' statements run: sorts and hashes of a large ledger in memory as far as is decent, and no compiler
/// started for statements that run once.
const SETTINGS: &str = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off";

/// A transaction that only reads, in which every check sees the same moment.
pub struct Audit<'c>(Tx<'c>);

impl<'c> Audit<'c> {
    /// Opens it. No time limit of the pool holds in it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(client: &'c mut Client) -> Result<Self> {
        let tx = client.begin_snapshot().await?;
        tx.set_local(SETTINGS).await?;
        Ok(Self(tx))
    }

    /// Makes one check and hands on what it finds, row by row.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn check(&self, check: &Check, found: &mut (dyn FnMut(Finding) + Send)) -> Result<()> {
        let mut rows = pin!(self.0.stream(check.sql, &[]).await?);
        while let Some(row) = rows.try_next().await? {
            found(Finding { check: check.name, what: row.try_get(0)? });
        }
        Ok(())
    }

    /// Walks along every source's chain and hands on every place where one does not hold. `walked` is told how many
    /// rows are behind.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn chains(
        &self,
        walked: &mut (dyn FnMut(u64) + Send),
        found: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<()> {
        let mut rows = 0_u64;
        for source in archived_sources(&self.0).await? {
            let mut behind = |_| {
                rows = rows.saturating_add(1);
                walked(rows);
            };
            let mut broken =
                |broken| found(Finding { check: CHAINS, what: format!("source {source}: {broken}") });
            walk_chain(&self.0, &source, 1, &mut behind, &mut broken).await?;
        }
        Ok(())
    }
}

/// The sources of which there is anything in the archive: by their chains' ends, and by rows without one.
async fn archived_sources(tx: &Tx<'_>) -> Result<Vec<String>> {
    // From each source to the next in the index, not through all rows.
    let sql = "WITH RECURSIVE of_rows (source) AS (
                 (SELECT source FROM archive ORDER BY source LIMIT 1)
                 UNION ALL
                 SELECT (SELECT a.source FROM archive a WHERE a.source > r.source ORDER BY a.source LIMIT 1)
                   FROM of_rows r WHERE r.source IS NOT NULL)
               SELECT source FROM of_rows WHERE source IS NOT NULL
               UNION SELECT source FROM archive_head ORDER BY source";
    tx.query(sql, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Runs one check by itself, of this moment, and gathers what it finds: for tests and small databases.
///
/// # Errors
/// [`crate::Error`].
pub async fn run(client: &Client, check: &Check) -> Result<Vec<Finding>> {
    let rows = client.query(check.sql, &[]).await?;
    rows.iter().map(|row| Ok(Finding { check: check.name, what: row.try_get(0)? })).collect()
}
