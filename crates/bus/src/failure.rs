use async_trait::async_trait;

use crate::Delivery;

/// A delivery that is given up for now, with where and why.
#[derive(Debug, Clone)]
pub struct ParkedDelivery<'d> {
    /// The queue on which it was given up; the dead-letter queue's name when nobody knows better.
    pub queue: &'d str,
    /// The delivery.
    pub delivery: &'d Delivery,
    /// The reason: the error with its chain of causes.
    pub reason: &'d str,
    /// True when it was the broker that gave it up, and no worker.
    pub by_broker: bool,
}

/// Why the parking could not be written. The delivery stays where it was.
#[derive(Debug, thiserror::Error)]
#[error("failed to park deliveries")]
pub struct FailureLogError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where parked deliveries are kept; `store` implements it.
#[async_trait]
pub trait FailureLog: Send + Sync + 'static {
    /// Keeps the deliveries, durably; the same one again changes nothing.
    ///
    /// # Errors
    /// When it is not certain that all are on durable storage.
    async fn park(&self, parked: &[ParkedDelivery<'_>]) -> Result<(), FailureLogError>;
}
