//! Archived events that a worker wants and has never had: somebody has deleted its queue, or taken a binding away, while
//! they were published.

use matchpurse_bus::Destination;
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use postgres_types::ToSql;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Client, Error, Result, Tx};

/// What was archived longer ago is not asked for: the inbox forgets, and what it has forgotten would look missed.
const DAYS: i32 = 7;

/// What the delay of a retry takes at most, and more: an event that was tried longer ago is not on its way any more.
const TRIED_PATIENCE_S: f64 = 600.0;

/// What was found in a part of a source's chain.
#[derive(Debug, Default)]
pub struct Missed {
    /// What the worker never got: in the order of the chain, without their deliveries' bodies.
    pub events: Vec<Event>,
    /// Up to here the part was looked at: to its end, unless more is missing than was asked for.
    pub reached: i64,
    /// The first place of the part that must be looked at again later: its event is being tried, or waits in the spool for
    /// the broker, or cannot be read.
    pub held: Option<i64>,
    /// The places whose events are missing and cannot be read, and why.
    pub unreadable: Vec<(i64, Error)>,
}

/// The last place of every source's chain.
///
/// # Errors
/// [`crate::Error`].
pub async fn heads(client: &Client) -> Result<Vec<(String, i64)>> {
    let rows = client.query("SELECT source, seq FROM archive_head ORDER BY source", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many messages wait in the spool for this queue's worker; counted no further than `most`.
///
/// # Errors
/// [`crate::Error`].
pub async fn waiting(client: &Client, queue: Queue, most: i64) -> Result<i64> {
    let sql =
        "SELECT count(*) FROM (SELECT FROM spool_destination WHERE destination = $1 LIMIT $2) AS bounded";
    client.query_one(sql, &[&queue.name(), &most]).await?.try_get(0).map_err(Error::from)
}

/// The place up to which a source need not be looked through: where an earlier search has come to, or the last place before
/// the days that are looked at; `head` when nothing was archived in those.
///
/// # Errors
/// [`crate::Error`].
pub async fn begin(client: &Client, queue: Queue, source: &str, head: i64) -> Result<i64> {
    let sql = "SELECT greatest(
          (SELECT through FROM missed_search WHERE worker = $1 AND source = $2 AND payloads = $3),
          coalesce((SELECT min(seq) - 1 FROM archive
                     WHERE source = $2 AND day > (now() AT TIME ZONE 'UTC')::date - $4::int), $5))";
    let row = client.query_one(sql, &[&queue.worker(), &source, &payloads(queue), &DAYS, &head]).await?;
    Ok(row.try_get(0)?)
}

/// Notes that up to `through` nothing of a source must be looked at again; never less than was noted before.
///
/// # Errors
/// [`crate::Error`].
pub async fn note_in_tx(tx: &Tx<'_>, queue: Queue, source: &str, through: i64) -> Result<()> {
    let sql = "INSERT INTO missed_search AS m (worker, source, payloads, through) VALUES ($1, $2, $3, $4)
        ON CONFLICT (worker, source) DO UPDATE SET payloads = EXCLUDED.payloads, looked_at = now(),
          through = CASE WHEN m.payloads = EXCLUDED.payloads THEN greatest(m.through, EXCLUDED.through)
                         ELSE EXCLUDED.through END";
    tx.execute(sql, &[&queue.worker(), &source, &payloads(queue), &through]).await?;
    Ok(())
}

/// The events of a source after the place `after` up to `through` that this queue's worker wants, and that it has neither
/// applied nor parked, of the last days; the first `limit` of them. What is tried again and again is on its way, and so
/// is what waits in the spool for this worker or for the broker.
///
/// None when another process of the worker is looking: two would find the same.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_in_tx(
    tx: &Tx<'_>,
    queue: Queue,
    source: &str,
    (after, through): (i64, i64),
    limit: usize,
) -> Result<Option<Missed>> {
    let lock = "SELECT pg_try_advisory_xact_lock(hashtext('missed'), hashtext($1))";
    let name = format!("{}/{source}", queue.name());
    if !tx.query_one(lock, &[&name]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let mut missed = Missed { reached: through, ..Missed::default() };
    let mut missing: Vec<i64> = Vec::new();
    for open in open(tx, queue, source, (after, through)).await? {
        if open.held {
            // Looked at again when it has ended; what is behind it need not wait for that.
            missed.hold(open.seq);
        } else if missing.len() < limit {
            missing.push(open.seq);
        } else {
            missed.reached = missing.last().copied().unwrap_or(after);
            break;
        }
    }
    for (seq, event) in read(tx, source, &missing).await? {
        match event {
            Ok(event) => missed.events.push(event),
            Err(error) => {
                missed.hold(seq);
                missed.unreadable.push((seq, error));
            }
        }
    }
    Ok(Some(missed))
}

impl Missed {
    fn hold(&mut self, seq: i64) {
        self.held = Some(self.held.map_or(seq, |held| held.min(seq)));
    }
}

/// An event that the worker has neither applied nor parked, nor gets from the spool.
struct Open {
    seq: i64,
    /// It is on its way, and may get lost on that.
    held: bool,
}

/// Those of a part of the chain, in its order. One statement, because that sees one moment: an event leaves the spool for
/// the inbox, and between two statements it would be seen in neither.
async fn open(tx: &Tx<'_>, queue: Queue, source: &str, (after, through): (i64, i64)) -> Result<Vec<Open>> {
    let sql = "WITH open AS MATERIALIZED (
          SELECT a.seq, a.event_id FROM archive a
           WHERE a.day > (now() AT TIME ZONE 'UTC')::date - $10::int
             AND a.source = $1 AND a.seq > $2 AND a.seq <= $3 AND a.payload = ANY ($4)
             AND NOT EXISTS (SELECT FROM inbox i WHERE i.worker = $5 AND i.event_id = a.event_id)
             AND NOT EXISTS (SELECT FROM parked p WHERE p.event_id = a.event_id AND p.queue IN ($6, $7))),
        waiting AS MATERIALIZED (
          SELECT s.event_id, bool_or(d.destination = $6) AS here, bool_or(d.destination = $8) AS outside
            FROM open JOIN spool s USING (event_id) JOIN spool_destination d USING (position)
           WHERE d.destination IN ($6, $8) GROUP BY s.event_id)
        SELECT o.seq, coalesce(w.outside, false)
                 OR coalesce(t.last_at > now() - make_interval(secs => $9), false) AS held
          FROM open o LEFT JOIN waiting w USING (event_id)
          LEFT JOIN attempts t ON t.worker = $5 AND t.event_id = o.event_id
         WHERE w.here IS NOT TRUE ORDER BY o.seq";
    let params: [&(dyn ToSql + Sync); 10] = [
        &source,
        &after,
        &through,
        &payloads(queue),
        &queue.worker(),
        &queue.name(),
        &DEAD_LETTER_QUEUE,
        &Destination::Broker.name(),
        &TRIED_PATIENCE_S,
        &DAYS,
    ];
    let rows = tx.query(sql, &params).await?;
    rows.iter().map(|row| Ok(Open { seq: row.try_get("seq")?, held: row.try_get("held")? })).collect()
}

/// The events at these places of a source's chain, in its order.
async fn read(tx: &Tx<'_>, source: &str, places: &[i64]) -> Result<Vec<(i64, Result<Event>)>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT seq, event_id, event FROM archive
                WHERE day > (now() AT TIME ZONE 'UTC')::date - $3::int AND source = $1 AND seq = ANY ($2)
                ORDER BY seq";
    let rows = tx.query(sql, &[&source, &places, &DAYS]).await?;
    rows.iter().map(|row| Ok((row.try_get("seq")?, event_of(row)))).collect()
}

fn event_of(row: &Row) -> Result<Event> {
    let unreadable = |source| Error::Stored { what: "event of the archive", source };
    let event = wire::decode(row.try_get("event")?).map_err(|error| unreadable(error.into()))?;
    let id: Uuid = row.try_get("event_id")?;
    // Under another id it would be applied, and still be missing.
    if event.id.uuid() != id {
        return Err(unreadable(format!("it says that it is {}, and stands as {id}", event.id).into()));
    }
    Ok(event)
}

fn payloads(queue: Queue) -> Vec<&'static str> {
    queue.payloads().iter().map(|name| name.as_str()).collect()
}
