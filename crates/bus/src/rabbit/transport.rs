use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join_all;
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::Link;
use super::consumer::consume;
use super::dead_letters::DeadLetters;
use super::error::RabbitError;
use super::publisher::RabbitPublisher;
use super::shards;
use super::subscription::LOOK_EVERY;
use super::worker::Worker;
use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, FailureLog, Handler, Status};

/// How many checks of the topology lie between two looks at the shards' bindings: a process that still has another number
/// of them declares its own again and again until it ends.
const ARRANGE_EVERY: u32 = 4;

/// Workers on RabbitMQ. Consumers have connections of their own: the broker blocks a connection that publishes
/// when it runs short of memory or disk, and on that one acknowledgements could not be sent either.
// No `Debug`: the address has the password.
#[derive(Clone)]
pub struct RabbitTransport {
    address: Address,
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
        Ok(Self { address: Address::new(url, options)?, options: options.clone(), publisher })
    }

    /// The publisher; also the one that delays retries.
    pub fn publisher(&self) -> &Arc<RabbitPublisher> {
        &self.publisher
    }

    pub(crate) fn with_batches(&self, batch_max: usize, prefetch: u16) -> Self {
        Self { options: BusOptions { batch_max, prefetch, ..self.options.clone() }, ..self.clone() }
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
            return consume(self.address.clone(), queue.name(), &worker, &self.options, status, &shutdown)
                .await;
        }
        let (first, shards) = self.taken();
        let taking =
            shards.into_iter().map(|shard| self.take_shard(&worker, shard, status.part(), &shutdown));
        let taking = join_all(taking);
        let others = self.watch_others(&worker, first, &status, &shutdown);
        if !first {
            tokio::join!(taking, others);
            return;
        }
        let rest =
            consume(self.address.clone(), queue.name(), &worker, &self.options, status.part(), &shutdown);
        let left = self.take_what_is_left(&worker, &status, &shutdown);
        tokio::join!(taking, rest, left, others);
    }

    /// The shards that this process takes from, and whether the first one is among them, or there is only one.
    fn taken(&self) -> (bool, Vec<u16>) {
        let BusOptions { shards, take_shards, .. } = &self.options;
        let all = if *shards > 1 { 0..*shards } else { 0..0 };
        let mine: Vec<u16> =
            all.filter(|shard| take_shards.is_empty() || take_shards.contains(shard)).collect();
        (*shards <= 1 || mine.contains(&0), mine)
    }

    /// The queues of the worker that other processes take from: it has caught up when those are empty too. The process with
    /// the first shard looks at them; the others never say that the worker has.
    async fn watch_others(
        &self,
        worker: &Worker,
        first: bool,
        status: &Status,
        shutdown: &CancellationToken,
    ) {
        let mine = self.taken().1;
        let others: Vec<u16> = (0..self.options.shards).filter(|shard| !mine.contains(shard)).collect();
        if self.options.shards <= 1 || others.is_empty() {
            return;
        }
        let status = status.part();
        status.set_reading();
        let role = format!("{} others", worker.queue.worker());
        let (link, guard) = Link::start(self.address.clone(), &role, &self.options, Status::new());
        loop {
            status.progressed();
            if first
                && let Some(connection) = link.current()
                && shards::are_empty(&connection, worker.queue, &others).await
            {
                status.emptied();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => break,
            }
        }
        guard.close().await;
    }

    async fn take_shard(&self, worker: &Worker, shard: u16, status: Status, shutdown: &CancellationToken) {
        let name = worker.queue.shard_name(shard);
        let worker = Worker { name: name.clone(), ..worker.clone() };
        consume(self.address.clone(), &name, &worker, &self.options, status, shutdown).await;
    }

    /// Takes away the bindings of another number of shards, and takes from the queues that it left behind.
    async fn take_what_is_left(&self, worker: &Worker, status: &Status, shutdown: &CancellationToken) {
        let role = format!("{} shards", worker.queue.worker());
        let (link, guard) = Link::start(self.address.clone(), &role, &self.options, Status::new());
        let arranged = tokio::select! {
            left = self.arrange(link.clone(), worker.queue) => left,
            () = shutdown.cancelled() => 0..0,
        };
        if self.options.shards > 1 || !arranged.is_empty() {
            let again = async {
                loop {
                    tokio::time::sleep(self.options.topology_check * ARRANGE_EVERY).await;
                    self.arrange(link.clone(), worker.queue).await;
                }
            };
            let again = async {
                tokio::select! {
                    () = again => {}
                    () = shutdown.cancelled() => {}
                }
            };
            let left = arranged.map(|shard| self.take_shard(worker, shard, status.part(), shutdown));
            tokio::join!(join_all(left), again);
        }
        guard.close().await;
    }

    /// Tries until the broker has done it.
    async fn arrange(&self, mut link: Link, queue: Queue) -> Range<u16> {
        let mut backoff = Backoff::new(self.options.reconnect_min, self.options.reconnect_max);
        while let Some(connection) = link.connection().await {
            match shards::rearrange(&connection, queue, &self.options).await {
                Ok(left) => return left,
                Err(error) => {
                    let (queue, error) = (queue.name(), chain(&error));
                    tracing::warn!(queue, error, "the shards' bindings could not be arranged");
                }
            }
            drop(connection);
            tokio::time::sleep(backoff.next()).await;
        }
        0..0
    }

    pub(crate) async fn drain_dead_letters(
        &self,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        let drain = DeadLetters { failure_log, options: self.options.clone(), shutdown: shutdown.clone() };
        consume(self.address.clone(), DEAD_LETTER_QUEUE, &drain, &self.options, status, &shutdown).await;
    }
}
