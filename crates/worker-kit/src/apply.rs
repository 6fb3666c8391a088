//! One transaction.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_store::{Store, attempts, erasure, inbox, now};

use crate::{Effects, metric};

/// Why a transaction came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The store says why.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
    /// A defect of ours that one event brings out must not stop the others.
    #[error("applying the event panicked: {0}")]
    Panic(String),
}

impl Failure {
    /// The database is away or busy; the events are not to blame.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// The database works but these events' rows could not be had in time; fewer events may fare better.
    pub(crate) fn is_contention(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_contention())
    }

    /// A statement took too long by itself. It may be the database's fault or the event's; the event's is
    /// certain only when it happens to it again and again.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_statement_timeout())
    }

    /// Why, in a word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Panic(_) => "panic",
            Self::Store(_) if self.is_contention() => "contention",
            Self::Store(_) if self.is_transient() => "database",
            Self::Store(_) if self.is_rejection() => "rejected",
            Self::Store(_) => "refused",
        }
    }

    /// No attempt will ever succeed.
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, Self::Store(matchpurse_store::Error::Rejected { .. }))
    }
}

/// Applies events in one transaction of their own; all or none. Those of `replayed` are applied although the worker may
/// have seen them: somebody asked for it, and what they did then they do not do again. `traces` are the trace contexts of
/// the events that have one.
pub(crate) async fn apply<E: Effects>(
    store: &Store,
    effects: &E,
    events: &[Event],
    replayed: &HashSet<EventId>,
    traces: BTreeMap<EventId, String>,
) -> Result<(), Failure> {
    let worker = effects.queue().worker();
    let begun = Instant::now();
    // Unwinding drops the transaction, which rolls it back; effects keep nothing that could be left half done.
    let transaction = transaction(store, effects, events, replayed, traces);
    let applied = AssertUnwindSafe(transaction).catch_unwind().await;
    let applied = applied.unwrap_or_else(|panic| Err(Failure::Panic(words(panic.as_ref()))));
    let outcome = if applied.is_ok() { "committed" } else { "failed" };
    metrics::histogram!(metric::TRANSACTION_SECONDS, "worker" => worker, "outcome" => outcome)
        .record(begun.elapsed());
    metrics::histogram!(metric::TRANSACTION_EVENTS, "worker" => worker).record(events.len() as f64);
    let new = applied?;
    let count = |outcome: &'static str, events: usize| {
        metrics::counter!(metric::EVENTS, "worker" => worker, "outcome" => outcome).increment(events as u64);
    };
    let again = events.iter().filter(|event| replayed.contains(&event.id)).count();
    let fresh = new.difference(replayed).count();
    count("applied", fresh);
    count("replayed", again);
    count("duplicate", events.len().saturating_sub(fresh).saturating_sub(again));
    let committed_at = now();
    let age = metrics::histogram!(metric::EVENT_AGE_SECONDS, "worker" => worker);
    // A replayed event is old, which says nothing of how long it takes.
    for event in events.iter().filter(|event| new.contains(&event.id) && !replayed.contains(&event.id)) {
        let micros = committed_at.micros().saturating_sub(event.received_at.micros());
        age.record(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    }
    Ok(())
}

/// Returns the events that were new.
async fn transaction<E: Effects>(
    store: &Store,
    effects: &E,
    events: &[Event],
    replayed: &HashSet<EventId>,
    traces: BTreeMap<EventId, String>,
) -> Result<HashSet<EventId>, Failure> {
    let worker = effects.queue().worker();
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    if !traces.is_empty() {
        tx.follow(traces);
    }
    let new = inbox::claim_in_tx(&tx, worker, &ids).await?;
    attempts::clear_in_tx(&tx, worker, &ids).await?;
    let mut wanted = new.clone();
    let again: Vec<EventId> = ids.into_iter().filter(|id| replayed.contains(id)).collect();
    if !again.is_empty() {
        // Who was erased comes back by nobody's replay.
        let erased = erasure::erased_in_tx(&tx, &again).await?;
        wanted.extend(again.into_iter().filter(|id| !erased.contains(id)));
    }
    match wanted.len() {
        0 => {}
        // As many as there are: all are wanted and none comes twice.
        count if count == events.len() => effects.apply_in_tx(&tx, events, now()).await?,
        _ => effects.apply_in_tx(&tx, &first_of_each(events, wanted), now()).await?,
    }
    tx.commit().await?;
    Ok(new)
}

/// The wanted events in the order of arrival, each once even when the batch has it twice.
fn first_of_each(events: &[Event], mut wanted: HashSet<EventId>) -> Vec<Event> {
    events.iter().filter(|event| wanted.remove(&event.id)).cloned().collect()
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words").to_owned()
}
