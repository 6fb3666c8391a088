use std::time::Duration;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;

/// Who a spooled message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// The broker's events exchange: the relay publishes it when the broker is back.
    Broker,
    /// One worker, in the same process: the transport without a broker.
    Worker(Queue),
}

impl Destination {
    /// Its word: in the spool's table, in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Worker(queue) => queue.name(),
        }
    }
}

/// A message from the spool.
#[derive(Debug, Clone)]
pub struct Spooled {
    /// Its place in the spool; ascending with the time of arrival.
    pub position: i64,
    /// How often it was handed to this destination before.
    pub attempts: u32,
    /// The message.
    pub message: Message,
}

/// Why the spool did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// As many events wait as the configuration allows.
    #[error("the spool is full: {waiting} events wait, {limit} are allowed")]
    Full {
        /// How many wait.
        waiting: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The database did not do it.
    #[error("the spool's database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A durable table of messages, each with the destinations that it still waits for; `store` implements it.
#[async_trait]
pub trait Spool: Send + Sync + 'static {
    /// Keeps messages for their destinations; all or none. Returns when they are on durable storage.
    ///
    /// # Errors
    /// [`SpoolError`].
    async fn append(&self, messages: &[(Message, Vec<Destination>)]) -> Result<(), SpoolError>;

    /// Takes up to `limit` messages that wait for `destination`, oldest first, for as long as `lease`; until
    /// then nobody else is given them. Fewer when their bodies are large, but at least one if one waits. A
    /// message that cannot be read does not hold up the others.
    ///
    /// # Errors
    /// [`SpoolError::Database`].
    async fn claim(
        &self,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Spooled>, SpoolError>;

    /// The messages have reached `destination`; a message that waits for nobody any more goes.
    ///
    /// # Errors
    /// [`SpoolError::Database`]: they will be handed out again.
    async fn done(&self, destination: Destination, positions: &[i64]) -> Result<(), SpoolError>;

    /// Hands the messages out again after their time.
    ///
    /// # Errors
    /// [`SpoolError::Database`]: they will be handed out when their lease is over.
    async fn postpone(
        &self,
        destination: Destination,
        positions: &[(i64, Duration)],
    ) -> Result<(), SpoolError>;

    /// Hands out at once what workers have claimed or postponed; returns how many messages that is. For the
    /// start of the one process whose workers live on this spool: what its predecessor held when it was killed
    /// need not wait for the end of its lease.
    ///
    /// # Errors
    /// [`SpoolError::Database`].
    async fn release_leases(&self) -> Result<u64, SpoolError>;

    /// How many messages wait for `destination`, and the age of the oldest.
    ///
    /// # Errors
    /// [`SpoolError::Database`].
    async fn backlog(&self, destination: Destination) -> Result<(u64, Option<Duration>), SpoolError>;
}
