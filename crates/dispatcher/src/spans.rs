//! The span of a notice: one attempt to send it, a part of the trace of the event that it tells of.

use std::time::Instant;

use matchpurse_service_kit::trace::{Kind, Span, SpanContext, Tracer};
use matchpurse_store::dispatch::{AttemptOutcome, Claimed};

/// Begins the span of an attempt, and says which place in the trace the receiver goes on from: the span, or where none is
/// sent what came with the notice. A notice that tells of no event has neither.
pub(crate) fn notice(tracer: &Tracer, endpoint: &str, claimed: &Claimed) -> (Span, Option<String>) {
    let Some(from) = claimed.traceparent.as_deref().and_then(SpanContext::parse) else {
        return (Span::none(), None);
    };
    let mut span = tracer.child(from, "notice", Kind::Client, Instant::now());
    if span.is_recording() {
        span.set("matchpurse.endpoint", endpoint.to_owned());
        span.set("matchpurse.notice", claimed.kind.clone());
        span.set("matchpurse.webhook_id", claimed.webhook_id.to_string());
        span.set("matchpurse.attempt", claimed.attempts.saturating_add(1));
        span.set("http.request.method", "POST");
    }
    let place = span.context().unwrap_or(from).to_string();
    (span, Some(place))
}

/// Ends it with what came of the attempt.
pub(crate) fn sent(mut span: Span, outcome: AttemptOutcome, status: Option<u16>) {
    if !span.is_recording() {
        return;
    }
    span.set("matchpurse.outcome", outcome.as_str());
    if let Some(status) = status {
        span.set("http.response.status_code", status);
    }
    if !matches!(outcome, AttemptOutcome::Delivered | AttemptOutcome::Confirmed) {
        span.fail(outcome.as_str());
    }
    span.end();
}
