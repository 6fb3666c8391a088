//! Notices to the studio, written in the transaction of the effects that they tell of.

use std::collections::BTreeSet;

use matchpurse_domain::ids::{EventId, SourceName, derived_uuid};
use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::later::own;
use crate::time::At;
use crate::{Result, Tx};

/// The channel on which PostgreSQL tells that there are new notices.
pub const OUTBOX_CHANNEL: &str = "matchpurse_outbox";

/// Something that the studio is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The source that it comes from.
    pub source: SourceName,
    /// What happened: `match.held`, `reward.granted`, `offer.removed`, …
    pub kind: &'static str,
    /// The match, grant, offer or player that it is about.
    pub subject: String,
    /// Tells apart notices of one kind about one subject: the player, the generation, the event time. It must
    /// follow from the event, so that the same event again makes the same notice.
    pub discriminator: String,
    /// What the studio reads, a JSON object. Money in minor units with its currency.
    pub payload: Value,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The event that it is told because of, where it is an event. It goes on with that one's trace.
    pub cause: Option<EventId>,
}

impl Notice {
    /// The same, told because of this event.
    #[must_use]
    pub fn because_of(self, event: EventId) -> Self {
        Self { cause: Some(event), ..self }
    }

    /// The `webhook-id`: the same on every attempt and every repeat.
    pub fn webhook_id(&self) -> Uuid {
        derived_uuid("notice", &[self.source.as_str(), self.kind, &self.subject, &self.discriminator])
    }
}

/// Adds notices in this order; those that are there already stay as they are. Wakes the dispatcher at commit. They are
/// written with what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn append_in_tx(tx: &Tx<'_>, notices: &[Notice]) -> Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    // Of two with one key the first stays.
    let mut seen = BTreeSet::new();
    let mut all: Vec<(Uuid, &Notice)> = notices.iter().map(|notice| (notice.webhook_id(), notice)).collect();
    all.retain(|(id, _)| seen.insert(*id));
    let ids: Vec<Uuid> = all.iter().map(|(id, _)| *id).collect();
    let sources: Vec<String> = all.iter().map(|(_, n)| n.source.as_str().to_owned()).collect();
    let kinds: Vec<&str> = all.iter().map(|(_, n)| n.kind).collect();
    let subjects: Vec<String> = all.iter().map(|(_, n)| n.subject.clone()).collect();
    let payloads: Vec<String> = all.iter().map(|(_, n)| n.payload.to_string()).collect();
    let times: Vec<At> = all.iter().map(|(_, n)| At(n.occurred_at)).collect();
    let trace = |notice: &Notice| notice.cause.and_then(|event| tx.trace_of(event)).map(str::to_owned);
    let traces: Vec<Option<String>> = all.iter().map(|(_, n)| trace(n)).collect();
    // Their positions are in the order in which they are given, because a receiver may want them so; the rows are
    // written in the order of their keys, so that no two writers wait for each other in a circle.
    let sql = "WITH given AS MATERIALIZED (
                 SELECT nextval('outbox_position_seq') AS position, n.*
                   FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
                     WITH ORDINALITY AS n (id, source, kind, subject, payload, occurred_at, traceparent, place)
                  ORDER BY place)
               INSERT INTO outbox (position, webhook_id, source, kind, subject, payload, occurred_at, traceparent)
               OVERRIDING SYSTEM VALUE
               SELECT position, id, source, kind, subject, payload::jsonb, occurred_at, traceparent
                 FROM given ORDER BY id
               ON CONFLICT (webhook_id) DO NOTHING";
    let params =
        vec![own(ids), own(sources), own(kinds), own(subjects), own(payloads), own(times), own(traces)];
    tx.later(sql, params);
    tx.tell(OUTBOX_CHANNEL);
    Ok(())
}
