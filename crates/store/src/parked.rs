//! Deliveries that could not be applied: kept, visible and replayable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use async_trait::async_trait;
use matchpurse_bus::{FailureLog, FailureLogError, ParkedDelivery};
use matchpurse_contracts::topology::{Queue, routing_key};
use matchpurse_contracts::wire::{self, Message};
use matchpurse_domain::event::{Event, Payload};
use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use postgres_types::ToSql;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

mod list;
mod resolve;

pub use list::{ParkedFilter, ParkedPage, ParkedPlace};
pub use resolve::{Resolution, lock_in_tx, resolve_in_tx};

use crate::time::At;
use crate::words::storable;
use crate::{Error, Result, Store, Tx};

/// Why a delivery is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedKind {
    /// A worker could not apply it.
    Technical,
    /// It is verified, but not something that we can read.
    Unrecognized,
    /// The broker gave it up.
    DeadLetter,
}

impl ParkedKind {
    const ALL: [Self; 3] = [Self::Technical, Self::Unrecognized, Self::DeadLetter];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Technical => "technical",
            Self::Unrecognized => "unrecognized",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A parked delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its number, ascending with the time of parking.
    pub id: i64,
    /// The event; derived from the body when a stranger sent none.
    pub event_id: Uuid,
    /// The queue on which it was given up.
    pub queue: String,
    /// Why, in one word.
    pub kind: ParkedKind,
    /// Why, in words.
    pub reason: String,
    /// The message's body: protobuf bytes, if they are what they should be.
    pub body: Vec<u8>,
    /// The routing key that it was published with first.
    pub routing_key: String,
    /// W3C trace context of the request that brought it.
    pub traceparent: Option<String>,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// The event's source, where it is one.
    pub source: Option<String>,
    /// The provider's own name for what happened, where it is an event.
    pub event_type: Option<String>,
    /// What it is about, where it is an event.
    pub subject: Option<String>,
    /// What somebody did about it.
    pub resolved: Option<Resolved>,
}

/// What was done about a parked delivery; it stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// When.
    pub at: Timestamp,
    /// What: `replayed` or `discarded`.
    pub resolution: String,
    /// Who did it.
    pub by: String,
    /// Why; empty where nobody said.
    pub reason: String,
    /// The events that a replay has made of what nobody could read.
    pub became: Vec<Uuid>,
}

/// The longest reason that is kept, in characters. Errors may quote what they are about.
const REASON_CHARS_MAX: usize = 4_000;
/// The longest of the other texts, in characters: AMQP's own bound of a name.
const NAME_CHARS_MAX: usize = 255;

/// A row to insert.
struct Entry<'e> {
    event_id: Uuid,
    queue: &'e str,
    kind: ParkedKind,
    reason: &'e str,
    body: &'e [u8],
    routing_key: &'e str,
    traceparent: Option<&'e str>,
    about: About,
}

/// What a body says, for who looks for it; nothing where it is no event.
#[derive(Default)]
struct About {
    source: Option<String>,
    event_type: Option<String>,
    subject: Option<String>,
}

impl About {
    fn of(event: &Event) -> Self {
        Self {
            source: Some(event.source.as_str().to_owned()),
            event_type: Some(event.provider_type.clone()),
            subject: Some(event.subject.clone()),
        }
    }
}

/// What is replayed after it was parked begins to count anew, so the attempts go.
const INSERT: &str = "WITH cleared AS (
      DELETE FROM attempts AS a USING unnest($1::uuid[], $8::text[]) AS given (event_id, worker)
       WHERE a.worker = given.worker AND a.event_id = given.event_id)
    INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, traceparent, source, event_type, subject)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[],
                         $9::text[], $10::text[], $11::text[])
      AS given (event_id, queue) ORDER BY queue COLLATE \"C\", event_id
    ON CONFLICT (queue, event_id) WHERE resolved_at IS NULL DO NOTHING";

/// The columns of [`INSERT`], each of a row's key once, in the order of keys.
///
/// A stranger's message is parked too, so every text is made fit to be stored: whatever stood in it, it must
/// not stop the parking, for what cannot be parked is handed out again and keeps the others behind it.
#[derive(Default)]
struct Columns<'e> {
    ids: Vec<Uuid>,
    queues: Vec<Cow<'e, str>>,
    kinds: Vec<&'e str>,
    reasons: Vec<Cow<'e, str>>,
    bodies: Vec<&'e [u8]>,
    keys: Vec<Cow<'e, str>>,
    traceparents: Vec<Option<Cow<'e, str>>>,
    sources: Vec<Option<String>>,
    types: Vec<Option<String>>,
    subjects: Vec<Option<String>>,
    /// The queues' workers; none for the queue of dead letters.
    workers: Vec<Option<&'static str>>,
}

impl<'e> Columns<'e> {
    fn of(entries: impl Iterator<Item = Entry<'e>>) -> Self {
        let mut by_key = BTreeMap::new();
        for entry in entries {
            by_key.entry((entry.queue, entry.event_id)).or_insert(entry);
        }
        let mut columns = Self::default();
        for entry in by_key.into_values() {
            columns.ids.push(entry.event_id);
            columns.queues.push(storable(entry.queue, NAME_CHARS_MAX));
            columns.kinds.push(entry.kind.as_str());
            columns.reasons.push(storable(entry.reason, REASON_CHARS_MAX));
            columns.bodies.push(entry.body);
            columns.keys.push(storable(entry.routing_key, NAME_CHARS_MAX));
            columns.traceparents.push(entry.traceparent.map(|text| storable(text, NAME_CHARS_MAX)));
            let short = |text: Option<String>| text.map(|text| storable(&text, NAME_CHARS_MAX).into_owned());
            columns.sources.push(short(entry.about.source));
            columns.types.push(short(entry.about.event_type));
            columns.subjects.push(short(entry.about.subject));
            columns.workers.push(Queue::by_name(entry.queue).map(Queue::worker));
        }
        columns
    }

    /// The parameters of [`INSERT`].
    fn params(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.ids,
            &self.queues,
            &self.kinds,
            &self.reasons,
            &self.bodies,
            &self.keys,
            &self.traceparents,
            &self.workers,
            &self.sources,
            &self.types,
            &self.subjects,
        ]
    }
}

/// Parks the events that nobody can read, among `events`; one that is parked already stays as it is.
///
/// # Errors
/// [`crate::Error`].
pub async fn park_unrecognized_in_tx(tx: &Tx<'_>, queue: Queue, events: &[Event]) -> Result<()> {
    let unread = events.iter().filter_map(|event| match &event.payload {
        Payload::Unrecognized(why) => Some((event, why)),
        _ => None,
    });
    let parked: Vec<_> = unread
        .map(|(event, why)| {
            let (provider, source) = (&event.provider, event.source.as_str());
            let key = routing_key(event.payload.name(), provider, source, &event.subject);
            let reason = format!("{}: {}", why.kind.as_str(), why.reason);
            (event, reason, Message::new(event.clone(), None).body, key)
        })
        .collect();
    if parked.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(parked.iter().map(|(event, reason, body, key)| Entry {
        event_id: event.id.uuid(),
        queue: queue.name(),
        kind: ParkedKind::Unrecognized,
        reason,
        body,
        routing_key: key,
        traceparent: None,
        about: About::of(event),
    }));
    tx.execute(INSERT, &columns.params()).await?;
    Ok(())
}

fn entry<'e>(parked: &'e ParkedDelivery<'e>) -> Entry<'e> {
    let delivery = parked.delivery;
    let from_body =
        || derived_uuid("parked", &[&format!("{:x?}", Sha256::digest(&delivery.body).as_slice())]);
    Entry {
        event_id: delivery.id.unwrap_or_else(from_body),
        queue: parked.queue,
        kind: if parked.by_broker { ParkedKind::DeadLetter } else { ParkedKind::Technical },
        reason: parked.reason,
        body: &delivery.body,
        routing_key: &delivery.routing_key,
        traceparent: delivery.traceparent.as_deref(),
        about: wire::decode(&delivery.body).as_ref().map(About::of).unwrap_or_default(),
    }
}

#[async_trait]
impl FailureLog for Store {
    async fn park(&self, parked: &[ParkedDelivery<'_>]) -> Result<(), FailureLogError> {
        if parked.is_empty() {
            return Ok(());
        }
        let columns = Columns::of(parked.iter().map(entry));
        let written = async { self.client().await?.execute(INSERT, &columns.params()).await };
        written.await.map(|_| ()).map_err(|error| FailureLogError(Box::new(error)))
    }
}

const COLUMNS: &str = "id, event_id, queue, kind, reason, body, routing_key, traceparent, parked_at, \
                       source, event_type, subject, resolved_at, resolution, resolved_by, resolution_reason, \
                       became";

fn read(row: &Row) -> Result<Parked> {
    let kind: &str = row.try_get("kind")?;
    let kind = ParkedKind::parse(kind).ok_or_else(|| Error::Stored {
        what: "kind of a parked event",
        source: format!("{kind:?}").into(),
    })?;
    let resolved = row.try_get::<_, Option<At>>("resolved_at")?.map(|at| resolved(row, at.0)).transpose()?;
    Ok(Parked {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        queue: row.try_get("queue")?,
        kind,
        reason: row.try_get("reason")?,
        body: row.try_get("body")?,
        routing_key: row.try_get("routing_key")?,
        traceparent: row.try_get("traceparent")?,
        parked_at: row.try_get::<_, At>("parked_at")?.0,
        source: row.try_get("source")?,
        event_type: row.try_get("event_type")?,
        subject: row.try_get("subject")?,
        resolved,
    })
}

fn resolved(row: &Row, at: Timestamp) -> Result<Resolved> {
    Ok(Resolved {
        at,
        resolution: row.try_get::<_, Option<String>>("resolution")?.unwrap_or_default(),
        by: row.try_get::<_, Option<String>>("resolved_by")?.unwrap_or_default(),
        reason: row.try_get::<_, Option<String>>("resolution_reason")?.unwrap_or_default(),
        became: row.try_get::<_, Option<Vec<Uuid>>>("became")?.unwrap_or_default(),
    })
}

impl Store {
    /// The open parked deliveries after the one with this number (0: from the first), at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked(&self, after: i64, limit: u32) -> Result<Vec<Parked>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parked WHERE resolved_at IS NULL AND id > $1 ORDER BY id LIMIT $2"
        );
        let rows = self.client().await?.query(&sql, &[&after, &i64::from(limit)]).await?;
        rows.iter().map(read).collect()
    }

    /// One parked delivery, resolved or not.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_by_id(&self, id: i64) -> Result<Option<Parked>> {
        let sql = format!("SELECT {COLUMNS} FROM parked WHERE id = $1");
        self.client().await?.query_opt(&sql, &[&id]).await?.as_ref().map(read).transpose()
    }

    /// How many parked deliveries are open.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_open(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM parked WHERE resolved_at IS NULL";
        let count: i64 = self.client().await?.query_one(sql, &[]).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
