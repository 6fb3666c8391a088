//! What becomes of a grant while the studio is told of it.
//!
//! A grant that somebody has taken back, or holds for review, is left alone.

use uuid::Uuid;

use crate::{Result, Tx};

/// The kind of the notices whose delivery fulfils a grant; their subject is its id.
const GRANTED: &str = "reward.granted";

/// The grant that a notice fulfils.
pub(super) fn grant_of(kind: &str, subject: &str) -> Option<Uuid> {
    if kind == GRANTED { Uuid::parse_str(subject).ok() } else { None }
}

/// The studio is about to be told of these for the first time.
pub(super) async fn begin_in_tx(tx: &Tx<'_>, grants: &[Uuid]) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    let sql = "WITH begun AS MATERIALIZED (
                 SELECT grant_id FROM reward_grant WHERE grant_id = ANY ($1) AND state = 'granted'
                  ORDER BY grant_id FOR NO KEY UPDATE)
               UPDATE reward_grant AS g SET state = 'delivering', updated_at = now()
                 FROM begun WHERE g.grant_id = begun.grant_id";
    tx.execute(sql, &[&grants]).await?;
    Ok(())
}

/// A delivery of the grant's notice has changed: every endpoint has it, or one has been given up, or neither.
pub(super) async fn settle_in_tx(tx: &Tx<'_>, grant: Uuid, webhook_id: Uuid) -> Result<()> {
    // Two endpoints that finish at once must not each see the other still waiting: the grant's row makes them take
    // turns, and the statement after the wait sees what was committed.
    tx.query("SELECT FROM reward_grant WHERE grant_id = $1 FOR NO KEY UPDATE", &[&grant]).await?;
    let sql = "UPDATE reward_grant AS g SET state = told.state, updated_at = now()
                 FROM (SELECT CASE WHEN bool_or(state = 'given_up') THEN 'failed'
                                   WHEN bool_and(state = 'delivered') THEN 'fulfilled'
                                   ELSE 'delivering' END AS state
                         FROM delivery WHERE webhook_id = $2) AS told
                WHERE g.grant_id = $1 AND g.state IN ('granted', 'delivering', 'failed')
                  AND g.state <> told.state";
    tx.execute(sql, &[&grant, &webhook_id]).await?;
    Ok(())
}
