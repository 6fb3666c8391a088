//! Whoever waits until what they have published is confirmed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::PublishError;

/// Messages that were published together. Each of them keeps it until it is settled; the publisher is answered when all
/// are, or at the deadline. It is locked for the length of a few assignments, and hardly ever by two at once.
#[derive(Debug)]
pub(super) struct Ticket {
    deadline: Instant,
    waiting: Mutex<Option<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    unsettled: usize,
    error: Option<PublishError>,
    reply: oneshot::Sender<Result<(), PublishError>>,
    permits: [OwnedSemaphorePermit; 2],
}

impl Ticket {
    /// For so many messages, at least one. The permits are kept until they are answered for.
    pub(super) fn new(
        messages: usize,
        deadline: Instant,
        reply: oneshot::Sender<Result<(), PublishError>>,
        permits: [OwnedSemaphorePermit; 2],
    ) -> Arc<Self> {
        let waiting = Waiting { unsettled: messages, error: None, reply, permits };
        Arc::new(Self { deadline, waiting: Mutex::new(Some(waiting)) })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// False when the publisher was answered: whatever becomes of its messages now, nobody hears of it.
    pub(super) fn is_open(&self) -> bool {
        self.waiting().is_some()
    }

    /// One of the messages is stored, or is not.
    pub(super) fn settle(&self, result: Result<(), PublishError>) {
        let mut waiting = self.waiting();
        let Some(open) = waiting.as_mut() else { return };
        open.unsettled = open.unsettled.saturating_sub(1);
        if let Err(error) = result {
            open.error.get_or_insert(error);
        }
        if open.unsettled == 0
            && let Some(all) = waiting.take()
        {
            all.tell();
        }
    }

    /// Answers with what went wrong first, at the latest this, without waiting for the rest.
    pub(super) fn give_up(&self, error: PublishError) {
        if let Some(mut open) = self.waiting().take() {
            open.error.get_or_insert(error);
            open.tell();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn tell(self) {
        let Self { error, reply, permits, .. } = self;
        // Before the answer: who has it and publishes again must find the room that he has made.
        drop(permits);
        // The publisher may have stopped waiting.
        let _unheard = reply.send(error.map_or(Ok(()), Err)).is_err();
    }
}
