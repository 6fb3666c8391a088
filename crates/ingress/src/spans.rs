//! The spans of a delivery: `delivery`, from the request's head to the answer, and in it `publish`.
//!
//! Only what somebody vouches for has any. Who sends without a signature, a thousand times a second, fills no queue of
//! spans and no collector; the metrics count him.

use std::time::Instant;

use matchpurse_bus::PublishError;
use matchpurse_service_kit::trace::{Kind, Span, Tracer};

use crate::envelope::Envelope;
use crate::metrics;
use crate::refusal::Refusal;

/// Begins the span of a verified delivery; its trace is the sender's, else the event's own. Whether it is sent is
/// decided here: a sender's wish that all of its traces be kept is not ours to pay for.
pub(crate) fn delivery(
    tracer: &Tracer,
    envelope: &mut Envelope<'_>,
    body_bytes: usize,
    began: Instant,
) -> Span {
    if !tracer.is_on() {
        return Span::none();
    }
    let parent = envelope.sent_context();
    let trace = parent.map_or_else(|| envelope.delivery_id.uuid().as_u128(), |sent| sent.trace);
    let mut span = tracer.begin(trace, parent.map(|sent| sent.span), "delivery", Kind::Server, began);
    if span.is_recording() {
        span.set("matchpurse.source", envelope.source_name().to_owned());
        span.set("matchpurse.delivery_id", envelope.delivery_id.to_string());
        span.set("http.route", "/hooks/{source}");
        span.set("http.request.method", envelope.method());
        span.set("http.request.body.size", body_bytes);
    } else {
        envelope.not_traced();
    }
    span
}

/// Begins the part of it that hands the events on; they carry its place with them.
pub(crate) fn publish(tracer: &Tracer, delivery: &Span, envelope: &mut Envelope<'_>) -> Span {
    let Some(context) = delivery.context() else { return Span::none() };
    let span = tracer.child(context, "publish", Kind::Producer, Instant::now());
    if let Some(context) = span.context() {
        envelope.in_trace(context);
    }
    span
}

/// Ends it with what the publisher answered.
pub(crate) fn published(mut span: Span, messages: usize, outcome: &Result<(), PublishError>) {
    if !span.is_recording() {
        return;
    }
    span.set("messaging.operation.name", "publish");
    span.set("messaging.operation.type", "send");
    span.set("messaging.destination.name", matchpurse_contracts::topology::EVENTS_EXCHANGE);
    span.set("messaging.batch.message_count", messages);
    match outcome {
        Ok(()) => span.set("matchpurse.outcome", "confirmed"),
        Err(error) => {
            span.set("matchpurse.outcome", error.name());
            span.fail(error.name());
        }
    }
    span.end();
}

/// Ends the span of a delivery with the answer to it; a failure is what is our fault.
pub(crate) fn answered(mut span: Span, refusal: Option<&Refusal>, status: u16) {
    if !span.is_recording() {
        return;
    }
    let verdict = refusal.map_or(metrics::KEPT, metrics::outcome);
    span.set("matchpurse.verdict", verdict);
    span.set("http.response.status_code", status);
    if status >= 500 {
        span.fail(verdict);
    }
    span.end();
}
