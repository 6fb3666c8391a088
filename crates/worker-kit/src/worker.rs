use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use matchpurse_bus::{Delivery, Disposition, Handler};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_service_kit::trace::{self, Tracer};
use matchpurse_store::{Store, chain};
use tokio_util::sync::CancellationToken;

use crate::apply::{Failure, apply};
use crate::backoff::backoff;
use crate::spans::{self, BatchSpans};
use crate::{Effects, metric};

/// The longest pause before a batch is tried again for which the database was not there: an outage of any
/// length is over for us seconds after it is over.
const DATABASE_RETRY_MAX: Duration = Duration::from_secs(5);

/// How patient a worker is.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// How often an event is tried before it is parked.
    pub attempts_max: u32,
    /// The first pause before an event is tried again.
    pub retry_min: Duration,
    /// The longest pause before an event is tried again.
    pub retry_max: Duration,
    /// How long a batch waits in place for the database to come back. In that time it is not handed back, so
    /// that an outage does not send the whole queue around in circles.
    pub hold_max: Duration,
    /// How long a batch may take with all its parts. Beyond it no further part is begun and the rest is handed
    /// out again: a worker that is silent for longer looks as if it hung. With the longest statement added it
    /// must stay below the time after which a worker counts as stalled.
    pub batch_time_max: Duration,
    /// Ends such a wait.
    pub shutdown: CancellationToken,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            attempts_max: 20,
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(60),
            hold_max: Duration::from_secs(10),
            batch_time_max: Duration::from_secs(20),
            shutdown: CancellationToken::new(),
        }
    }
}

/// A worker: [`Effects`] with everything that every worker does around them.
pub struct Worker<E> {
    store: Store,
    effects: E,
    options: WorkerOptions,
    tracer: Tracer,
    /// Batches in a row that ended because the database was away or busy.
    failed_batches: AtomicU32,
    /// The most events that are tried together. It shrinks when a batch runs out of time over events that make
    /// the database wait, so that the next batch begins where this one ended and the culprit is alone at last;
    /// and grows with every batch that ends in time.
    widest: AtomicUsize,
}

/// Deliveries that are events, each with its place in the batch.
#[derive(Clone, Copy)]
struct Range<'b> {
    places: &'b [usize],
    events: &'b [Event],
    /// Those of the batch that somebody has asked for once more.
    replayed: &'b HashSet<EventId>,
}

impl Range<'_> {
    fn halves(self) -> [Self; 2] {
        let middle = self.places.len() / 2;
        let (places, events) = (self.places.split_at(middle), self.events.split_at(middle));
        [(places.0, events.0), (places.1, events.1)].map(|(places, events)| Self { places, events, ..self })
    }
}

/// What became of a range of a batch.
enum Step {
    Done,
    Again,
    /// One of its events is to blame; which one shows soon.
    Halve,
    /// As [`Step::Halve`], but every try may take as long as the database waits at most: the other ranges
    /// come first.
    HalveLater,
    Stop,
}

impl<E: Effects> Worker<E> {
    /// A worker on this store.
    pub fn new(store: Store, effects: E, options: WorkerOptions) -> Self {
        let tracer = trace::tracer(effects.queue().worker());
        Self {
            store,
            effects,
            options,
            tracer,
            failed_batches: AtomicU32::new(0),
            widest: AtomicUsize::new(usize::MAX),
        }
    }

    /// Applies a batch and returns what becomes of each delivery, in their order. It may be given the same
    /// deliveries any number of times.
    pub async fn process_batch(&self, batch: &[Delivery]) -> Vec<Disposition> {
        let mut outcome = Outcome::new(self.name(), batch.len());
        let mut spans = BatchSpans::begin(&self.tracer, self.queue(), batch);
        let (places, events) = self.decode(batch, &mut outcome);
        let asked_for =
            places.iter().zip(&events).filter(|(place, _)| batch.get(**place).is_some_and(is_replay));
        let replayed: HashSet<EventId> = asked_for.map(|(_, event)| event.id).collect();
        let mut hold = Hold { until: Instant::now() + self.options.hold_max, pauses: 0 };
        let begun = Instant::now();
        // What is still to be tried, in this order.
        let mut ranges = self.ranges(Range { places: &places, events: &events, replayed: &replayed });
        let mut narrowest = usize::MAX;
        while let Some(range) = ranges.pop_front() {
            if begun.elapsed() >= self.options.batch_time_max {
                ranges.push_front(range);
                break;
            }
            match self.step(range, &mut hold, &mut outcome, &mut spans).await {
                Step::Done => {}
                Step::Again => ranges.push_front(range),
                Step::Halve => range.halves().into_iter().rev().for_each(|half| ranges.push_front(half)),
                Step::HalveLater => {
                    narrowest = narrowest.min(range.places.len());
                    ranges.extend(range.halves());
                }
                Step::Stop => {
                    ranges.push_front(range);
                    break;
                }
            }
        }
        let widest = if ranges.is_empty() || narrowest == usize::MAX {
            self.widest.load(Ordering::Relaxed).saturating_mul(2)
        } else {
            (narrowest / 2).max(1)
        };
        self.widest.store(widest, Ordering::Relaxed);
        if !ranges.is_empty() {
            self.hand_back(&ranges, &mut outcome);
        }
        spans.end(batch, &outcome.dispositions);
        outcome.dispositions
    }

    /// The batch in parts of at most so many events as are tried together.
    fn ranges<'b>(&self, whole: Range<'b>) -> VecDeque<Range<'b>> {
        let widest = self.widest.load(Ordering::Relaxed).max(1);
        let parts = whole.places.chunks(widest).zip(whole.events.chunks(widest));
        parts.map(|(places, events)| Range { places, events, ..whole }).collect()
    }

    pub(crate) fn queue(&self) -> Queue {
        self.effects.queue()
    }

    fn name(&self) -> &'static str {
        self.effects.queue().worker()
    }

    /// The events with their places; what is none is parked.
    fn decode(&self, batch: &[Delivery], outcome: &mut Outcome) -> (Vec<usize>, Vec<Event>) {
        let mut decoded = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (place, delivery) in batch.iter().enumerate() {
            match wire::decode_shared(&delivery.body) {
                Ok(event) => decoded.extend([(place, event)]),
                Err(error) => {
                    let reason = chain(&error);
                    tracing::error!(worker = self.name(), delivery = ?delivery.id, reason, "parked what is no event");
                    outcome.set(place, Disposition::Park(reason));
                }
            }
        }
        decoded
    }

    /// Tries a range in one transaction.
    async fn step(
        &self,
        range: Range<'_>,
        hold: &mut Hold,
        outcome: &mut Outcome,
        spans: &mut BatchSpans<'_>,
    ) -> Step {
        let traces = spans.contexts(range.places, range.events);
        let span = spans.transaction(range.places);
        let applied = apply(&self.store, &self.effects, range.events, range.replayed, traces).await;
        spans::ended(span, applied.as_ref().err().map(Failure::word));
        let Err(failure) = applied else {
            self.failed_batches.store(0, Ordering::Relaxed);
            range.places.iter().for_each(|place| outcome.set(*place, Disposition::Ack));
            return Step::Done;
        };
        if failure.is_transient() {
            self.report_database(&failure, range.events.len());
            if !failure.is_contention() {
                return if self.pause(hold).await { Step::Again } else { Step::Stop };
            }
        }
        if let ([place], [culprit]) = (range.places, range.events) {
            let disposition = self.give_up(culprit, &failure).await;
            outcome.set(*place, disposition);
            return Step::Done;
        }
        metrics::counter!(metric::SPLITS, "worker" => self.name()).increment(1);
        if failure.is_contention() { Step::HalveLater } else { Step::Halve }
    }

    /// Waits a little for the database, at growing distances; false when the batch has waited enough.
    async fn pause(&self, hold: &mut Hold) -> bool {
        hold.pauses += 1;
        let pause = backoff(self.options.retry_min, DATABASE_RETRY_MAX, hold.pauses);
        if Instant::now() + pause > hold.until {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.options.shutdown.cancelled() => false,
        }
    }

    /// Decides about the one event that fails.
    async fn give_up(&self, event: &Event, failure: &Failure) -> Disposition {
        let worker = self.name();
        let reason = chain(failure);
        if failure.is_transient() && !failure.is_timeout() {
            // It is the only one whose rows cannot be had: others hold them, so it is not counted against it.
            return Disposition::Retry(self.options.retry_max.min(DATABASE_RETRY_MAX));
        }
        if failure.is_rejection() {
            tracing::error!(worker, event_id = %event.id, source = %event.source, reason, "parked");
            return Disposition::Park(reason);
        }
        match self.store.record_failure(worker, event.id, &reason).await {
            Ok(attempts) if attempts >= self.options.attempts_max => {
                tracing::error!(worker, event_id = %event.id, source = %event.source, attempts, reason, "parked");
                let times = if attempts == 1 { "attempt" } else { "attempts" };
                Disposition::Park(format!("given up after {attempts} {times}: {reason}"))
            }
            Ok(attempts) => {
                tracing::warn!(worker, event_id = %event.id, source = %event.source, attempts, reason, "failed");
                Disposition::Retry(backoff(self.options.retry_min, self.options.retry_max, attempts))
            }
            Err(error) => {
                self.report_database(&Failure::Store(error), 1);
                Disposition::Retry(self.database_pause())
            }
        }
    }

    /// Nothing of these ranges is applied, and nothing is counted: they come back later.
    fn hand_back(&self, ranges: &VecDeque<Range<'_>>, outcome: &mut Outcome) {
        self.failed_batches.fetch_add(1, Ordering::Relaxed);
        let pause = self.database_pause();
        for place in ranges.iter().flat_map(|range| range.places) {
            outcome.set(*place, Disposition::Retry(pause));
        }
    }

    fn database_pause(&self) -> Duration {
        backoff(self.options.retry_min, DATABASE_RETRY_MAX, self.failed_batches.load(Ordering::Relaxed))
    }

    fn report_database(&self, failure: &Failure, events: usize) {
        let worker = self.name();
        metrics::counter!(metric::DATABASE_FAILURES, "worker" => worker).increment(1);
        tracing::warn!(worker, events, reason = chain(failure), "the database did not take a batch");
    }
}

fn is_replay(delivery: &Delivery) -> bool {
    delivery.replay.is_some()
}

#[async_trait]
impl<E: Effects> Handler for Worker<E> {
    async fn process_batch(&self, batch: &[Delivery]) -> Vec<Disposition> {
        Self::process_batch(self, batch).await
    }
}

/// How long a batch waits for the database in all.
struct Hold {
    until: Instant,
    pauses: u32,
}

/// The dispositions of a batch. A place that nobody decides about is retried.
struct Outcome {
    worker: &'static str,
    dispositions: Vec<Disposition>,
}

impl Outcome {
    fn new(worker: &'static str, len: usize) -> Self {
        Self { worker, dispositions: vec![Disposition::Retry(DATABASE_RETRY_MAX); len] }
    }

    fn set(&mut self, place: usize, disposition: Disposition) {
        let name = match disposition {
            // Counted as applied or duplicate where it is known which.
            Disposition::Ack => None,
            Disposition::Retry(_) => Some("retried"),
            Disposition::Park(_) => Some("parked"),
        };
        if let Some(name) = name {
            metrics::counter!(metric::EVENTS, "worker" => self.worker, "outcome" => name).increment(1);
        }
        if let Some(slot) = self.dispositions.get_mut(place) {
            *slot = disposition;
        }
    }
}
