//! Which worker has seen which event. It saves work; correctness rests on the permanent keys of effects.

use std::collections::HashSet;
use std::time::Duration;

use matchpurse_domain::ids::EventId;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// Marks events as seen by a worker and returns those that it had not seen before, without those that told of somebody who
/// was erased since. A concurrent transaction that claims the same event waits for this one to end.
///
/// # Errors
/// [`crate::Error`].
pub async fn claim_in_tx(tx: &Tx<'_>, worker: &str, events: &[EventId]) -> Result<HashSet<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.uuid()).collect();
    let rows = tx
        .query(
            "WITH added AS (
               INSERT INTO inbox (worker, event_id, place)
               SELECT $1, id, place FROM unnest($2::uuid[]) WITH ORDINALITY AS event (id, place)
                ORDER BY id, place
               ON CONFLICT DO NOTHING
               RETURNING event_id)
             SELECT event_id FROM added
              WHERE NOT EXISTS (SELECT FROM erased_event e WHERE e.event_id = added.event_id)",
            &[&worker, &ids],
        )
        .await?;
    rows.iter().map(|row| Ok(EventId::from_uuid(row.try_get(0)?))).collect()
}

impl Store {
    /// Forgets what was seen longer ago than `age`, at most `limit` rows, and returns how many it forgot.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn prune_inbox(&self, age: Duration, limit: u32) -> Result<u64> {
        let client = self.client().await?;
        client
            .execute(
                "DELETE FROM inbox WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM inbox WHERE seen_at < now() - make_interval(secs => $1)
                    ORDER BY seen_at LIMIT $2))",
                &[&age.as_secs_f64(), &i64::from(limit)],
            )
            .await
    }
}
