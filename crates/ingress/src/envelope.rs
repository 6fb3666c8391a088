//! From what an adapter says to messages that can be published.

use bytes::Bytes;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, Payload, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{NewEvent, NormalizeError, Normalized, Verified};
use matchpurse_service_kit::trace::SpanContext;

use crate::sources::Source;
use crate::traceparent;

/// A verified delivery with what its events have in common.
pub(crate) struct Envelope<'d> {
    source: &'d Source,
    verified: &'d Verified,
    received_at: Timestamp,
    /// The id of the first event, and of the delivery.
    pub(crate) delivery_id: EventId,
    traceparent: String,
    /// The trace context is the sender's.
    sent: bool,
}

impl<'d> Envelope<'d> {
    /// `traceparent` is the sender's, if it is valid.
    pub(crate) fn new(
        source: &'d Source,
        verified: &'d Verified,
        received_at: Timestamp,
        traceparent: Option<String>,
    ) -> Self {
        let delivery_id = event_id(source, verified, 0);
        let sent = traceparent.is_some();
        let traceparent = traceparent.unwrap_or_else(|| traceparent::of_delivery(delivery_id));
        Self { source, verified, received_at, delivery_id, traceparent, sent }
    }

    /// The sender's place in its trace, if it told one.
    pub(crate) fn sent_context(&self) -> Option<SpanContext> {
        if self.sent { SpanContext::parse(&self.traceparent) } else { None }
    }

    /// The events are made by this span.
    pub(crate) fn in_trace(&mut self, context: SpanContext) {
        self.traceparent = context.to_string();
    }

    /// Nobody sends spans of this trace: whoever is behind us need not either.
    pub(crate) fn not_traced(&mut self) {
        if let Some(context) = SpanContext::parse(&self.traceparent) {
            self.traceparent = context.unsampled().to_string();
        }
    }

    pub(crate) fn source_name(&self) -> &str {
        self.source.name.as_str()
    }

    pub(crate) fn method(&self) -> &'static str {
        self.verified.method().as_str()
    }

    /// The messages of a delivery that was understood, as far as it was.
    pub(crate) fn seal(&self, normalized: Normalized) -> Vec<Message> {
        let Normalized { provider_type, events, amount_rounded, question: _ } = normalized;
        if events.is_empty() {
            // No adapter does so; were one to, a success without an event would lose the delivery.
            let unrecognized = Unrecognized {
                kind: UnrecognizedKind::UnknownType,
                reason: "the adapter made no event of it".to_owned(),
            };
            return vec![self.message(0, &provider_type, bare(unrecognized), amount_rounded)];
        }
        (0..)
            .zip(events)
            .map(|(index, event)| self.message(index, &provider_type, event, amount_rounded))
            .collect()
    }

    /// The message of a delivery that could not be read: one event that says so, with the body.
    pub(crate) fn seal_malformed(&self, error: &NormalizeError) -> Vec<Message> {
        let unrecognized = Unrecognized { kind: NormalizeError::KIND, reason: error.to_string() };
        vec![self.message(0, "", bare(unrecognized), false)]
    }

    fn message(&self, index: u32, provider_type: &str, event: NewEvent, amount_rounded: bool) -> Message {
        let NewEvent { subject, occurred_at, payload } = event;
        let first = index == 0;
        let event = Event {
            id: if first { self.delivery_id } else { event_id(self.source, self.verified, index) },
            delivery_id: self.delivery_id,
            source: self.source.name.clone(),
            provider: self.source.adapter.id().to_owned(),
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
            raw: if first { self.source.adapter.redact(self.verified.body()) } else { Bytes::new() },
            payload,
        };
        Message::new(event, Some(&self.traceparent))
    }
}

/// An event about nothing that we know of.
fn bare(unrecognized: Unrecognized) -> NewEvent {
    NewEvent { subject: String::new(), occurred_at: None, payload: Payload::Unrecognized(unrecognized) }
}

fn event_id(source: &Source, verified: &Verified, index: u32) -> EventId {
    EventId::of_delivery(&source.name, verified.method().as_str(), verified.body(), index)
}
