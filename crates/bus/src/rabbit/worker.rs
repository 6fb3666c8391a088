//! A worker on its queue.

use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use tokio_util::sync::CancellationToken;

use super::consumer::BatchSink;
use super::convert::{Incoming, Outgoing};
use super::publisher::RabbitPublisher;
use super::settle::{BEFORE_REQUEUE, Settlement, settle};
use super::topology::delay_level;
use crate::processing::{chain, process};
use crate::{Delivery, Disposition, FailureLog, Handler, PublishError};

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) queue: Queue,
    /// The queue's name on the broker, that of a shard for instance: retries come back to it.
    pub(super) name: String,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) failure_log: Arc<dyn FailureLog>,
    /// For retries: they are published to a delay and acknowledged when that is confirmed.
    pub(super) publisher: Arc<RabbitPublisher>,
    pub(super) shutdown: CancellationToken,
}

#[async_trait]
impl BatchSink for Worker {
    async fn take(&self, batch: Vec<Incoming>) -> Result<(), String> {
        let deliveries: Vec<Delivery> = batch.iter().map(|incoming| incoming.delivery.clone()).collect();
        let dispositions =
            process(self.queue, self.handler.as_ref(), self.failure_log.as_ref(), &deliveries).await;
        let requeued = match self.delay(&batch, &dispositions).await {
            Ok(()) => Settlement::Ack,
            Err(error) => {
                let (queue, error) = (self.name.as_str(), chain(&error));
                tracing::error!(queue, error, "retries could not be delayed; they go back to the queue");
                tokio::select! {
                    () = tokio::time::sleep(BEFORE_REQUEUE) => {}
                    () = self.shutdown.cancelled() => {}
                }
                Settlement::Requeue
            }
        };
        let settlements: Vec<Settlement> = dispositions
            .iter()
            .map(|disposition| match disposition {
                Disposition::Ack | Disposition::Park(_) => Settlement::Ack,
                Disposition::Retry(_) => requeued,
            })
            .collect();
        settle(&batch, &settlements).await
    }
}

impl Worker {
    async fn delay(&self, batch: &[Incoming], dispositions: &[Disposition]) -> Result<(), PublishError> {
        let retries: Result<Vec<Outgoing>, PublishError> = batch
            .iter()
            .zip(dispositions)
            .filter_map(|(incoming, disposition)| match disposition {
                Disposition::Retry(after) => Some(Outgoing::retry(incoming, &self.name, delay_level(*after))),
                Disposition::Ack | Disposition::Park(_) => None,
            })
            .collect();
        self.publisher.publish_outgoing(retries?).await
    }
}
