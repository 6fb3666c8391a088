//! From what an adapter says to messages that can be published.

use matchpurse_contracts::wire::Message;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{NormalizeError, Normalized, Verified};
use matchpurse_reading::Arrival;
use matchpurse_service_kit::trace::SpanContext;

use crate::sources::Source;
use crate::traceparent;

/// A verified delivery with its place in a trace.
pub(crate) struct Envelope<'d> {
    arrival: Arrival<'d>,
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
        let arrival = Arrival::new(&source.name, source.adapter, verified, received_at);
        let delivery_id = arrival.delivery_id();
        let sent = traceparent.is_some();
        let traceparent = traceparent.unwrap_or_else(|| traceparent::of_delivery(delivery_id));
        Self { arrival, delivery_id, traceparent, sent }
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
        self.arrival.source().as_str()
    }

    pub(crate) fn method(&self) -> &'static str {
        self.arrival.method()
    }

    /// The messages of a delivery that was understood, as far as it was.
    pub(crate) fn seal(&self, normalized: Normalized) -> Vec<Message> {
        let events = self.arrival.events(normalized).into_iter();
        events.map(|event| Message::new(event, Some(&self.traceparent))).collect()
    }

    /// The message of a delivery that could not be read: one event that says so, with the body.
    pub(crate) fn seal_malformed(&self, error: &NormalizeError) -> Vec<Message> {
        vec![Message::new(self.arrival.malformed(error), Some(&self.traceparent))]
    }
}
