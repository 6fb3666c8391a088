use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

/// One message handed to a worker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The `message_id`: the event's id. None when a stranger published without one.
    pub id: Option<Uuid>,
    /// The protobuf bytes; not decoded yet, because a poison message must reach the parking too.
    pub body: Bytes,
    /// The routing key that it was published with first.
    pub routing_key: String,
    /// W3C trace context of the request that brought the event.
    pub traceparent: Option<String>,
    /// True when the transport says that it may have been handed out before.
    pub redelivered: bool,
    /// The replay that it is a part of. Somebody asked for it, so it is to be applied although it may have been seen.
    pub replay: Option<Uuid>,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Its effects are committed, or there are none: it may go.
    Ack,
    /// It could not be applied now: hand it out again after this time, without holding up its neighbours.
    Retry(Duration),
    /// It cannot be applied: keep it where it is visible and replayable, with this reason.
    Park(String),
}

/// What a worker is, to the transport.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Applies a batch; returns one disposition for each delivery, in their order. It must not fail: what
    /// goes wrong is a `Retry`. It may be given the same delivery any number of times.
    async fn process_batch(&self, batch: &[Delivery]) -> Vec<Disposition>;
}
