//! Results that the studio's back-end told, and how the match's provider is told of them.
//!
//! The first result that was accepted is the match's for ever. What it says stands in its operation, which an erasure
//! reaches; here is only that there is one. The report to the provider is made as a [`crate::redemptions`] call is: a claim
//! is a lease, and a report that may have arrived is made again, because the provider keeps the first that it took.

mod read;
mod report;

use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;

use crate::operations::{self, Operation};
use crate::outbox::OUTBOX_CHANNEL;
use crate::time::At;
use crate::{Result, Tx};

pub use read::{Decided, Report, ReportState, of_match};
pub use report::{Claimed, Ended, claim, due, finish};

/// The operation of the match's result, with the time of its record. The match must be locked.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_match_in_tx(tx: &Tx<'_>, match_no: i64) -> Result<Option<(Operation, Timestamp)>> {
    let rows = tx.query("SELECT operation_id FROM match_result WHERE match_no = $1", &[&match_no]).await?;
    match rows.first() {
        None => Ok(None),
        Some(row) => operations::find_in_tx(tx, EventId::from_uuid(row.try_get(0)?)).await,
    }
}

/// Keeps an operation as the result of its match.
///
/// # Errors
/// [`crate::Error`]; a second one of a match is refused.
pub async fn keep_in_tx(tx: &Tx<'_>, match_no: i64, operation: EventId) -> Result<()> {
    let sql = "INSERT INTO match_result (match_no, operation_id) VALUES ($1, $2)";
    tx.execute(sql, &[&match_no, &operation.uuid()]).await?;
    Ok(())
}

/// Has the match's provider told of its result: also where it was refused or given up, then all over again. What waits or
/// has arrived stays as it is. Wakes the dispatcher after the commit.
///
/// # Errors
/// [`crate::Error`].
pub async fn report_in_tx(
    tx: &Tx<'_>,
    match_no: i64,
    operation: EventId,
    source: &SourceName,
    now: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO result_report AS r (operation_id, match_no, source, next_attempt_at, created_at)
               VALUES ($1, $2, $3, $4, $4)
               ON CONFLICT (operation_id) DO UPDATE
                  SET state = 'waiting', attempts = 0, next_attempt_at = $4, changed_at = now()
                WHERE r.state IN ('refused', 'given_up')";
    let parameters: crate::client::Params<'_> = &[&operation.uuid(), &match_no, &source.as_str(), &At(now)];
    if tx.execute(sql, parameters).await? > 0 {
        tx.tell(OUTBOX_CHANNEL);
    }
    Ok(())
}
