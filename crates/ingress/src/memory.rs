//! How many bytes of bodies the ingress holds at once.
//!
//! Whoever can reach the port can send half of a large body on each of many connections, and nothing shows
//! that they are nobody before the body is whole. So the sum is bounded, not only each body and their number.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// All the memory that there is for bodies; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

/// What one delivery has taken of it; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    memory: BodyMemory,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    /// So many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// Nothing, to begin with.
    pub(crate) fn none_taken(&self) -> Taken {
        Taken { memory: self.clone(), permit: None }
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
        let permit =
            Arc::clone(&self.memory.0).try_acquire_many_owned(more).map_err(|_| Refusal::NoMemory)?;
        match &mut self.permit {
            Some(taken) => taken.merge(permit),
            None => self.permit = Some(permit),
        }
        Ok(())
    }
}
