//! Replays of archived events: who had which of them applied once more, and why.

use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::time::At;
use crate::{Client, Result, Tx};

/// A replay, begun and perhaps finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Its id, which the messages carry.
    pub id: Uuid,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Which events, to which workers.
    pub scope: Value,
    /// How many events were handed to the workers.
    pub events: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When the last event was handed over; none while it runs, and for ever when it was broken off.
    pub finished_at: Option<Timestamp>,
}

/// Notes that a replay begins, and returns its id.
///
/// # Errors
/// [`crate::Error`].
pub async fn begin(client: &Client, actor: &str, reason: &str, scope: &Value) -> Result<Uuid> {
    let sql = "INSERT INTO replay (replay_id, actor, reason, scope) VALUES (gen_random_uuid(), $1, $2, $3)
               RETURNING replay_id";
    Ok(client.query_one(sql, &[&actor, &reason, scope]).await?.try_get(0)?)
}

/// Notes a replay that is begun and finished in this transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn note_in_tx(
    tx: &Tx<'_>,
    actor: &str,
    reason: &str,
    scope: &Value,
    events: usize,
) -> Result<Uuid> {
    let sql = "INSERT INTO replay (replay_id, actor, reason, scope, events, finished_at)
               VALUES (gen_random_uuid(), $1, $2, $3, $4, now()) RETURNING replay_id";
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    Ok(tx.query_one(sql, &[&actor, &reason, scope, &events]).await?.try_get(0)?)
}

/// Counts events that are handed over in this transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn count_in_tx(tx: &Tx<'_>, id: Uuid, events: usize) -> Result<()> {
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    tx.execute("UPDATE replay SET events = events + $2 WHERE replay_id = $1", &[&id, &events]).await?;
    Ok(())
}

/// Notes that a replay has handed over everything.
///
/// # Errors
/// [`crate::Error`].
pub async fn finish(client: &Client, id: Uuid) -> Result<()> {
    client.execute("UPDATE replay SET finished_at = now() WHERE replay_id = $1", &[&id]).await?;
    Ok(())
}

/// One replay.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Replay>> {
    let sql = "SELECT replay_id, actor, reason, scope, events, started_at, finished_at FROM replay
                WHERE replay_id = $1";
    let Some(row) = client.query_opt(sql, &[&id]).await? else { return Ok(None) };
    Ok(Some(Replay {
        id: row.try_get(0)?,
        actor: row.try_get(1)?,
        reason: row.try_get(2)?,
        scope: row.try_get(3)?,
        events: u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or(0),
        started_at: row.try_get::<_, At>(5)?.0,
        finished_at: row.try_get::<_, Option<At>>(6)?.map(|at| at.0),
    }))
}
