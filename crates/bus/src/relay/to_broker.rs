use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, Destination, PublishError, Publisher, Spool, SpoolError, Spooled, Status, metric};

/// When a message is tried again that the broker did not take.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// What the spool may take to learn that a batch has arrived.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// Brings what waits in the spool to the broker, until `shutdown`; while the broker is away it only looks
/// whether it is back. `publisher` must be the broker's own, not one that falls back to the spool. Any number
/// of relays may run.
///
/// A message may reach the broker twice, when the relay ends between its confirm and the spool's answer.
pub async fn relay_to_broker(
    spool: Arc<dyn Spool>,
    publisher: Arc<dyn Publisher>,
    options: BusOptions,
    status: Status,
    shutdown: CancellationToken,
) {
    let relay = Relay::new(spool, publisher, options, status);
    let mut backoff = Backoff::new(relay.options.spool_poll, relay.options.reconnect_max);
    while !shutdown.is_cancelled() {
        let wait = match relay.once().await {
            Ok(more) => {
                backoff.reset();
                if more {
                    continue;
                }
                relay.options.spool_poll
            }
            Err(problem) => {
                tracing::warn!(problem, "the spool's relay to the broker waits");
                relay.status.set_disconnected(problem);
                backoff.next()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
    relay.status.set_disconnected("shut down".to_owned());
}

/// One relay from the spool to the broker, for whoever gives it its turns: [`relay_to_broker`] does.
pub struct Relay {
    spool: Arc<dyn Spool>,
    publisher: Arc<dyn Publisher>,
    options: BusOptions,
    status: Status,
}

impl Relay {
    /// A relay; `publisher` must be the broker's own.
    pub fn new(
        spool: Arc<dyn Spool>,
        publisher: Arc<dyn Publisher>,
        options: BusOptions,
        status: Status,
    ) -> Self {
        Self { spool, publisher, options, status }
    }

    /// Relays a batch; true when more may wait.
    ///
    /// # Errors
    /// The problem in words, when spool or broker did not do it; what was not taken waits for another turn.
    pub async fn once(&self) -> Result<bool, String> {
        if !self.publisher.is_ready() {
            self.status.set_disconnected("waits for the broker".to_owned());
            return Ok(false);
        }
        let text = |error: SpoolError| chain(&error);
        // As long as a batch may take: published as a whole, then each message alone. Several relays may run, so
        // none may release the leases of one that was killed; they are over soon.
        let lease = self.options.confirm_timeout * 2 + SETTLE_TIME;
        let claimed = self.spool.claim(Destination::Broker, self.options.batch_max, lease);
        let batch = claimed.await.map_err(text)?;
        self.status.set_reading();
        if batch.is_empty() {
            self.status.progressed();
            return Ok(false);
        }
        let (published, refused) = self.publish(&batch).await;
        if !published.is_empty() {
            self.spool.done(Destination::Broker, &published).await.map_err(text)?;
            metrics::counter!(metric::RELAYED).increment(published.len() as u64);
            self.status.progressed();
        }
        if let Some((_, error)) = refused.first() {
            let postponed: Vec<_> = refused.iter().map(|(position, _)| (*position, AFTER_REFUSAL)).collect();
            self.spool.postpone(Destination::Broker, &postponed).await.map_err(text)?;
            return Err(format!("{} messages were not taken: {}", refused.len(), chain(error)));
        }
        Ok(batch.len() >= self.options.batch_max)
    }

    /// Publishes a batch; returns the positions that were taken, and those that were not. When the whole is
    /// not taken each is tried alone, so that one bad message does not hold up the others.
    async fn publish(&self, batch: &[Spooled]) -> (Vec<i64>, Vec<(i64, PublishError)>) {
        let messages = batch.iter().map(|spooled| spooled.message.clone()).collect();
        if self.publisher.publish(messages).await.is_ok() {
            return (batch.iter().map(|spooled| spooled.position).collect(), Vec::new());
        }
        let alone = batch.iter().map(|spooled| async {
            (spooled.position, self.publisher.publish(vec![spooled.message.clone()]).await)
        });
        let (mut published, mut refused) = (Vec::new(), Vec::new());
        for (position, result) in join_all(alone).await {
            match result {
                Ok(()) => published.push(position),
                Err(error) => refused.push((position, error)),
            }
        }
        (published, refused)
    }
}
