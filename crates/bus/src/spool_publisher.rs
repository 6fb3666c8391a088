use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use tokio::sync::Notify;

use crate::processing::chain;
use crate::{Destination, PublishError, Publisher, Spool, Status};

/// Publishes by putting events into the spool.
pub struct SpoolPublisher {
    spool: Arc<dyn Spool>,
    /// None: the events wait for the broker.
    workers: Option<Wake>,
    status: Status,
}

/// Wakes the workers of this process. A worker that is not waiting finds its wake-up the next time it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<[Notify; Queue::ALL.len()]>);

impl Wake {
    fn wake(&self, queue: Queue) {
        self.of(queue).notify_one();
    }

    pub(crate) async fn woken(&self, queue: Queue) {
        self.of(queue).notified().await;
    }

    fn of(&self, queue: Queue) -> &Notify {
        let [first, ..] = &*self.0;
        Queue::ALL.iter().zip(self.0.iter()).find(|(of, _)| **of == queue).map_or(first, |(_, notify)| notify)
    }
}

impl SpoolPublisher {
    /// Events wait until the relay has brought them to the broker.
    pub fn to_broker(spool: Arc<dyn Spool>) -> Self {
        Self { spool, workers: None, status: Status::new() }
    }

    pub(crate) fn to_workers(spool: Arc<dyn Spool>, wake: Wake) -> Self {
        Self { spool, workers: Some(wake), status: Status::new() }
    }

    /// Whether the spool takes events, as its last append or [`crate::watch_spool`] has found it; not connected
    /// before the first of either.
    pub fn status(&self) -> &Status {
        &self.status
    }

    fn destinations(&self, message: &Message) -> Vec<Destination> {
        match self.workers {
            Some(_) => Queue::wanting(message.payload).map(Destination::Worker).collect(),
            None => vec![Destination::Broker],
        }
    }
}

#[async_trait]
impl Publisher for SpoolPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let addressed: Vec<(Message, Vec<Destination>)> = messages
            .into_iter()
            .map(|message| {
                let destinations = self.destinations(&message);
                (message, destinations)
            })
            .collect();
        if let Err(error) = self.spool.append(&addressed).await {
            self.status.set_disconnected(chain(&error));
            return Err(PublishError::Spool(error));
        }
        self.status.set_connected();
        if let Some(wake) = &self.workers {
            for destination in addressed.iter().flat_map(|(_, destinations)| destinations) {
                if let Destination::Worker(queue) = destination {
                    wake.wake(*queue);
                }
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.status.can_publish()
    }
}
