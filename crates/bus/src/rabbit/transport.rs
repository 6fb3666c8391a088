use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join_all;
use lapin::uri::AMQPUri;
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use tokio_util::sync::CancellationToken;

use super::connection::{Link, parse_url};
use super::consumer::consume;
use super::dead_letters::DeadLetters;
use super::error::RabbitError;
use super::publisher::RabbitPublisher;
use super::shards;
use super::worker::Worker;
use crate::backoff::Backoff;
use crate::processing::chain;
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
        let (publisher, name) = (self.publisher.clone(), queue.name().to_owned());
        let worker = Worker { queue, name, handler, failure_log, publisher, shutdown: shutdown.clone() };
        if !queue.can_be_sharded() {
            return consume(self.uri.clone(), queue.name(), &worker, &self.options, status, &shutdown).await;
        }
        let (first, shards) = self.taken();
        let taking = shards.into_iter().map(|shard| self.take_shard(&worker, shard, status.part(), &shutdown));
        let taking = join_all(taking);
        if !first {
            taking.await;
            return;
        }
        let rest = consume(self.uri.clone(), queue.name(), &worker, &self.options, status.part(), &shutdown);
        let left = async {
            let left = self.rearranged(queue, &shutdown).await;
            join_all(left.map(|shard| self.take_shard(&worker, shard, status.part(), &shutdown))).await;
        };
        tokio::join!(taking, rest, left);
    }

    /// The shards that this process takes from, and whether the first one is among them, or there is only one.
    fn taken(&self) -> (bool, Vec<u16>) {
        let BusOptions { shards, take_shards, .. } = &self.options;
        let all = if *shards > 1 { 0..*shards } else { 0..0 };
        let mine: Vec<u16> =
            all.filter(|shard| take_shards.is_empty() || take_shards.contains(shard)).collect();
        (*shards <= 1 || mine.contains(&0), mine)
    }

    async fn take_shard(&self, worker: &Worker, shard: u16, status: Status, shutdown: &CancellationToken) {
        let name = worker.queue.shard_name(shard);
        let worker = Worker { name: name.clone(), ..worker.clone() };
        consume(self.uri.clone(), &name, &worker, &self.options, status, shutdown).await;
    }

    /// Once the broker answers: what another number of shards has left behind.
    async fn rearranged(&self, queue: Queue, shutdown: &CancellationToken) -> Range<u16> {
        let role = format!("{} shards", queue.worker());
        let (mut link, guard) = Link::start(self.uri.clone(), &role, &self.options, Status::new());
        let mut backoff = Backoff::new(self.options.reconnect_min, self.options.reconnect_max);
        let arranging = async {
            loop {
                let Some(connection) = link.connection().await else { return 0..0 };
                match shards::rearrange(&connection, queue, self.options.shards).await {
                    Ok(left) => return left,
                    Err(error) => {
                        let error = chain(&error);
                        tracing::warn!(queue = queue.name(), error, "the shards' bindings are not looked through");
                    }
                }
                tokio::time::sleep(backoff.next()).await;
            }
        };
        let left = tokio::select! {
            left = arranging => left,
            () = shutdown.cancelled() => 0..0,
        };
        guard.close().await;
        left
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
