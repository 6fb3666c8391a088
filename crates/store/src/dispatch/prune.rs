use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::time::At;
use crate::{Client, Result};

/// The advisory lock of the pruning: the letters `mpprune`.
const LOCK: i64 = 0x006d_7070_7275_6e65;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Deliveries, with their attempts.
    pub deliveries: u64,
    /// Notices of which no delivery is left.
    pub notices: u64,
}

/// Removes deliveries that ended well before this time, and notices of which none is left, at most `limit` of each. What
/// waits stays, and so does what was given up. Nothing is done while somebody else does it.
///
/// # Errors
/// [`crate::Error`]; then nothing is removed.
pub async fn prune(client: &mut Client, before: Timestamp, limit: i64) -> Result<Pruned> {
    let tx = client.begin().await?;
    // Of two at once each could see the other's last delivery of a notice, and the notice would stay for ever.
    let alone: bool = tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?.try_get(0)?;
    if !alone {
        return Ok(Pruned::default());
    }
    let sql = "WITH old AS MATERIALIZED (
                 SELECT delivery_id FROM delivery
                  WHERE state IN ('delivered', 'withdrawn') AND finished_at < $1
                  ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED),
               attempts AS (
                 DELETE FROM delivery_attempt WHERE delivery_id = ANY (ARRAY (SELECT delivery_id FROM old)))
               DELETE FROM delivery WHERE delivery_id = ANY (ARRAY (SELECT delivery_id FROM old))
               RETURNING webhook_id";
    let rows = tx.query(sql, &[&At(before), &limit]).await?;
    let deliveries = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let notices: Vec<Uuid> = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?;
    let sql = "DELETE FROM outbox o WHERE webhook_id = ANY ($1)
                  AND NOT EXISTS (SELECT FROM delivery d WHERE d.webhook_id = o.webhook_id)";
    let ended = tx.execute(sql, &[&notices]).await?;
    let sql = "DELETE FROM outbox WHERE webhook_id = ANY (ARRAY (
                 SELECT webhook_id FROM outbox WHERE fanned_out_at < $1 AND body IS NULL
                  ORDER BY fanned_out_at LIMIT $2))";
    let unwanted = tx.execute(sql, &[&At(before), &limit]).await?;
    tx.commit().await?;
    Ok(Pruned { deliveries, notices: ended + unwanted })
}
