//! Taking deliveries from one queue in batches, for ever: subscribe, take, settle, and after any failure again.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::Link;
use super::convert::Incoming;
use super::topology;
use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, Status};

/// How often a consumer asks how many messages wait: whether it is given them, and whether it has caught up.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After so many looks in a row that found waiting messages and no delivery, the consumer subscribes anew.
const STARVED_MAX: u32 = 3;
/// How long the broker may take to open a channel, and a subscription. While the connection lives its heartbeats tell
/// nothing about an answer that never comes.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// Cancelling and closing at shutdown are courtesies.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What is done with a batch. Every delivery in it has to be settled, here or by the end of the channel, which an error
/// brings about.
#[async_trait]
pub(super) trait BatchSink: Send + Sync {
    async fn take(&self, batch: Vec<Incoming>) -> Result<(), String>;
}

/// Takes from `queue` until `shutdown`; then the batch in hand is finished first.
pub(super) async fn consume(
    address: Address,
    queue: &str,
    sink: &dyn BatchSink,
    options: &BusOptions,
    status: Status,
    shutdown: &CancellationToken,
) {
    let (mut link, guard) = Link::start(address, queue, options, status.clone());
    let mut backoff = Backoff::new(options.reconnect_min, options.reconnect_max);
    loop {
        let connection = tokio::select! {
            connection = link.connection() => connection,
            () = shutdown.cancelled() => None,
        };
        let Some(connection) = connection else { break };
        let begun = Instant::now();
        let Err(problem) = subscribe(&connection, queue, sink, options, &status, shutdown).await else {
            break;
        };
        status.set_idle(problem.clone());
        if begun.elapsed() > options.reconnect_max {
            backoff.reset();
        }
        let wait = backoff.next();
        tracing::warn!(queue, problem, ?wait, "not consuming");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => break,
        }
        if connection.status().connected() {
            declare_again(&connection, queue, options, &status, shutdown).await;
        }
    }
    guard.close().await;
}

/// A connection that lived on may have lost its queue.
async fn declare_again(
    connection: &Connection,
    queue: &str,
    options: &BusOptions,
    status: &Status,
    shutdown: &CancellationToken,
) {
    tokio::select! {
        declared = topology::ensure(connection, options) => if let Err(error) = declared {
            status.set_idle(chain(&error));
            tracing::error!(queue, error = chain(&error), "the topology cannot be declared");
        },
        () = shutdown.cancelled() => {}
    }
}

/// Takes batches until shutdown, or until the subscription ends: then the error says why.
async fn subscribe(
    connection: &Connection,
    queue: &str,
    sink: &dyn BatchSink,
    options: &BusOptions,
    status: &Status,
    shutdown: &CancellationToken,
) -> Result<(), String> {
    let not_opened = |_| format!("the broker has not opened the subscription for {OPEN_PATIENCE:?}");
    let opening = tokio::time::timeout(OPEN_PATIENCE, connection.create_channel());
    let channel = opening.await.map_err(not_opened)?.map_err(|error| chain(&error))?;
    let opening = tokio::time::timeout(OPEN_PATIENCE, Subscription::open(&channel, queue, options));
    let mut subscription = opening.await.map_err(not_opened)?.map_err(|error| chain(&error))?;
    status.set_consuming();
    status.progressed();
    tracing::info!(queue, "consuming");
    while let Some(batch) = subscription.batch(status, shutdown).await? {
        sink.take(batch).await?;
        status.progressed();
    }
    subscription.close().await;
    Ok(())
}

struct Subscription<'c> {
    channel: &'c Channel,
    consumer: Consumer,
    queue: ShortString,
    /// Events that were too many for a batch: the rest of a large group, or the one that comes next.
    ahead: VecDeque<Incoming>,
    batch_max: usize,
    batch_wait: Duration,
    next_look: Instant,
}

impl<'c> Subscription<'c> {
    async fn open(channel: &'c Channel, queue: &str, options: &BusOptions) -> Result<Self, lapin::Error> {
        // Before the subscription: lapin buffers what it is sent without a bound, so this is the only one.
        let batches = u16::try_from(options.batch_max.saturating_mul(2)).unwrap_or(u16::MAX);
        channel.basic_qos(options.prefetch.max(batches), BasicQosOptions::default()).await?;
        let queue = ShortString::try_new(queue).unwrap_or_default();
        // An empty tag: the broker makes one.
        let (tag, arguments) = (ShortString::default(), FieldTable::default());
        let consumer =
            channel.basic_consume(queue.clone(), tag, BasicConsumeOptions::default(), arguments).await?;
        let (batch_max, batch_wait) = (options.batch_max.max(1), options.batch_wait);
        let next_look = Instant::now() + LOOK_EVERY;
        let ahead = VecDeque::new();
        Ok(Self { channel, consumer, queue, ahead, batch_max, batch_wait, next_look })
    }

    /// The next batch of events: full, or as much as came within the wait after its first message. The events of a group
    /// are in one batch, unless they are too many for any. None at shutdown.
    async fn batch(
        &mut self,
        status: &Status,
        shutdown: &CancellationToken,
    ) -> Result<Option<Vec<Incoming>>, String> {
        // One that is always given something looks between two batches.
        if Instant::now() >= self.next_look && self.look(status).await.is_err() {
            // Not worth what was handed out ahead: a channel that is gone says so below.
            self.next_look = Instant::now() + LOOK_EVERY;
        }
        if self.ahead.is_empty() || shutdown.is_cancelled() {
            let Some(first) = self.first(status, shutdown).await? else { return Ok(None) };
            self.ahead = first.into();
        }
        let some = self.ahead.len().min(self.batch_max);
        let mut batch: Vec<Incoming> = self.ahead.drain(..some).collect();
        let until = Instant::now() + self.batch_wait;
        while batch.len() < self.batch_max && self.ahead.is_empty() {
            let next = tokio::select! {
                biased;
                next = self.consumer.next() => next,
                () = tokio::time::sleep_until(until) => break,
            };
            // What was collected is dropped with the channel: the broker hands it out again.
            let events = delivered(next)?;
            if batch.len() + events.len() <= self.batch_max {
                batch.extend(events);
            } else {
                self.ahead = events.into();
            }
        }
        Ok(Some(batch))
    }

    async fn first(
        &mut self,
        status: &Status,
        shutdown: &CancellationToken,
    ) -> Result<Option<Vec<Incoming>>, String> {
        let mut starved = 0;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                next = self.consumer.next() => return delivered(next).map(Some),
                () = tokio::time::sleep_until(self.next_look) => {}
            }
            starved = if self.look(status).await? == 0 { 0 } else { starved + 1 };
            if starved >= STARVED_MAX {
                return Err(format!(
                    "messages wait, but none was delivered for {:?}",
                    LOOK_EVERY * STARVED_MAX
                ));
            }
        }
    }

    /// How many messages wait; when none does, that is progress too.
    async fn look(&mut self, status: &Status) -> Result<u32, String> {
        let (waiting, consumers) = self.waiting().await?;
        self.next_look = Instant::now() + LOOK_EVERY;
        note_look(status, waiting, consumers);
        Ok(waiting)
    }

    /// How many messages the queue holds that nobody has been given, and how many consumers it has.
    async fn waiting(&self) -> Result<(u32, u32), String> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declaring = self.channel.queue_declare(self.queue.clone(), options, FieldTable::default());
        match tokio::time::timeout(LOOK_EVERY, declaring).await {
            Ok(declared) => declared
                .map(|queue| (queue.message_count(), queue.consumer_count()))
                .map_err(|error| chain(&error)),
            Err(_) => Err(format!("the broker has not answered for {LOOK_EVERY:?}")),
        }
    }

    /// Gives back what was handed out ahead.
    async fn close(self) {
        let closing = async {
            self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await?;
            self.channel.close(200, "done".into()).await
        };
        if !matches!(tokio::time::timeout(CLOSE_PATIENCE, closing).await, Ok(Ok(()))) {
            tracing::debug!("a consumer's channel was gone before it was closed");
        }
    }
}

/// What the broker said of a queue that this consumer is subscribed to.
///
/// A quorum queue whose leader does not answer in time is told as one without messages and without consumers. It has one at
/// least, this one, so that answer says nothing.
fn note_look(status: &Status, waiting: u32, consumers: u32) {
    if waiting == 0 && consumers > 0 {
        status.progressed();
        status.emptied();
    }
}

fn delivered(next: Option<Result<lapin::message::Delivery, lapin::Error>>) -> Result<Vec<Incoming>, String> {
    match next {
        Some(Ok(message)) => Ok(Incoming::of(message)),
        Some(Err(error)) => Err(chain(&error)),
        // The broker ends a subscription when its queue is deleted or moves to another node.
        None => Err("the broker ended the subscription".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_without_messages_and_consumers_is_not_an_empty_one() {
        let status = Status::new();
        for (waiting, consumers) in [(0, 0), (7, 1), (7, 0)] {
            note_look(&status, waiting, consumers);
            assert_eq!(status.since_empty(), None, "{waiting} messages, {consumers} consumers");
        }
        note_look(&status, 0, 1);
        assert!(status.since_empty().is_some());
    }
}
