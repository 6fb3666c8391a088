//! What contradicts itself or another event. Money stands still until a person decides.

use std::borrow::Cow;
use std::collections::BTreeMap;

use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::outbox::Notice;
use crate::words::{bounded_key, storable};
use crate::{Result, Tx};

mod operate;

pub use operate::{
    AnomalyFilter, AnomalyLine, AnomalyPage, AnomalyPlace, Decided, find, list, lock_in_tx, page,
    resolve_in_tx,
};

/// The longest subject that is kept, in characters; ids are shorter.
const SUBJECT_CHARS_MAX: usize = 255;

/// An anomaly to open.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAnomaly {
    /// What it means, permanently unique: the kind, the source, the subject and what tells it from another of
    /// the kind. The same event again must make the same key. A long one is stored as its digest.
    pub key: String,
    /// Its kind: `terminal_conflict`, `stake_changed`, `stats_corrected`, …
    pub kind: &'static str,
    /// The source.
    pub source: SourceName,
    /// The match, contest, offer or player that it is about.
    pub subject: String,
    /// The event that showed it, if one did.
    pub event_id: Option<EventId>,
    /// What an operator needs to decide, a JSON object.
    pub detail: Value,
}

impl NewAnomaly {
    /// What the studio is told of it: a person must look. `events` are those of the batch, for the time.
    pub fn notice(&self, events: &[Event]) -> Notice {
        let event = events.iter().find(|event| Some(event.id) == self.event_id);
        self.notice_of(event.map(|event| event.received_at).unwrap_or_default())
    }

    /// The same for what showed at a time that is known.
    pub fn notice_of(&self, occurred_at: Timestamp) -> Notice {
        Notice {
            source: self.source.clone(),
            kind: "anomaly.opened",
            subject: self.subject.clone(),
            discriminator: self.key.clone(),
            payload: json!({ "kind": self.kind, "subject": self.subject, "detail": self.detail }),
            occurred_at,
            cause: self.event_id,
        }
    }
}

/// Opens anomalies and returns those that are new; one that was opened before, even if it is resolved by now,
/// stays as it is. Keys and subjects hold what providers wrote, so they are bounded here: no id, however long,
/// may keep an event from being applied.
///
/// # Errors
/// [`crate::Error`].
pub async fn open_in_tx<'a>(tx: &Tx<'_>, anomalies: &'a [NewAnomaly]) -> Result<Vec<&'a NewAnomaly>> {
    if anomalies.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_key: BTreeMap<Cow<'_, str>, &NewAnomaly> = BTreeMap::new();
    for anomaly in anomalies {
        by_key.entry(bounded_key(&anomaly.key)).or_insert(anomaly);
    }
    let keys: Vec<&str> = by_key.keys().map(|key| &**key).collect();
    let kinds: Vec<&str> = by_key.values().map(|a| a.kind).collect();
    let sources: Vec<&str> = by_key.values().map(|a| a.source.as_str()).collect();
    let subjects: Vec<Cow<'_, str>> =
        by_key.values().map(|a| storable(&a.subject, SUBJECT_CHARS_MAX)).collect();
    let events: Vec<Option<Uuid>> = by_key.values().map(|a| a.event_id.map(EventId::uuid)).collect();
    let details: Vec<&Value> = by_key.values().map(|a| &a.detail).collect();
    // The order of bytes, as the `BTreeMap` has it and whatever the database's collation is.
    let sql = "INSERT INTO anomaly (key, kind, source, subject, event_id, detail)
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::jsonb[])
                 AS opened (key) ORDER BY key COLLATE \"C\"
               ON CONFLICT (key) DO NOTHING
               RETURNING key";
    let rows = tx.query(sql, &[&keys, &kinds, &sources, &subjects, &events, &details]).await?;
    let mut opened = Vec::with_capacity(rows.len());
    for row in &rows {
        opened.extend(by_key.get(row.try_get::<_, &str>(0)?).copied());
    }
    Ok(opened)
}
