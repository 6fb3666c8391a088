//! Defects that the simulation must find. Each is a wrapper around what is right.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::poll;
use matchpurse_bus::{
    Delivery, Destination, Disposition, Handler, PublishError, Publisher, Spool, SpoolError, Spooled,
};
use matchpurse_contracts::wire::Message;
use tokio::sync::Mutex;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// Workers say that they are done when they have begun.
    AckBeforeCommit,
    /// The ingress does not wait for the confirm.
    AnswerBeforeConfirm,
    /// The relay takes out of the spool what it has not published yet.
    ForgetBeforeRelayed,
}

/// Acknowledges a batch and applies it with the next one, or when it is asked to end.
pub(crate) struct AckFirst {
    pub(crate) inner: Arc<dyn Handler>,
    pub(crate) held: Mutex<Vec<Delivery>>,
}

#[async_trait]
impl Handler for AckFirst {
    async fn process_batch(&self, batch: &[Delivery]) -> Vec<Disposition> {
        let earlier = std::mem::replace(&mut *self.held.lock().await, batch.to_vec());
        if !earlier.is_empty() {
            self.inner.process_batch(&earlier).await;
        }
        vec![Disposition::Ack; batch.len()]
    }
}

/// Has published when it has begun to.
pub(crate) struct ConfirmFirst(pub(crate) Arc<dyn Publisher>);

#[async_trait]
impl Publisher for ConfirmFirst {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let inner = Arc::clone(&self.0);
        let mut publishing = Box::pin(async move { inner.publish(messages).await });
        if poll!(&mut publishing).is_pending() {
            tokio::spawn(publishing);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

/// A spool that forgets what it hands out.
pub(crate) struct Forgetful(pub(crate) Arc<dyn Spool>);

#[async_trait]
impl Spool for Forgetful {
    async fn append(&self, messages: &[(Message, Vec<Destination>)]) -> Result<(), SpoolError> {
        self.0.append(messages).await
    }

    async fn claim(
        &self,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Spooled>, SpoolError> {
        let claimed = self.0.claim(destination, limit, lease).await?;
        let positions: Vec<i64> = claimed.iter().map(|spooled| spooled.position).collect();
        self.0.done(destination, &positions).await?;
        Ok(claimed)
    }

    async fn done(&self, _: Destination, _: &[i64]) -> Result<(), SpoolError> {
        Ok(())
    }

    async fn postpone(&self, _: Destination, _: &[(i64, Duration)]) -> Result<(), SpoolError> {
        Ok(())
    }

    async fn release_leases(&self) -> Result<u64, SpoolError> {
        self.0.release_leases().await
    }

    async fn backlog(&self, destination: Destination) -> Result<(u64, Option<Duration>), SpoolError> {
        self.0.backlog(destination).await
    }
}
