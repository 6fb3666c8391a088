//! How often an event was tried in vain. It is counted here and not by the broker, so that a worker that
//! crashes again and again cannot push innocent neighbours over a limit.

use matchpurse_domain::ids::EventId;
use uuid::Uuid;

use crate::later::own;
use crate::words::storable;
use crate::{Result, Store, Tx};

/// The longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 4_000;

impl Store {
    /// Counts one attempt in vain and returns how many there are now.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn record_failure(&self, worker: &str, event: EventId, error: &str) -> Result<u32> {
        // An error may quote what it is about.
        let error = storable(error, ERROR_CHARS_MAX);
        let client = self.client().await?;
        let row = client
            .query_one(
                "INSERT INTO attempts AS a (worker, event_id, attempts, last_error) VALUES ($1, $2, 1, $3)
                 ON CONFLICT (worker, event_id) DO UPDATE
                   SET attempts = a.attempts + 1, last_error = EXCLUDED.last_error, last_at = now()
                 RETURNING attempts",
                &[&worker, &event.uuid(), &error],
            )
            .await?;
        Ok(u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(u32::MAX))
    }
}

/// Forgets the attempts of events that are applied or parked now, with what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn clear_in_tx(tx: &Tx<'_>, worker: &str, events: &[EventId]) -> Result<()> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.uuid()).collect();
    let sql = "DELETE FROM attempts WHERE worker = $1 AND event_id = ANY ($2)";
    tx.later(sql, vec![own(worker.to_owned()), own(ids)]);
    Ok(())
}
