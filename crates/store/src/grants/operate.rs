use matchpurse_domain::grants::{Grant, GrantState};
use matchpurse_domain::ids::{EventId, SourceName};
use uuid::Uuid;

use super::list::{GrantLine, find_in_tx};
use crate::redemptions::taken_back_in_tx;
use crate::{Result, Tx};

/// One grant, locked with its contest, so that neither an event nor the dispatcher changes it meanwhile.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, grant: Uuid) -> Result<Option<GrantLine>> {
    // In the order of the workers: the contest first.
    let contest =
        "SELECT FROM contest WHERE contest_key = (SELECT contest_key FROM reward_grant WHERE grant_id = $1)
                      FOR NO KEY UPDATE";
    tx.query(contest, &[&grant]).await?;
    tx.query("SELECT FROM reward_grant WHERE grant_id = $1 FOR NO KEY UPDATE", &[&grant]).await?;
    find_in_tx(tx, grant).await
}

/// Takes a locked grant to `state`, by `cause`; nothing stands in its way to be reviewed any more. Returns the grant
/// as it is now.
///
/// # Errors
/// [`crate::Error`].
pub async fn set_state_in_tx(
    tx: &Tx<'_>,
    line: &GrantLine,
    state: GrantState,
    cause: EventId,
) -> Result<Grant> {
    let sql =
        "UPDATE reward_grant SET state = $2, reason = NULL, detail = NULL, event_id = $3, updated_at = now()
                WHERE grant_id = $1";
    tx.execute(sql, &[&line.id, &state.as_str(), &cause.uuid()]).await?;
    if state == GrantState::Reversed {
        taken_back_in_tx(tx, &[line.id]).await?;
    }
    Ok(Grant { state, reason: None, detail: None, ..line.grant.clone() })
}

/// Resolves the open anomalies of these kinds about the rewards of a contest: what a person did is the answer.
///
/// # Errors
/// [`crate::Error`].
pub async fn resolve_anomalies_in_tx(
    tx: &Tx<'_>,
    source: &SourceName,
    contest_id: &str,
    kinds: &[&str],
    operation: EventId,
    resolved_by: &str,
) -> Result<u64> {
    let sql = "UPDATE anomaly SET resolved_at = now(), resolution = $4, resolved_by = $5
                WHERE id IN (SELECT id FROM anomaly
                              WHERE source = $1 AND subject = $2 AND detail ->> 'about' = 'rewards'
                                AND kind = ANY($3) AND resolved_at IS NULL
                              ORDER BY id FOR NO KEY UPDATE)";
    let resolution = format!("operation {operation}");
    tx.execute(sql, &[&source.as_str(), &contest_id, &kinds, &resolution, &resolved_by]).await
}
