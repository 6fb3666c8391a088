use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::wire::Message;

use crate::{PublishError, Publisher, SpoolPublisher, metric};

/// Publishes to the broker, and keeps in the spool what the broker did not take, until the relay brings it
/// there. The broker may have taken a message after all, when its confirm was late or lost: then it arrives
/// twice, under the same id.
pub struct FallbackPublisher {
    broker: Arc<dyn Publisher>,
    spool: SpoolPublisher,
}

impl FallbackPublisher {
    /// `spool` must be one [to the broker](SpoolPublisher::to_broker).
    pub fn new(broker: Arc<dyn Publisher>, spool: SpoolPublisher) -> Self {
        Self { broker, spool }
    }
}

#[async_trait]
impl Publisher for FallbackPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        // Bodies are shared, so this copies names and headers only.
        let Err(error) = self.broker.publish(messages.clone()).await else { return Ok(()) };
        let count = messages.len();
        self.spool.publish(messages).await?;
        tracing::debug!(%error, messages = count, "kept in the spool");
        metrics::counter!(metric::SPOOLED, "cause" => error.name()).increment(count as u64);
        Ok(())
    }

    /// Either of the two is enough; when both are away no event can be kept.
    fn is_ready(&self) -> bool {
        self.broker.is_ready() || self.spool.is_ready()
    }
}
