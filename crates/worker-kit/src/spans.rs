//! The spans of a batch: `process` for each event, a part of the trace of the delivery that brought it, and
//! `transaction` for each try to apply some of them.
//!
//! One transaction serves events of many traces. Where they are of one, it is a part of that; else it begins a trace of
//! its own that is linked with the spans of its events, and they with it, as OpenTelemetry has it for batches. Notices
//! go on from the event that they tell of.

use std::collections::BTreeMap;
use std::time::Instant;

use matchpurse_bus::{Delivery, Disposition};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_service_kit::trace::{Kind, Span, SpanContext, Tracer};

/// The spans of a batch while it is worked on; empty where no traces are sent.
pub(crate) struct BatchSpans<'t> {
    tracer: &'t Tracer,
    queue: Queue,
    /// Of each delivery, by its place.
    processes: Vec<Process>,
}

struct Process {
    span: Span,
    /// What its notices go on from: the span, or what came with the event when that is not sent.
    context: Option<SpanContext>,
    tries: u32,
}

impl<'t> BatchSpans<'t> {
    pub(crate) fn begin(tracer: &'t Tracer, queue: Queue, batch: &[Delivery]) -> Self {
        let began = Instant::now();
        let process = |delivery: &Delivery| {
            let sent = delivery.traceparent.as_deref().and_then(SpanContext::parse);
            let child = |context| tracer.child(context, "process", Kind::Consumer, began);
            let span = sent.map_or_else(Span::none, child);
            let context = span.context().or(sent.map(SpanContext::unsampled));
            Process { span, context, tries: 0 }
        };
        let processes = if tracer.is_on() { batch.iter().map(process).collect() } else { Vec::new() };
        Self { tracer, queue, processes }
    }

    /// Begins the span of a transaction of the events at these places.
    pub(crate) fn transaction(&mut self, places: &[usize]) -> Span {
        if self.processes.is_empty() {
            return Span::none();
        }
        let mut of_events: Vec<SpanContext> = Vec::new();
        for place in places {
            if let Some(process) = self.processes.get_mut(*place) {
                process.tries = process.tries.saturating_add(1);
                of_events.extend(process.span.context());
            }
        }
        let began = Instant::now();
        let mut span = match of_events.as_slice() {
            [] => return Span::none(),
            [only] => self.tracer.child(*only, "transaction", Kind::Internal, began),
            _ => self.tracer.apart("transaction", Kind::Internal, began),
        };
        if let (Some(context), [_, _, ..]) = (span.context(), of_events.as_slice()) {
            of_events.iter().for_each(|event| span.link(*event));
            for place in places {
                if let Some(process) = self.processes.get_mut(*place) {
                    process.span.link(context);
                }
            }
        }
        span.set("matchpurse.worker", self.queue.worker());
        span.set("messaging.batch.message_count", places.len());
        span.set("db.system.name", "postgresql");
        span
    }

    /// What the notices of these events go on from; empty where no traces are sent.
    pub(crate) fn contexts(&self, places: &[usize], events: &[Event]) -> BTreeMap<EventId, String> {
        if self.processes.is_empty() {
            return BTreeMap::new();
        }
        let context = |place: &usize| self.processes.get(*place)?.context;
        let each = places.iter().zip(events);
        each.filter_map(|(place, event)| Some((event.id, context(place)?.to_string()))).collect()
    }

    /// Ends the spans of the events with what became of each.
    pub(crate) fn end(self, batch: &[Delivery], dispositions: &[Disposition]) {
        let count = self.processes.len();
        for ((process, delivery), disposition) in self.processes.into_iter().zip(batch).zip(dispositions) {
            let Process { mut span, tries, .. } = process;
            if !span.is_recording() {
                continue;
            }
            span.set("messaging.operation.name", "process");
            span.set("messaging.operation.type", "process");
            span.set("messaging.destination.name", self.queue.name());
            span.set("messaging.batch.message_count", count);
            if let Some(id) = delivery.id {
                span.set("messaging.message.id", id.to_string());
            }
            span.set("matchpurse.worker", self.queue.worker());
            span.set("matchpurse.redelivered", delivery.redelivered);
            span.set("matchpurse.replayed", delivery.replay.is_some());
            span.set("matchpurse.attempts", tries);
            let (outcome, failed) = match disposition {
                Disposition::Ack => ("applied", false),
                Disposition::Retry(_) => ("retried", true),
                Disposition::Park(_) => ("parked", true),
            };
            span.set("matchpurse.outcome", outcome);
            if failed {
                span.fail(outcome);
            }
            span.end();
        }
    }
}

/// Ends the span of a transaction.
pub(crate) fn ended(mut span: Span, failure: Option<&'static str>) {
    span.set("matchpurse.outcome", if failure.is_none() { "committed" } else { "failed" });
    if let Some(why) = failure {
        span.fail(why);
    }
    span.end();
}
