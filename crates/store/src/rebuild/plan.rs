use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::PayloadName;

use super::{Rebuild, RebuildError};
use crate::Error;
use crate::migrate::Session;

/// What was written down to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planned {
    /// Inputs that are new since the last time.
    pub new: u64,
    /// Of them, events for a worker that has not applied them yet: they are on their way, or something is wrong.
    pub unapplied: u64,
    /// Events that a worker could not apply and that wait for a person, or were discarded: left out.
    pub parked: u64,
}

/// Which worker applies which payload: SQL rows of worker, queue, payload.
fn appliers() -> String {
    let mut rows = Vec::new();
    for queue in Queue::ALL {
        for payload in queue.payloads() {
            // Of what is archived, only what nobody can read leaves more than the archive's own row.
            if queue == Queue::EventArchive && *payload != PayloadName::Unrecognized {
                continue;
            }
            rows.push(format!("('{}', '{}', '{}')", queue.worker(), queue.name(), payload.as_str()));
        }
    }
    rows.join(", ")
}

impl Rebuild {
    /// Writes down every input that is not written down yet, in the order in which it is to be applied, all of one
    /// moment.
    ///
    /// Events come in the order in which their worker applied them, by the inbox; those that the inbox has forgotten in
    /// the order in which they were archived. What people and the clock did comes where it was recorded. Workers share
    /// nothing, so between two such places each worker's events come in one piece, batch by batch.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn plan(&self) -> Result<Planned, RebuildError> {
        let session = Session::open(&self.url).await?;
        let sql = format!(
            "SELECT to_char(max(day) + 1, 'YYYY-MM-DD') FROM \"{}\".archive_detached",
            self.live_schema
        );
        let row = session.client.query_one(&sql, &[]).await.map_err(Error::from)?;
        if let Some(day) = row.try_get::<_, Option<String>>(0).map_err(Error::from)? {
            return Err(RebuildError::Detached(day));
        }
        let client = &session.client;
        client
            .batch_execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off",
            )
            .await
            .map_err(Error::from)?;
        let (live, schema) = (format!("\"{}\"", self.live_schema), &self.schema);
        let found = format!(
            "CREATE TEMPORARY TABLE found ON COMMIT DROP AS
             SELECT 'event' AS kind, w.worker, a.event_id AS id, coalesce(i.seen_at, a.archived_at) AS at,
                    coalesce(i.place, 0) AS place, a.source, a.seq, a.day,
                    i.event_id IS NULL AND p.event_id IS NULL
                      AND a.archived_at > now() - interval '29 days' AS unapplied,
                    i.event_id IS NULL AND p.event_id IS NOT NULL AS parked
               FROM {live}.archive a
               JOIN (VALUES {}) w (worker, queue, payload) USING (payload)
               LEFT JOIN {live}.inbox i ON i.worker = w.worker AND i.event_id = a.event_id
               LEFT JOIN (SELECT DISTINCT queue, event_id FROM {live}.parked
                           WHERE kind <> 'unrecognized'
                             AND (resolved_at IS NULL OR resolution = 'discarded')) p
                      ON p.queue = w.queue AND p.event_id = a.event_id
             UNION ALL
             SELECT 'operation', '', operation_id, at, 2, NULL, position, NULL, false, false
               FROM {live}.operation WHERE kind <> 'correction'
             UNION ALL
             SELECT 'proposal', '', correction_id, proposed_at, 3, NULL, position, NULL, false, false
               FROM {live}.correction
             UNION ALL
             SELECT 'decision', '', correction_id, decided_at, 4, NULL, position, NULL, false, false
               FROM {live}.correction WHERE state <> 'proposed' AND approvals = 2 OR state = 'rejected'
             UNION ALL
             -- A reward had arrived before the offerwall took it back: only the dispatcher's mark says so.
             SELECT 'delivery', '', g.grant_id, g.updated_at, 5, NULL, 0, NULL, false, false
               FROM {live}.reward_grant g JOIN {live}.contest c USING (contest_key)
              WHERE g.state = 'fulfilled'
                AND EXISTS (SELECT FROM {live}.anomaly x
                             WHERE x.source = c.source AND x.subject = c.contest_id
                               AND x.kind = 'reversed_too_late')",
            appliers()
        );
        client.batch_execute(&found).await.map_err(Error::from)?;
        let counted = "SELECT count(*) FILTER (WHERE unapplied), count(*) FILTER (WHERE parked) FROM found";
        let counted = client.query_one(counted, &[]).await.map_err(Error::from)?;
        // What is no event divides the events into segments; each segment is a piece of each worker's.
        let write = format!(
            "INSERT INTO {schema}.rebuild_step (position, kind, worker, id, at, source, seq, day)
             SELECT (SELECT coalesce(max(position), 0) FROM {schema}.rebuild_step)
                      + row_number() OVER (ORDER BY segment, kind = 'event', worker, at, place, seq, source),
                    kind, worker, id, at, source, seq, day
               FROM (SELECT *, count(*) FILTER (WHERE kind <> 'event')
                                 OVER (ORDER BY at, kind = 'event', place, seq
                                       ROWS UNBOUNDED PRECEDING) AS segment
                       FROM found f
                      WHERE NOT f.parked
                        AND NOT EXISTS (SELECT FROM {schema}.rebuild_step s
                                         WHERE (s.id, s.kind, s.worker) = (f.id, f.kind, f.worker))) inputs"
        );
        let new = client.execute(&write, &[]).await.map_err(Error::from)?;
        self.copy(&session).await?;
        client.batch_execute("COMMIT").await.map_err(Error::from)?;
        let count = |at: usize| {
            counted.try_get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0)).map_err(Error::from)
        };
        Ok(Planned { new, unapplied: count(0)?, parked: count(1)? })
    }

    /// Takes over the tables that are inputs themselves, and notes how far the inputs went.
    async fn copy(&self, session: &Session) -> Result<(), Error> {
        let (live, schema) = (&self.live_schema, &self.schema);
        for table in super::tables::copied() {
            let sql = format!(
                "INSERT INTO {schema}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM \"{live}\".{table}
                 ON CONFLICT DO NOTHING"
            );
            session.client.batch_execute(&sql).await?;
        }
        let noted = format!(
            "UPDATE {schema}.rebuild_state
                SET archived = (SELECT coalesce(sum(seq), 0) FROM \"{live}\".archive_head),
                    operated = (SELECT coalesce(max(position), 0) FROM \"{live}\".operation)"
        );
        session.client.batch_execute(&noted).await?;
        Ok(())
    }
}
