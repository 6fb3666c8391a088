//! Archived events that a worker wants and has never had: somebody has deleted its queue, or taken a binding away, while
//! they were published.

use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use uuid::Uuid;

use crate::{Client, Error, Result, Tx};

/// What was archived longer ago is not asked for: the inbox forgets, and what it has forgotten would look missed.
const DAYS: i32 = 7;

/// What the delay of a retry takes at most, and more: an event that was tried longer ago is not on its way any more.
const TRIED_PATIENCE_S: f64 = 600.0;

/// What was found in a part of a source's chain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Missed {
    /// In the order of the chain, without their deliveries' bodies.
    pub events: Vec<Event>,
    /// Up to here nothing else is missing, and need not be looked at again.
    pub through: i64,
}

/// The last place of every source's chain.
///
/// # Errors
/// [`crate::Error`].
pub async fn heads(client: &Client) -> Result<Vec<(String, i64)>> {
    let rows = client.query("SELECT source, seq FROM archive_head ORDER BY source", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The events of a source after the place `after` up to `through` that this queue's worker wants, and that it has neither
/// applied nor parked, of the last days; at most `limit`. What is tried again and again is on its way, and so is what waits in the spool.
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
    limit: i64,
) -> Result<Option<Missed>> {
    let lock = "SELECT pg_try_advisory_xact_lock(hashtext('missed'), hashtext($1))";
    if !tx.query_one(lock, &[&queue.name()]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let sql = "SELECT a.seq, a.event_id, a.event,
             coalesce(t.last_at > now() - make_interval(secs => $8), false) AS tried
        FROM archive a LEFT JOIN attempts t ON t.worker = $5 AND t.event_id = a.event_id
       WHERE a.day > (now() AT TIME ZONE 'UTC')::date - $10::int AND a.source = $1 AND a.seq > $2 AND a.seq <= $3 AND a.payload = ANY ($4)
         AND NOT EXISTS (SELECT FROM inbox i WHERE i.worker = $5 AND i.event_id = a.event_id)
         AND NOT EXISTS (SELECT FROM parked p WHERE p.event_id = a.event_id AND p.queue IN ($6, $7))
       ORDER BY a.seq LIMIT $9";
    let payloads: Vec<&str> = queue.payloads().iter().map(|name| name.as_str()).collect();
    let (worker, name) = (queue.worker(), queue.name());
    let params: [&(dyn postgres_types::ToSql + Sync); 10] = [
        &source,
        &after,
        &through,
        &payloads,
        &worker,
        &name,
        &DEAD_LETTER_QUEUE,
        &TRIED_PATIENCE_S,
        &limit,
        &DAYS,
    ];
    let rows = tx.query(sql, &params).await?;
    let mut missed = Missed { events: Vec::new(), through };
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= limit
        && let Some(last) = rows.last()
    {
        missed.through = last.try_get("seq")?;
    }
    let spooled = spooled(tx, &rows).await?;
    for row in &rows {
        let (seq, tried): (i64, bool) = (row.try_get("seq")?, row.try_get("tried")?);
        if tried {
            // Looked at again when it has ended; what is behind it need not wait for that.
            missed.through = missed.through.min(seq - 1);
        } else if !spooled.contains(&row.try_get("event_id")?) {
            let event = wire::decode(row.try_get("event")?)
                .map_err(|error| Error::Stored { what: "event of the archive", source: error.into() })?;
            missed.events.push(event);
        }
    }
    Ok(Some(missed))
}

/// Those that wait in the spool, for whomever. It may be long, so nothing is asked for in vain.
async fn spooled(tx: &Tx<'_>, rows: &[tokio_postgres::Row]) -> Result<Vec<Uuid>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = rows.iter().map(|row| row.try_get("event_id")).collect::<Result<Vec<Uuid>, _>>()?;
    let found = tx.query("SELECT event_id FROM spool WHERE event_id = ANY ($1)", &[&ids]).await?;
    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
