//! How deliveries flow: what came in the last minutes, what of it each worker has applied, and what waits.
//!
//! Each question looks at a bounded number of rows, so that whoever looks on costs the same however much there is.

use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::client::Params;
use crate::time::At;
use crate::{Client, Result};

/// The events of a worker at which it is looked for what it has not applied.
const RECENT: i64 = 500;
/// The latest events, among which those are looked for: of a worker that little comes for there are fewer.
const LOOKED_AT: i64 = 5_000;
/// Events are counted no further.
const COUNTED_MAX: i64 = 200_000;
/// What came longer ago is not asked for: inboxes forget.
const RECENT_DAYS: i32 = 1;

/// Of each worker that wants any of the latest events, by its place: how many of those it has not applied nor parked, since
/// when, how many were looked at, and how long half of them took.
const LAGS: &str = "
  WITH latest AS MATERIALIZED (
         SELECT event_id, payload, received_at FROM archive
          WHERE day >= (now() AT TIME ZONE 'UTC')::date - $5::int AND received_at > now() - interval '1 day'
          ORDER BY received_at DESC, event_id LIMIT $6),
       wanted AS (
         SELECT w.place, ($1::text[])[w.place + 1] AS worker, ($2::text[])[w.place + 1] AS queue, l.event_id, l.received_at,
                row_number() OVER (PARTITION BY w.place ORDER BY l.received_at DESC, l.event_id) AS nth
           FROM latest l JOIN unnest($3::int[], $4::text[]) AS w (place, payload) USING (payload)),
       fates AS (
         SELECT w.place, w.received_at,
                i.event_id IS NULL AND NOT EXISTS (
                  SELECT FROM parked p WHERE p.event_id = w.event_id AND p.queue = w.queue) AS waits,
                greatest(0, extract(epoch FROM i.seen_at - w.received_at) * 1000000) AS took
           FROM wanted w LEFT JOIN inbox i ON i.worker = w.worker AND i.event_id = w.event_id
          WHERE w.nth <= $7)
  SELECT place, count(*) FILTER (WHERE waits), min(received_at) FILTER (WHERE waits), count(*),
         (percentile_disc(0.5) WITHIN GROUP (ORDER BY took))::bigint
    FROM fates GROUP BY place";

/// Events by when they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// How many, by the slot, from 0 for the latest one.
    pub slots: Vec<u64>,
    /// True when there are more than were counted: the earliest slots have fewer than there were.
    pub cut_off: bool,
}

/// How far a worker is with the latest events that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Whose.
    pub queue: Queue,
    /// How many of the latest events it has not applied yet, and has not parked.
    pub waiting: u64,
    /// When the oldest of those came.
    pub oldest: Option<Timestamp>,
    /// From an event's arrival to the transaction that applied it, of half of the latest ones, in microseconds.
    pub typical_us: Option<i64>,
    /// True when all that was looked at waits: there may be more.
    pub more: bool,
}

/// What waits in the database, beside queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Messages in the spool, counted no further than to 10,000.
    pub spooled: u64,
    /// When the first of them was put there.
    pub spooled_since: Option<Timestamp>,
    /// Parked deliveries that nobody has decided about, counted no further than to 10,000.
    pub parked: u64,
    /// Anomalies that nobody has decided about, counted no further than to 10,000.
    pub anomalies: u64,
}

/// What became of an event so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every worker that wants it has applied it, or none does.
    Applied,
    /// It is on its way to one, or is being tried again.
    UnderWay,
    /// It could not be applied and waits for a person.
    Parked,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Applied, Self::UnderWay, Self::Parked];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::UnderWay => "under way",
            Self::Parked => "parked",
        }
    }
}

/// How many events came in each of the last `slots` times of `seconds`.
///
/// # Errors
/// [`crate::Error`].
pub async fn arrivals(client: &Client, now: Timestamp, seconds: i64, slots: usize) -> Result<Arrivals> {
    let seconds = seconds.max(1);
    let count = i64::try_from(slots).unwrap_or(i64::MAX);
    let since = now.plus_seconds(seconds.saturating_mul(count).saturating_neg());
    let sql = "SELECT slot, count(*) FROM (
                 SELECT floor(extract(epoch FROM $1 - received_at) / $2::bigint)::bigint AS slot
                   FROM archive
                  WHERE received_at > $3 AND received_at <= $1
                    AND day >= (($3::timestamptz) AT TIME ZONE 'UTC')::date
                  ORDER BY received_at DESC, event_id LIMIT $4) AS latest
                GROUP BY slot";
    let rows = client.query(sql, &[&At(now), &seconds, &At(since), &COUNTED_MAX]).await?;
    let mut arrivals = Arrivals { slots: vec![0; slots], cut_off: false };
    let mut sum = 0_i64;
    for row in &rows {
        let (slot, events): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        sum = sum.saturating_add(events);
        if let Some(place) = usize::try_from(slot).ok().and_then(|slot| arrivals.slots.get_mut(slot)) {
            *place = u64::try_from(events).unwrap_or(0);
        }
    }
    arrivals.cut_off = sum >= COUNTED_MAX;
    Ok(arrivals)
}

/// How far each worker is.
///
/// # Errors
/// [`crate::Error`].
pub async fn lags(client: &Client) -> Result<Vec<Lag>> {
    let (mut places, mut payloads): (Vec<i32>, Vec<&str>) = (Vec::new(), Vec::new());
    for (place, queue) in (0..).zip(Queue::ALL) {
        for payload in queue.payloads() {
            places.push(place);
            payloads.push(payload.as_str());
        }
    }
    let workers = Queue::ALL.map(Queue::worker);
    let queues = Queue::ALL.map(Queue::name);
    let parameters: Params<'_> =
        &[&workers.as_slice(), &queues.as_slice(), &places, &payloads, &RECENT_DAYS, &LOOKED_AT, &RECENT];
    let mut lags: Vec<Lag> = Queue::ALL.into_iter().map(Lag::none).collect();
    for row in &client.query(LAGS, parameters).await? {
        let (place, waiting, looked): (i32, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
        let Some(lag) = usize::try_from(place).ok().and_then(|place| lags.get_mut(place)) else { continue };
        lag.waiting = u64::try_from(waiting).unwrap_or(0);
        lag.oldest = row.try_get::<_, Option<At>>(2)?.map(|at| at.0);
        lag.typical_us = row.try_get(4)?;
        lag.more = looked == RECENT && waiting == looked;
    }
    Ok(lags)
}

impl Lag {
    /// Of a worker that nothing came for.
    const fn none(queue: Queue) -> Self {
        Self { queue, waiting: 0, oldest: None, typical_us: None, more: false }
    }
}

/// What waits in the database.
///
/// # Errors
/// [`crate::Error`].
pub async fn waiting(client: &Client) -> Result<Waiting> {
    let sql = "SELECT
        (SELECT count(*) FROM (SELECT FROM spool LIMIT 10000) AS spooled),
        (SELECT appended_at FROM spool ORDER BY position LIMIT 1),
        (SELECT count(*) FROM (SELECT FROM parked WHERE resolved_at IS NULL LIMIT 10000) AS parked),
        (SELECT count(*) FROM (SELECT FROM anomaly WHERE resolved_at IS NULL LIMIT 10000) AS anomalies)";
    let row = client.query_one(sql, &[]).await?;
    let count =
        |place: usize| -> Result<u64> { Ok(u64::try_from(row.try_get::<_, i64>(place)?).unwrap_or(0)) };
    Ok(Waiting {
        spooled: count(0)?,
        spooled_since: row.try_get::<_, Option<At>>(1)?.map(|at| at.0),
        parked: count(2)?,
        anomalies: count(3)?,
    })
}

/// What became of these events so far, in their order. What was applied longer ago than the inbox remembers has left no
/// trace there; after a day it counts as applied.
///
/// # Errors
/// [`crate::Error`].
pub async fn verdicts(client: &Client, events: &[&Event], now: Timestamp) -> Result<Vec<Verdict>> {
    let mut wanted: Vec<(Uuid, &str, &str)> = Vec::new();
    for event in events {
        for queue in Queue::wanting(event.payload.name()) {
            wanted.push((event.id.uuid(), queue.worker(), queue.name()));
        }
    }
    let ids: Vec<Uuid> = wanted.iter().map(|(id, _, _)| *id).collect();
    let workers: Vec<&str> = wanted.iter().map(|(_, worker, _)| *worker).collect();
    let queues: Vec<&str> = wanted.iter().map(|(_, _, queue)| *queue).collect();
    let sql = "SELECT w.event_id,
                      bool_or(EXISTS (SELECT FROM parked p WHERE p.event_id = w.event_id AND p.resolved_at IS NULL)),
                      bool_and(EXISTS (SELECT FROM inbox i WHERE i.worker = w.worker AND i.event_id = w.event_id)
                               OR EXISTS (SELECT FROM parked p WHERE p.event_id = w.event_id AND p.queue = w.queue))
                 FROM unnest($1::uuid[], $2::text[], $3::text[]) AS w (event_id, worker, queue)
                GROUP BY w.event_id";
    let rows = client.query(sql, &[&ids, &workers, &queues]).await?;
    let mut known: Vec<(EventId, bool, bool)> = Vec::with_capacity(rows.len());
    for row in &rows {
        known.push((EventId::from_uuid(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?));
    }
    known.sort_unstable_by_key(|(id, _, _)| *id);
    let old = now.plus_seconds(-86_400);
    let verdict = |event: &&Event| {
        let found = known.binary_search_by_key(&event.id, |(id, _, _)| *id).ok();
        match found.and_then(|place| known.get(place)) {
            Some((_, true, _)) => Verdict::Parked,
            Some((_, _, false)) if event.received_at > old => Verdict::UnderWay,
            _ => Verdict::Applied,
        }
    };
    Ok(events.iter().map(verdict).collect())
}
