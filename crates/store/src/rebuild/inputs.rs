use std::collections::BTreeSet;

use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Rebuild;
use crate::corrections::{self, Correction};
use crate::operations::{self, Operation};
use crate::time::At;
use crate::{Error, Result, Tx};

/// The most events that are applied together: the longest batch that a worker can be configured for.
const EVENTS_MAX: i64 = 4096;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Inputs that are applied.
    pub done: i64,
    /// All that are written down.
    pub all: i64,
}

/// What is to be applied next.
#[derive(Debug)]
pub enum Input {
    /// Events of one worker, each with its place in the plan, ascending.
    Events {
        /// Whose.
        queue: Queue,
        /// The events.
        events: Vec<(i64, Event)>,
        /// When the last of them was applied.
        at: Timestamp,
    },
    /// What a person or the clock did, at its time.
    Operation(Operation, Timestamp),
    /// A correction that a person asked for.
    Proposal(Box<Correction>, Timestamp),
    /// What was decided about a correction.
    Decision(Box<Correction>, Timestamp),
    /// A grant that had been delivered.
    Delivered(Uuid),
}

struct Step {
    position: i64,
    kind: String,
    worker: String,
    id: Uuid,
    at: Timestamp,
    day: Option<String>,
}

const COLUMNS: &str = "position, kind, worker, id, at, to_char(day, 'YYYY-MM-DD')";

fn read(row: &Row) -> Result<Step> {
    Ok(Step {
        position: row.try_get(0)?,
        kind: row.try_get(1)?,
        worker: row.try_get(2)?,
        id: row.try_get(3)?,
        at: row.try_get::<_, At>(4)?.0,
        day: row.try_get(5)?,
    })
}

impl Rebuild {
    /// How far it is.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn progress(&self) -> Result<Progress> {
        let sql = "SELECT done, (SELECT coalesce(max(position), 0) FROM rebuild_step) FROM rebuild_state";
        let row = self.built.client().await?.query_one(sql, &[]).await?;
        Ok(Progress { done: row.try_get(0)?, all: row.try_get(1)? })
    }

    /// What is to be applied next, with its place in the plan; none when all is applied.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn next(&self) -> Result<Option<(i64, Input)>> {
        let client = self.built.client().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM rebuild_step WHERE position > (SELECT done FROM rebuild_state)
              ORDER BY position LIMIT 1"
        );
        let Some(row) = client.query_opt(&sql, &[]).await? else { return Ok(None) };
        let first = read(&row)?;
        let (position, at, id) = (first.position, first.at, EventId::from_uuid(first.id));
        let input = match first.kind.as_str() {
            "event" => {
                // What a worker applied together is applied together: where an event follows another one of its match
                // in one transaction, only the last of them is remembered.
                let sql = format!(
                    "SELECT {COLUMNS} FROM rebuild_step
                      WHERE kind = 'event' AND worker = $1 AND at = $2 AND position >= $3
                      ORDER BY position LIMIT $4"
                );
                let rows = client.query(&sql, &[&first.worker, &At(at), &position, &EVENTS_MAX]).await?;
                let mut steps = rows.iter().map(read).collect::<Result<Vec<Step>>>()?;
                let gap = steps.windows(2).position(|pair| match pair {
                    [one, next] => next.position != one.position.saturating_add(1),
                    _ => false,
                });
                steps.truncate(gap.map_or(steps.len(), |at| at.saturating_add(1)));
                return self.events(&first.worker, &steps).await.map(Some);
            }
            "operation" => {
                let found = operations::find(&self.live.client().await?, id).await?;
                let (operation, _) = found.ok_or_else(|| gone("operation"))?;
                let at = self.moment(&operation, at).await?;
                Input::Operation(operation, at)
            }
            "delivery" => Input::Delivered(first.id),
            kind => {
                let found = corrections::find(&self.live.client().await?, id).await?;
                let correction = Box::new(found.ok_or_else(|| gone("correction"))?);
                let applied = operations::find(&self.live.client().await?, id).await?;
                let at = match &applied {
                    Some((operation, _)) => self.moment(operation, at).await?,
                    None => at,
                };
                if kind == "proposal" {
                    Input::Proposal(correction, at)
                } else {
                    Input::Decision(correction, at)
                }
            }
        };
        Ok(Some((position, input)))
    }

    async fn events(&self, worker: &str, steps: &[Step]) -> Result<(i64, Input)> {
        let queue = Queue::ALL.into_iter().find(|queue| queue.worker() == worker);
        let queue = queue.ok_or_else(|| crate::words::unknown("worker of the plan"))?;
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Err(gone("step")) };
        // Named one by one, so that the other days are not even looked at.
        let days: BTreeSet<&str> = steps.iter().filter_map(|step| step.day.as_deref()).collect();
        let days = days.iter().map(|day| format!("'{day}'")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT s.position, a.event, a.raw
               FROM \"{}\".rebuild_step s JOIN archive a ON (a.source, a.seq, a.day) = (s.source, s.seq, s.day)
              WHERE s.position BETWEEN $1 AND $2 AND a.day IN ({days}) ORDER BY s.position",
            self.schema
        );
        let mut client = self.live.client().await?;
        let tx = client.begin().await?;
        let rows = tx.query_once(&sql, &[&first.position, &last.position]).await?;
        if rows.len() != steps.len() {
            return Err(gone("archived event"));
        }
        let event = |row: &Row| {
            let event = wire::decode(row.try_get(1)?)
                .map_err(|error| Error::Stored { what: "event of the archive", source: error.into() })?;
            Ok((row.try_get(0)?, Event { raw: row.try_get::<_, Vec<u8>>(2)?.into(), ..event }))
        };
        let events = rows.iter().map(event).collect::<Result<Vec<_>>>()?;
        Ok((last.position, Input::Events { queue, events, at: last.at }))
    }

    /// The time that an operation took for its own, which its transfers and the match have; the record's own time is the
    /// database's.
    async fn moment(&self, operation: &Operation, at: Timestamp) -> Result<Timestamp> {
        let sql = "SELECT coalesce(
                     (SELECT max(event_at) FROM transfer WHERE match_no = $2 AND event_id = $1),
                     (SELECT max(event_at) FROM transfer WHERE match_no = 0 AND subject = $1),
                     (SELECT settled_at FROM match WHERE match_no = $2 AND last_event_id = $1), $3)";
        let id = operation.id.uuid();
        let row = self.live.client().await?.query_one(sql, &[&id, &operation.match_no, &At(at)]).await?;
        Ok(row.try_get::<_, At>(0)?.0)
    }

    /// Notes that everything up to this place is applied, in the transaction that did it. A crash of the server may
    /// take both back together.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn advance_in_tx(&self, tx: &Tx<'_>, position: i64) -> Result<()> {
        tx.relax_durability().await?;
        tx.execute("UPDATE rebuild_state SET done = $1", &[&position]).await?;
        Ok(())
    }

    /// Notes that the input at this place could not be applied as it was, and goes on behind it.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn deviate(&self, position: i64, what: &str) -> Result<()> {
        let what = crate::words::storable(what, 4_000);
        let mut client = self.built.client().await?;
        let tx = client.begin().await?;
        let sql = "INSERT INTO rebuild_deviation (position, what) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[&position, &what]).await?;
        self.advance_in_tx(&tx, position).await?;
        tx.commit().await
    }

    /// What could not be applied as it was, at most `limit`, with how many there are.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn deviations(&self, limit: i64) -> Result<(Vec<String>, i64)> {
        let client = self.built.client().await?;
        let rows =
            client.query("SELECT what FROM rebuild_deviation ORDER BY position LIMIT $1", &[&limit]).await?;
        let all = client.query_one("SELECT count(*) FROM rebuild_deviation", &[]).await?.try_get(0)?;
        Ok((rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?, all))
    }
}

/// Sets how far the studio has been told of a grant, as the dispatcher did; what it does else is outside.
///
/// # Errors
/// [`crate::Error`].
pub async fn set_grant_state_in_tx(tx: &Tx<'_>, grant: Uuid, state: &str) -> Result<()> {
    let sql = "UPDATE reward_grant SET state = $2
                WHERE grant_id = $1 AND state IN ('granted', 'delivering', 'failed')";
    tx.execute(sql, &[&grant, &state]).await?;
    Ok(())
}

fn gone(what: &'static str) -> Error {
    Error::Stored { what, source: "it was in the plan and is not there any more".into() }
}
