use bytes::Bytes;
use matchpurse_domain::event::{Event, Payload, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{NewEvent, NormalizeError, Normalized, Provider, Verified};

/// Something that a provider has said and that somebody vouches for, with what its events have in common.
pub struct Arrival<'d> {
    source: &'d SourceName,
    adapter: &'static dyn Provider,
    verified: &'d Verified,
    received_at: Timestamp,
    delivery_id: EventId,
}

impl<'d> Arrival<'d> {
    /// It reached us by this source at that time.
    pub fn new(
        source: &'d SourceName,
        adapter: &'static dyn Provider,
        verified: &'d Verified,
        received_at: Timestamp,
    ) -> Self {
        let delivery_id = event_id(source, verified, 0);
        Self { source, adapter, verified, received_at, delivery_id }
    }

    /// The id of the first event, and of the delivery: the same whenever the same bytes come by the same source.
    pub const fn delivery_id(&self) -> EventId {
        self.delivery_id
    }

    /// The source that it came by.
    pub const fn source(&self) -> &'d SourceName {
        self.source
    }

    /// The method of the request that brought it, or would have.
    pub const fn method(&self) -> &'static str {
        self.verified.method().as_str()
    }

    /// The events of what was understood, as far as it was.
    pub fn events(&self, normalized: Normalized) -> Vec<Event> {
        let Normalized { provider_type, events, amount_rounded, question: _ } = normalized;
        if events.is_empty() {
            // No adapter does so; were one to, a success without an event would lose the delivery.
            let unrecognized = Unrecognized {
                kind: UnrecognizedKind::UnknownType,
                reason: "the adapter made no event of it".to_owned(),
            };
            return vec![self.event(0, &provider_type, bare(unrecognized), amount_rounded)];
        }
        (0..)
            .zip(events)
            .map(|(index, event)| self.event(index, &provider_type, event, amount_rounded))
            .collect()
    }

    /// The event of what could not be read: it says so, with the body.
    pub fn malformed(&self, error: &NormalizeError) -> Event {
        let unrecognized = Unrecognized { kind: NormalizeError::KIND, reason: error.to_string() };
        self.event(0, "", bare(unrecognized), false)
    }

    fn event(&self, index: u32, provider_type: &str, event: NewEvent, amount_rounded: bool) -> Event {
        let NewEvent { subject, occurred_at, payload } = event;
        let first = index == 0;
        Event {
            id: if first { self.delivery_id } else { event_id(self.source, self.verified, index) },
            delivery_id: self.delivery_id,
            source: self.source.clone(),
            provider: self.adapter.id().to_owned(),
            provider_type: provider_type.to_owned(),
            subject,
            occurred_at,
            received_at: self.received_at,
            provenance: Provenance {
                body_authenticated: self.verified.body_authenticated(),
                amount_rounded,
                vouched: Some(self.verified.vouched()),
            },
            // The body travels once, and only without what is secret in it.
            raw: if first { self.adapter.redact(self.verified.body()) } else { Bytes::new() },
            payload,
        }
    }
}

/// An event about nothing that we know of.
fn bare(unrecognized: Unrecognized) -> NewEvent {
    NewEvent { subject: String::new(), occurred_at: None, payload: Payload::Unrecognized(unrecognized) }
}

fn event_id(source: &SourceName, verified: &Verified, index: u32) -> EventId {
    EventId::of_delivery(source, verified.method().as_str(), verified.body(), index)
}
