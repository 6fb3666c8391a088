use std::sync::Arc;

use matchpurse_contracts::topology::Queue;
use tokio_util::sync::CancellationToken;

use crate::rabbit::RabbitTransport;
use crate::relay::EmbeddedTransport;
use crate::{FailureLog, Handler, Publisher, Status};

/// How events get from publishers to workers.
#[derive(Clone)]
pub enum Transport {
    /// RabbitMQ.
    Rabbit(RabbitTransport),
    /// The spool.
    Embedded(EmbeddedTransport),
}

impl Transport {
    /// The transport's publisher.
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Rabbit(rabbit) => rabbit.publisher().clone(),
            Self::Embedded(embedded) => embedded.publisher().clone(),
        }
    }

    /// The same way for a worker that takes other batches than the transport's options say: at most so many deliveries in
    /// one, and so many messages ahead of their acknowledgement. The bounds by bytes stay.
    #[must_use]
    pub fn with_batches(&self, batch_max: usize, prefetch: u16) -> Self {
        match self {
            Self::Rabbit(rabbit) => Self::Rabbit(rabbit.with_batches(batch_max, prefetch)),
            Self::Embedded(embedded) => Self::Embedded(embedded.with_batches(batch_max)),
        }
    }

    /// Runs a worker until `shutdown`; then it finishes the batch in hand and returns. Whatever fails before
    /// that is logged, shown in `status` and tried again. Dropping the future is like a crash: what was not
    /// settled is handed out again.
    pub async fn run_worker(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Rabbit(rabbit) => rabbit.run_worker(queue, handler, failure_log, status, shutdown).await,
            Self::Embedded(embedded) => {
                embedded.run_worker(queue, handler, failure_log, status, shutdown).await
            }
        }
    }

    /// Parks what the broker itself gives up, until `shutdown`. The spool gives up nothing.
    pub async fn drain_dead_letters(
        &self,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Rabbit(rabbit) => rabbit.drain_dead_letters(failure_log, status, shutdown).await,
            Self::Embedded(_) => shutdown.cancelled().await,
        }
    }

    /// Closes what [`Transport::publisher`] uses; to be called when its users have ended.
    pub async fn close(&self) {
        match self {
            Self::Rabbit(rabbit) => rabbit.publisher().close().await,
            Self::Embedded(_) => {}
        }
    }
}
