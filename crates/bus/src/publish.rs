use async_trait::async_trait;
use matchpurse_contracts::wire::Message;

/// Why events are not known to be on durable storage. The sender must try again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection at the moment.
    #[error("the broker is not connected")]
    NotConnected,
    /// The broker has blocked publishers: an alarm about memory or disk.
    #[error("the broker has blocked publishers")]
    Blocked,
    /// The broker refused the message: a queue is full.
    #[error("the broker refused the message")]
    Refused,
    /// No queue is bound for it: the topology is not what it should be.
    #[error("no queue takes the message")]
    Unroutable,
    /// The confirm did not come in time.
    #[error("the broker did not confirm in time")]
    TimedOut,
    /// Too many are waiting already.
    #[error("too many events wait for their confirm")]
    Overloaded,
    /// The channel or connection broke before the confirm came.
    #[error("the connection broke before the confirm")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The spool could not take it.
    #[error("the spool could not take the events")]
    Spool(#[source] crate::SpoolError),
}

impl PublishError {
    /// A word for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Unroutable => "unroutable",
            Self::TimedOut => "timed_out",
            Self::Overloaded => "overloaded",
            Self::Broken(_) => "broken",
            Self::Spool(_) => "spool",
        }
    }
}

/// Puts events on durable storage.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Returns when every message is on durable storage and will reach every queue that wants it.
    ///
    /// # Errors
    /// [`PublishError`]: some may have been stored, so the same events must be safe to publish again.
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError>;

    /// True when a publish is likely to succeed now; for readiness.
    fn is_ready(&self) -> bool;
}
