use crate::outbox::OUTBOX_CHANNEL;
use crate::{Listener, Result, StoreOptions};

/// Begins to listen for new notices. What was written before is not told, so whoever listens looks once by himself.
///
/// # Errors
/// When the database is away.
pub async fn listen(options: &StoreOptions) -> Result<Listener> {
    Listener::to(options, OUTBOX_CHANNEL).await
}
