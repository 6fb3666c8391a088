//! The dead-letter queue's drain: what the broker gave up becomes parked, where people look.

use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use tokio_util::sync::CancellationToken;

use super::consumer::BatchSink;
use super::convert::Incoming;
use super::settle::{Settlement, settle};
use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, FailureLog, ParkedDelivery};

pub(super) struct DeadLetters {
    pub(super) failure_log: Arc<dyn FailureLog>,
    pub(super) options: BusOptions,
    pub(super) shutdown: CancellationToken,
}

#[async_trait]
impl BatchSink for DeadLetters {
    async fn take(&self, batch: Vec<Incoming>) -> Result<(), String> {
        // There is no further fence behind this queue, so the batch is kept in hand until it is parked. If that
        // takes longer than the broker's patience the channel ends, and the batch comes again.
        let mut backoff = Backoff::new(self.options.reconnect_min, self.options.reconnect_max);
        while let Err(error) = self.park(&batch).await {
            let wait = backoff.next();
            tracing::error!(error, dead_letters = batch.len(), ?wait, "dead letters could not be parked");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Unsettled: the broker keeps them.
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
        tracing::warn!(dead_letters = batch.len(), "parked what the broker gave up");
        settle(&batch, &vec![Settlement::Ack; batch.len()]).await
    }
}

impl DeadLetters {
    async fn park(&self, batch: &[Incoming]) -> Result<(), String> {
        let told: Vec<(String, String)> = batch
            .iter()
            .map(|incoming| {
                let unknown = || (DEAD_LETTER_QUEUE.to_owned(), "it does not say why".to_owned());
                let (queue, reason) = incoming.last_death().unwrap_or_else(unknown);
                // A shard's queue is its worker's for whoever looks.
                let queue = Queue::of_name(&queue).map_or(queue, |queue| queue.name().to_owned());
                (queue, format!("given up by the broker: {reason}"))
            })
            .collect();
        let parked: Vec<ParkedDelivery<'_>> = batch
            .iter()
            .zip(&told)
            .map(|(incoming, (queue, reason))| ParkedDelivery {
                queue,
                delivery: &incoming.delivery,
                reason,
                by_broker: true,
            })
            .collect();
        self.failure_log.park(&parked).await.map_err(|error| chain(&error))
    }
}
