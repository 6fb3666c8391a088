//! What events would do, found out by doing it in a transaction that is taken back.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_store::rehearsal::{Effect, Rehearsal};
use matchpurse_store::{Error, Result, Store, chain, now};

use crate::Effects;

/// How often a rehearsal is begun anew when live traffic has changed what it looks at.
const TRIES_MAX: u32 = 5;

/// What one worker would do with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The event's place among those that were given.
    pub event: usize,
    /// The worker's queue.
    pub queue: Queue,
    /// What would change; or why the event could not be applied.
    pub outcome: Result<Effect, String>,
}

/// Applies events one after the other, each by the workers that want it, and takes everything back. Nothing of it is ever
/// visible to anybody; but it locks what it looks at, as applying does, so the events of one call should be few and
/// belong together: those of one match.
///
/// # Errors
/// When the database is away, or live traffic gets in the way again and again.
pub async fn rehearse(store: &Store, workers: &[&dyn Effects], events: &[Event]) -> Result<Vec<Rehearsed>> {
    let mut tries = 1;
    loop {
        match attempt(store, workers, events).await {
            Err(error) if error.is_contention() && tries < TRIES_MAX => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn attempt(store: &Store, workers: &[&dyn Effects], events: &[Event]) -> Result<Vec<Rehearsed>> {
    let mut client = store.client().await?;
    let mut rehearsal = Rehearsal::begin(&mut client).await?;
    let mut rehearsed = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let wants = |worker: &&&dyn Effects| worker.queue().payloads().contains(&event.payload.name());
        for worker in workers.iter().filter(wants) {
            rehearsal.mark().await?;
            let applying = async {
                worker.apply_in_tx(rehearsal.tx(), std::slice::from_ref(event), now()).await?;
                rehearsal.tx().settle().await
            };
            let outcome = match AssertUnwindSafe(applying).catch_unwind().await {
                Ok(Ok(())) => Ok(rehearsal.look(event).await?),
                // That says nothing about the event.
                Ok(Err(error)) if error.is_transient() => return Err(error),
                Ok(Err(error)) => {
                    rehearsal.back().await?;
                    Err(chain(&error))
                }
                Err(_) => {
                    return Err(Error::rejected(format!("applying event {} panicked", event.id)));
                }
            };
            rehearsed.push(Rehearsed { event: place, queue: worker.queue(), outcome });
        }
    }
    rehearsal.end().await?;
    Ok(rehearsed)
}
