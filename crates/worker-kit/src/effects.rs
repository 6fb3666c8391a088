use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::Tx;

/// What a worker does with events; everything else about it is alike.
#[async_trait]
pub trait Effects: Send + Sync + 'static {
    /// The worker's queue.
    fn queue(&self) -> Queue;

    /// Applies events within the transaction; the caller commits it. The events are new to this worker or are
    /// replayed, each once, in the order of arrival, which need not be the order in which they happened. One that
    /// was applied before changes nothing: that rests on the permanent keys of what it does, not on the inbox.
    /// `now` is the time of the batch.
    ///
    /// # Errors
    /// Any error rolls everything back. [`Error::Rejected`](matchpurse_store::Error::Rejected) says that an
    /// event can never be applied: alone in its batch, it is parked at once.
    async fn apply_in_tx(
        &self,
        tx: &Tx<'_>,
        events: &[Event],
        now: Timestamp,
    ) -> matchpurse_store::Result<()>;
}
