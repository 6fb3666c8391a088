use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use matchpurse_bus::{PublishError, Publisher};
use matchpurse_contracts::topology::EVENTS_EXCHANGE;
use matchpurse_contracts::wire::Message;

use super::queue::Letter;
use super::{ConnectionId, ModelBroker};

/// Publishes to the model, with `bus`'s errors. Clones share a connection, which is made anew by [`ModelPublisher::connect`]
/// only.
#[derive(Clone)]
pub struct ModelPublisher {
    broker: ModelBroker,
    connection: Arc<Mutex<Option<ConnectionId>>>,
}

impl ModelPublisher {
    /// A publisher that is connected.
    pub fn new(broker: &ModelBroker) -> Self {
        let publisher = Self { broker: broker.clone(), connection: Arc::default() };
        publisher.connect();
        publisher
    }

    /// Connects, unless it is.
    pub fn connect(&self) -> ConnectionId {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match *connection {
            Some(known) if self.broker.is_connected(known) => known,
            _ => *connection.insert(self.broker.connect()),
        }
    }

    /// Its connection, if it stands.
    pub fn connection(&self) -> Option<ConnectionId> {
        let connection = *self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.filter(|connection| self.broker.is_connected(*connection))
    }

    pub(super) async fn send(&self, letters: Vec<(String, Letter)>) -> Result<(), PublishError> {
        if letters.is_empty() {
            return Ok(());
        }
        let connection = self.connection();
        let replied = self.broker.change(|state| state.send(connection, letters))?;
        replied.await.unwrap_or(Err(PublishError::NotConnected))
    }
}

#[async_trait]
impl Publisher for ModelPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let event = |message| (EVENTS_EXCHANGE.to_owned(), Letter::event(message));
        self.send(messages.into_iter().map(event).collect()).await
    }

    fn is_ready(&self) -> bool {
        self.connection().is_some() && !self.broker.has_alarm()
    }
}
