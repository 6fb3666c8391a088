//! A subscription to one queue: what the broker hands out becomes batches, bounded by events, by bytes and by time.
//!
//! lapin keeps whatever the broker sends, without a bound of its own, and AMQP bounds that by messages alone. So a
//! subscription takes in what has come before each batch, adds up its bytes, and where they are too many, or so few that
//! more would fit, it is cancelled, worked off and made anew with another number of messages: see [`Window`].

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consumer::OPEN_PATIENCE;
use super::convert::Incoming;
use super::window::Window;
use crate::processing::chain;
use crate::{BusOptions, Status};

/// How often a consumer asks how many messages wait: whether it is given them, and whether it has caught up.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After so many looks in a row that found waiting messages and no delivery, the consumer subscribes anew.
const STARVED_MAX: u32 = 3;
/// Cancelling and closing at shutdown are courtesies.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Subscription<'c> {
    channel: &'c Channel,
    queue: ShortString,
    /// None from when the broker was asked to hand out no more, until what it had handed out is in batches.
    consumer: Option<Consumer>,
    window: Window,
    /// What was handed out and is in no batch yet.
    held: VecDeque<AmqpDelivery>,
    /// Events that were too many for a batch: the rest of a large group, or the message that comes next.
    ahead: VecDeque<Incoming>,
    limits: Limits,
    batch_wait: Duration,
    next_look: Instant,
}

impl<'c> Subscription<'c> {
    pub(super) async fn open(
        channel: &'c Channel,
        queue: &str,
        options: &BusOptions,
    ) -> Result<Self, lapin::Error> {
        let batches = u16::try_from(options.batch_max.saturating_mul(2)).unwrap_or(u16::MAX);
        let mut subscription = Self {
            channel,
            queue: ShortString::try_new(queue).unwrap_or_default(),
            consumer: None,
            window: Window::new(options.prefetch.max(batches), options.held_bytes_max),
            held: VecDeque::new(),
            ahead: VecDeque::new(),
            limits: Limits { events: options.batch_max.max(1), bytes: options.batch_bytes_max },
            batch_wait: options.batch_wait,
            next_look: Instant::now() + LOOK_EVERY,
        };
        subscription.subscribe().await?;
        Ok(subscription)
    }

    async fn subscribe(&mut self) -> Result<(), lapin::Error> {
        // Before the subscription, whose own it is.
        self.channel.basic_qos(self.window.messages(), BasicQosOptions::default()).await?;
        // An empty tag: the broker makes one.
        let (tag, arguments) = (ShortString::default(), FieldTable::default());
        let consuming =
            self.channel.basic_consume(self.queue.clone(), tag, BasicConsumeOptions::default(), arguments);
        self.consumer = Some(consuming.await?);
        Ok(())
    }

    /// The next batch of events: full, or as much as came within the wait after its first message. The events of a group
    /// are in one batch, unless they are too many for any; one event is a batch however large it is. None at shutdown.
    pub(super) async fn batch(
        &mut self,
        status: &Status,
        shutdown: &CancellationToken,
    ) -> Result<Option<Vec<Incoming>>, String> {
        // One that is always given something looks between two batches.
        if Instant::now() >= self.next_look && self.look(status).await.is_err() {
            // Not worth what was handed out ahead: a channel that is gone says so below.
            self.next_look = Instant::now() + LOOK_EVERY;
        }
        self.fit().await?;
        if self.ahead.is_empty() || shutdown.is_cancelled() {
            let Some(first) = self.first(status, shutdown).await? else { return Ok(None) };
            self.ahead = Incoming::of(first).into();
        }
        let mut batch = Gathered::new(self.limits);
        while let Some(next) = self.ahead.front()
            && batch.has_room_for([next])
        {
            batch.add(self.ahead.pop_front());
        }
        let until = Instant::now() + self.batch_wait;
        while self.ahead.is_empty() && !batch.is_full() {
            let next = tokio::select! {
                biased;
                next = self.next() => next,
                () = tokio::time::sleep_until(until) => break,
            };
            // What was collected is dropped with the channel: the broker hands it out again.
            let Some(message) = next? else { break };
            let events = Incoming::of(message);
            if batch.has_room_for(&events) {
                batch.add(events);
            } else {
                self.ahead = events.into();
            }
        }
        Ok(Some(batch.events))
    }

    async fn first(
        &mut self,
        status: &Status,
        shutdown: &CancellationToken,
    ) -> Result<Option<AmqpDelivery>, String> {
        let mut starved = 0;
        loop {
            let next_look = self.next_look;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                next = self.next() => match next? {
                    Some(message) => return Ok(Some(message)),
                    None => return Err("the subscription was left without a message in hand".to_owned()),
                },
                () = tokio::time::sleep_until(next_look) => {}
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

    /// The next message. None while there is no subscription and nothing of the last one is left.
    async fn next(&mut self) -> Result<Option<AmqpDelivery>, String> {
        if let Some(message) = self.held.pop_front() {
            return Ok(Some(message));
        }
        let Some(consumer) = &mut self.consumer else { return Ok(None) };
        let message = delivered(consumer.next().await)?;
        self.window.took(message.data.len());
        Ok(Some(message))
    }

    /// Takes in what has come, and sees to it that as much may come as there are bytes for.
    async fn fit(&mut self) -> Result<(), String> {
        if let Some(consumer) = &mut self.consumer {
            while let Some(next) = consumer.next().now_or_never() {
                let message = delivered(next)?;
                self.window.took(message.data.len());
                self.held.push_back(message);
            }
            if self.window.changes() {
                self.leave().await?;
            }
        }
        if self.consumer.is_none() && self.held.is_empty() && self.ahead.is_empty() {
            let opening = tokio::time::timeout(OPEN_PATIENCE, self.subscribe());
            let opened = opening.await.map_err(|_| unanswered())?;
            opened.map_err(|error| chain(&error))?;
            tracing::debug!(
                queue = %self.queue,
                messages = self.window.messages(),
                "as many are handed out ahead as there are bytes for"
            );
        }
        Ok(())
    }

    /// Asks the broker to hand out no more, and takes in what it had handed out until then: that stays ours.
    async fn leave(&mut self) -> Result<(), String> {
        let Some(mut consumer) = self.consumer.take() else { return Ok(()) };
        let cancelling = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        let cancelled = tokio::time::timeout(OPEN_PATIENCE, cancelling).await.map_err(|_| unanswered())?;
        cancelled.map_err(|error| chain(&error))?;
        while let Some(next) = consumer.next().await {
            let message = next.map_err(|error| chain(&error))?;
            self.window.took(message.data.len());
            self.held.push_back(message);
        }
        Ok(())
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
    pub(super) async fn close(self) {
        let closing = async {
            if let Some(consumer) = &self.consumer {
                self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
            }
            self.channel.close(200, "done".into()).await
        };
        if !matches!(tokio::time::timeout(CLOSE_PATIENCE, closing).await, Ok(Ok(()))) {
            tracing::debug!("a consumer's channel was gone before it was closed");
        }
    }
}

/// The most of a batch.
#[derive(Debug, Clone, Copy)]
struct Limits {
    events: usize,
    bytes: usize,
}

/// A batch that is being gathered.
struct Gathered {
    events: Vec<Incoming>,
    bytes: usize,
    limits: Limits,
}

impl Gathered {
    const fn new(limits: Limits) -> Self {
        Self { events: Vec::new(), bytes: 0, limits }
    }

    /// Whether these events fit beside the others. A single one always fits into an empty batch: there is no other for it.
    fn has_room_for<'e>(&self, more: impl IntoIterator<Item = &'e Incoming>) -> bool {
        let (mut events, mut bytes) = (self.events.len(), self.bytes);
        for event in more {
            (events, bytes) = (events + 1, bytes + event.delivery.body.len());
        }
        events <= 1 || (events <= self.limits.events && bytes <= self.limits.bytes)
    }

    fn add(&mut self, more: impl IntoIterator<Item = Incoming>) {
        for event in more {
            self.bytes += event.delivery.body.len();
            self.events.push(event);
        }
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.limits.events || self.bytes >= self.limits.bytes
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

fn delivered(next: Option<Result<AmqpDelivery, lapin::Error>>) -> Result<AmqpDelivery, String> {
    match next {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(chain(&error)),
        // The broker ends a subscription when its queue is deleted or moves to another node.
        None => Err("the broker ended the subscription".to_owned()),
    }
}

fn unanswered() -> String {
    format!("the broker has not answered for {OPEN_PATIENCE:?}")
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
