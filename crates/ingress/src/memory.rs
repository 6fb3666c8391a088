//! How many bytes of bodies the ingress holds at once.
//!
//! Whoever can reach the port can send half of a large body on each of many connections, and nothing shows
//! that they are nobody before the body is whole. So the sum is bounded, not only each body and their number.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// All the memory that there is for bodies; clones share it. Strangers have a part of it, so that there is always some
/// left for those who have signed before.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// What one delivery has taken of it; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    memory: BodyMemory,
    known: bool,
    permit: Option<OwnedSemaphorePermit>,
    strangers: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    /// So many bytes, of which strangers may take so many.
    pub(crate) fn new(bytes: u64, strangers: u64) -> Self {
        let permits = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let semaphore = |bytes| Arc::new(Semaphore::new(permits(bytes)));
        Self { all: semaphore(bytes), strangers: semaphore(strangers) }
    }

    /// Nothing, to begin with, for somebody who is known or not.
    pub(crate) fn none_taken(&self, known: bool) -> Taken {
        Taken { memory: self.clone(), known, permit: None, strangers: None }
    }
}

impl Taken {
    /// Takes memory until it is `bytes` in all. Nobody waits for it: who waits would hold what the others need.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let more = u32::try_from(more).map_err(|_| Refusal::NoMemory)?;
        if !self.known {
            take(&self.memory.strangers, more, &mut self.strangers)?;
        }
        take(&self.memory.all, more, &mut self.permit)
    }
}

fn take(memory: &Arc<Semaphore>, more: u32, taken: &mut Option<OwnedSemaphorePermit>) -> Result<(), Refusal> {
    let permit = Arc::clone(memory).try_acquire_many_owned(more).map_err(|_| Refusal::NoMemory)?;
    match taken {
        Some(taken) => taken.merge(permit),
        None => *taken = Some(permit),
    }
    Ok(())
}
