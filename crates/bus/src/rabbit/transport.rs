use std::sync::Arc;

use lapin::uri::AMQPUri;
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use tokio_util::sync::CancellationToken;

use super::connection::parse_url;
use super::consumer::consume;
use super::dead_letters::DeadLetters;
use super::error::RabbitError;
use super::publisher::RabbitPublisher;
use super::worker::Worker;
use crate::{BusOptions, FailureLog, Handler, Status};

/// Workers on RabbitMQ. Consumers have connections of their own: the broker blocks a connection that publishes
/// when it runs short of memory or disk, and on that one acknowledgements could not be sent either.
// No `Debug`: the URI has the password.
#[derive(Clone)]
pub struct RabbitTransport {
    uri: AMQPUri,
    options: BusOptions,
    publisher: Arc<RabbitPublisher>,
}

impl RabbitTransport {
    /// Starts the publisher, on the current tokio runtime; connecting goes on in the background.
    ///
    /// # Errors
    /// [`RabbitError::Url`].
    pub fn start(url: &str, options: &BusOptions) -> Result<Self, RabbitError> {
        let publisher = RabbitPublisher::start(url, options)?;
        Ok(Self { uri: parse_url(url, options)?, options: options.clone(), publisher })
    }

    /// The publisher; also the one that delays retries.
    pub fn publisher(&self) -> &Arc<RabbitPublisher> {
        &self.publisher
    }

    pub(crate) async fn run_worker(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        let publisher = self.publisher.clone();
        let worker = Worker { queue, handler, failure_log, publisher, shutdown: shutdown.clone() };
        consume(self.uri.clone(), queue.name(), &worker, &self.options, status, &shutdown).await;
    }

    pub(crate) async fn drain_dead_letters(
        &self,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        let drain = DeadLetters { failure_log, options: self.options.clone(), shutdown: shutdown.clone() };
        consume(self.uri.clone(), DEAD_LETTER_QUEUE, &drain, &self.options, status, &shutdown).await;
    }
}
