//! The spool: a durable table of messages, each with the destinations that it still waits for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use matchpurse_bus::{Destination, Spool, SpoolError, Spooled};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use postgres_types::ToSql;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Error, Result, Store, Tx, chain};

/// How old the count of waiting messages may grow before it is taken again.
const COUNT_MAX_AGE: Duration = Duration::from_secs(5);

/// How soon it is taken again while the spool looks full, so that nobody is refused for long in vain.
const FULL_COUNT_MAX_AGE: Duration = Duration::from_millis(250);

/// How many bytes of bodies are handed out at once: what a claim holds in memory, and a worker's batch. A larger one comes
/// alone.
const CLAIM_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// When a message is tried again that this version cannot read: a newer one may have left it here, and may
/// come back.
const AFTER_UNREADABLE: Duration = Duration::from_secs(60 * 60);

/// The messages that wait, in the table `spool`, for a process that appends or takes them.
pub struct SpoolTable {
    store: Store,
    limit: u64,
    waiting: Mutex<Option<Waiting>>,
}

/// What this process knows of the spool's size. Counting for every append would cost more than the append;
/// other processes' appends are seen at the next count.
#[derive(Clone, Copy)]
struct Waiting {
    count: u64,
    counted_at: Instant,
}

impl Store {
    /// The spool, which takes about `limit` messages: other processes may add what they append within
    /// seconds.
    pub fn spool(&self, limit: u64) -> SpoolTable {
        SpoolTable { store: self.clone(), limit, waiting: Mutex::new(None) }
    }
}

impl SpoolTable {
    /// Refuses when `more` messages would be too many.
    async fn check_room(&self, more: u64) -> Result<(), SpoolError> {
        let known = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |count: u64| count.saturating_add(more) <= self.limit;
        let waiting = match known {
            Some(w) if w.counted_at.elapsed() < FULL_COUNT_MAX_AGE => w.count,
            Some(w) if fits(w.count) && w.counted_at.elapsed() < COUNT_MAX_AGE => w.count,
            _ => self.count().await.map_err(database)?,
        };
        if fits(waiting) { Ok(()) } else { Err(SpoolError::Full { waiting, limit: self.limit }) }
    }

    async fn count(&self) -> Result<u64> {
        // No further than matters: a long backlog must not make the count long.
        let most = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let sql = "SELECT count(*) FROM (SELECT FROM spool LIMIT $1) AS bounded";
        let row = self.store.client().await?.query_one(sql, &[&most]).await?;
        let count = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Waiting { count, counted_at: Instant::now() });
        Ok(count)
    }

    fn adjust(&self, change: impl FnOnce(u64) -> u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.as_mut() {
            waiting.count = change(waiting.count);
        }
    }

    async fn insert(&self, messages: &[(Message, Vec<Destination>)]) -> Result<()> {
        let columns = Columns::of(messages);
        self.store.client().await?.query(APPEND, &columns.params()).await?;
        Ok(())
    }

    async fn take(&self, destination: Destination, limit: usize, lease: Duration) -> Result<Vec<Spooled>> {
        // The oldest that nobody holds, as many as fit. `attempts` counts how often it was handed out before.
        let sql = "WITH due AS (
              SELECT position FROM spool_destination
               WHERE destination = $1 AND available_at <= now()
               ORDER BY position LIMIT $2 FOR UPDATE SKIP LOCKED),
            summed AS (
              SELECT position, octet_length(body) AS bytes, sum(octet_length(body)) OVER (ORDER BY position) AS sum
                FROM due JOIN spool USING (position)),
            taken AS (
              UPDATE spool_destination AS d
                 SET available_at = clock_timestamp() + make_interval(secs => $3), attempts = attempts + 1
                FROM summed AS s
               WHERE d.position = s.position AND d.destination = $1 AND (s.sum <= $4 OR s.sum = s.bytes)
              RETURNING d.position, d.attempts - 1 AS attempts)
            SELECT position, taken.attempts, event_id, payload, routing_key, headers, body
              FROM taken JOIN spool USING (position) ORDER BY position";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let client = self.store.client().await?;
        let params: [&(dyn ToSql + Sync); 4] =
            [&destination.name(), &limit, &lease.as_secs_f64(), &CLAIM_BYTES_MAX];
        let rows = client.query(sql, &params).await?;
        drop(client);
        let mut taken = Vec::with_capacity(rows.len());
        let mut unreadable = Vec::new();
        for row in &rows {
            match read(row) {
                Ok(spooled) => taken.push(spooled),
                Err(error) => {
                    let position: i64 = row.try_get("position")?;
                    let (destination, reason) = (destination.name(), chain(&error));
                    tracing::error!(
                        destination,
                        position,
                        reason,
                        "a message in the spool cannot be read; it waits"
                    );
                    unreadable.push((position, AFTER_UNREADABLE));
                }
            }
        }
        if !unreadable.is_empty()
            && let Err(error) = self.delay(destination, &unreadable).await
        {
            // They wait for the end of the lease instead, and what could be read is not kept waiting with them.
            tracing::warn!(reason = chain(&error), "messages that cannot be read were not put off");
        }
        Ok(taken)
    }

    /// What workers hold or have put off is due now.
    async fn release(&self) -> Result<u64> {
        let workers: Vec<&str> = Queue::ALL.into_iter().map(Queue::name).collect();
        let sql = "UPDATE spool_destination SET available_at = '-infinity'
             WHERE destination = ANY ($1) AND available_at > now()";
        self.store.client().await?.execute(sql, &[&workers]).await
    }

    /// Removes what has reached `destination`, and the messages that wait for nobody else.
    async fn remove(&self, destination: Destination, positions: &[i64]) -> Result<u64> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        // Two destinations that finish the same message at once must not each see the other still waiting:
        // the message's row makes them take turns, and the statement after the wait sees what was committed.
        let locked = "SELECT FROM spool WHERE position = ANY ($1) ORDER BY position FOR UPDATE";
        let reached = "DELETE FROM spool_destination WHERE destination = $1 AND position = ANY ($2)";
        let finished = "DELETE FROM spool AS s WHERE position = ANY ($1)
             AND NOT EXISTS (SELECT FROM spool_destination AS d WHERE d.position = s.position)";
        tx.execute(locked, &[&positions]).await?;
        tx.execute(reached, &[&destination.name(), &positions]).await?;
        let gone = tx.execute(finished, &[&positions]).await?;
        tx.commit().await?;
        Ok(gone)
    }

    async fn delay(&self, destination: Destination, positions: &[(i64, Duration)]) -> Result<()> {
        let (places, delays): (Vec<i64>, Vec<f64>) =
            positions.iter().map(|(position, delay)| (*position, delay.as_secs_f64())).unzip();
        let sql = "UPDATE spool_destination AS d
               SET available_at = clock_timestamp() + make_interval(secs => p.delay)
              FROM unnest($2::bigint[], $3::float8[]) AS p (position, delay)
             WHERE d.position = p.position AND d.destination = $1";
        self.store.client().await?.execute(sql, &[&destination.name(), &places, &delays]).await?;
        Ok(())
    }

    async fn measure(&self, destination: Destination) -> Result<(u64, Option<Duration>)> {
        let sql = "SELECT count(*), (
               SELECT extract(epoch FROM clock_timestamp() - s.appended_at)::float8
                 FROM spool_destination AS o JOIN spool AS s USING (position)
                WHERE o.destination = $1 ORDER BY o.position LIMIT 1)
             FROM spool_destination WHERE destination = $1";
        let row = self.store.client().await?.query_one(sql, &[&destination.name()]).await?;
        let age =
            row.try_get::<_, Option<f64>>(1)?.map(|s| Duration::try_from_secs_f64(s).unwrap_or_default());
        Ok((u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0), age))
    }
}

// One statement, so all or none without a transaction's round trips.
const APPEND: &str = "WITH message AS MATERIALIZED (
      SELECT nextval('spool_position') AS position, m.*
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::bytea[], $6::text[])
          WITH ORDINALITY AS m (event_id, payload, routing_key, headers, body, destinations, place)
       ORDER BY place),
    kept AS (
      INSERT INTO spool (position, event_id, payload, routing_key, headers, body)
      SELECT position, event_id, payload, routing_key, headers, body FROM message),
    addressed AS (
      INSERT INTO spool_destination (position, destination)
      SELECT position, unnest(string_to_array(destinations, ' ')) FROM message)
    SELECT max(position) FROM message";

/// The columns of [`APPEND`].
struct Columns<'m> {
    ids: Vec<Uuid>,
    payloads: Vec<&'m str>,
    keys: Vec<&'m str>,
    headers: Vec<Value>,
    bodies: Vec<&'m [u8]>,
    destinations: Vec<String>,
}

impl<'m> Columns<'m> {
    fn of(messages: &'m [(Message, Vec<Destination>)]) -> Self {
        Self {
            ids: messages.iter().map(|(m, _)| m.id).collect(),
            payloads: messages.iter().map(|(m, _)| m.payload.as_str()).collect(),
            keys: messages.iter().map(|(m, _)| m.routing_key.as_str()).collect(),
            headers: messages.iter().map(|(m, _)| headers_to_json(&m.headers)).collect(),
            bodies: messages.iter().map(|(m, _)| m.body.as_ref()).collect(),
            destinations: messages.iter().map(|(_, to)| join(to)).collect(),
        }
    }

    /// The parameters of [`APPEND`].
    fn params(&self) -> [&(dyn ToSql + Sync); 6] {
        [&self.ids, &self.payloads, &self.keys, &self.headers, &self.bodies, &self.destinations]
    }
}

/// Puts messages into the spool as part of a transaction: they are handed on when it commits, and the decision to do so
/// is written with them. Returns the place of the last. How full the spool is is the caller's business.
///
/// # Errors
/// [`crate::Error`].
pub async fn append_in_tx(tx: &Tx<'_>, messages: &[(Message, Vec<Destination>)]) -> Result<i64> {
    if messages.is_empty() {
        return Ok(0);
    }
    let columns = Columns::of(messages);
    Ok(tx.query_one(APPEND, &columns.params()).await?.try_get::<_, Option<i64>>(0)?.unwrap_or(0))
}

impl Store {
    /// How many messages up to this place wait for any of the destinations: 0 when all have arrived.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn spooled_until(&self, destinations: &[Destination], place: i64) -> Result<u64> {
        let names: Vec<&str> = destinations.iter().copied().map(Destination::name).collect();
        let sql = "SELECT count(*) FROM spool_destination WHERE destination = ANY ($1) AND position <= $2";
        let row = self.client().await?.query_one(sql, &[&names, &place]).await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
    }
}

fn join(destinations: &[Destination]) -> String {
    let words: Vec<&str> = destinations.iter().copied().map(Destination::name).collect();
    words.join(" ")
}

/// Pairs, because a header may occur more than once and their order is kept.
fn headers_to_json(headers: &[(String, String)]) -> Value {
    headers.iter().map(|(name, value)| Value::from(vec![name.as_str(), value.as_str()])).collect()
}

fn read(row: &Row) -> Result<Spooled> {
    let stored = |what, source| Error::Stored { what, source };
    let payload: &str = row.try_get("payload")?;
    let payload = PayloadName::parse(payload)
        .ok_or_else(|| stored("payload name", format!("{payload:?} is none").into()))?;
    let headers = serde_json::from_value(row.try_get("headers")?).map_err(|e| stored("headers", e.into()))?;
    Ok(Spooled {
        position: row.try_get("position")?,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        message: Message {
            id: row.try_get("event_id")?,
            payload,
            routing_key: row.try_get("routing_key")?,
            headers,
            body: Bytes::from(row.try_get::<_, Vec<u8>>("body")?),
        },
    })
}

fn database(error: Error) -> SpoolError {
    SpoolError::Database(Box::new(error))
}

#[async_trait]
impl Spool for SpoolTable {
    async fn append(&self, messages: &[(Message, Vec<Destination>)]) -> Result<(), SpoolError> {
        if messages.is_empty() {
            return Ok(());
        }
        let more = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        self.check_room(more).await?;
        self.insert(messages).await.map_err(database)?;
        self.adjust(|count| count.saturating_add(more));
        Ok(())
    }

    async fn claim(
        &self,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Spooled>, SpoolError> {
        self.take(destination, limit, lease).await.map_err(database)
    }

    async fn done(&self, destination: Destination, positions: &[i64]) -> Result<(), SpoolError> {
        if positions.is_empty() {
            return Ok(());
        }
        let gone = self.remove(destination, positions).await.map_err(database)?;
        self.adjust(|count| count.saturating_sub(gone));
        Ok(())
    }

    async fn postpone(
        &self,
        destination: Destination,
        positions: &[(i64, Duration)],
    ) -> Result<(), SpoolError> {
        if positions.is_empty() {
            return Ok(());
        }
        self.delay(destination, positions).await.map_err(database)
    }

    async fn release_leases(&self) -> Result<u64, SpoolError> {
        self.release().await.map_err(database)
    }

    async fn backlog(&self, destination: Destination) -> Result<(u64, Option<Duration>), SpoolError> {
        self.measure(destination).await.map_err(database)
    }
}
