//! What has to exist on the broker: declared when a connection is made, and again from time to time.
//!
//! ```text
//! matchpurse.events ──{payload}.#──▶ matchpurse.WORKER ──given up by the broker──▶ matchpurse.dead-letter
//!   (topic)                            ▲   (quorum)                                  (fanout, then quorum)
//!                                      │ default exchange, key = the worker's queue
//! matchpurse.delay.LEVEL ────────▶ matchpurse.delay.LEVEL
//!   (fanout)                           (quorum, with a time to live)
//! ```
//!
//! A retry is published to a delay exchange with the name of the worker's queue as its routing key. When its
//! time is over the broker dead-letters it to the default exchange, which routes by queue name: it comes back
//! to exactly the worker that wanted it later. All messages of a level wait equally long, so none holds up
//! another; a time to live of their own would, because a queue only expires messages at its head.
//!
//! A worker with several shards has a queue for each; see [`super::shards`].
//!
//! Nothing here deletes. RabbitMQ 3.10.8 cannot bear that a queue which dead-letters at least once is deleted
//! within milliseconds of its declaration: the node's dead-lettering ends, and with it every such queue, until
//! the node is restarted.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use matchpurse_contracts::topology::{DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};

use super::error::TopologyError;
use super::inspect::Expected;
use super::shards;
use crate::BusOptions;

/// How often the broker hands one message out again before it gives it up. Attempts are counted in PostgreSQL
/// and end there long before; this is the last fence. It is high because the broker also counts what a crashed
/// worker had only been sent ahead: a worker that crashes again and again must not push a thousand innocent
/// messages over it before somebody has looked.
const DELIVERY_LIMIT: i64 = 1000;

/// Declaring a quorum queue takes some ten milliseconds; only a broker in trouble needs longer than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A time to wait before a message comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DelayLevel {
    /// Of the exchange and of the queue.
    pub(crate) name: &'static str,
    pub(crate) wait: Duration,
}

/// Ascending.
pub(crate) const DELAY_LEVELS: [DelayLevel; 4] = [
    DelayLevel { name: "matchpurse.delay.1s", wait: Duration::from_secs(1) },
    DelayLevel { name: "matchpurse.delay.5s", wait: Duration::from_secs(5) },
    DelayLevel { name: "matchpurse.delay.30s", wait: Duration::from_secs(30) },
    DelayLevel { name: "matchpurse.delay.5m", wait: Duration::from_secs(300) },
];

/// The shortest level that waits at least so long, or the longest: then the message comes back earlier.
pub(crate) fn delay_level(wait: Duration) -> &'static DelayLevel {
    let [.., longest] = &DELAY_LEVELS;
    DELAY_LEVELS.iter().find(|level| level.wait >= wait).unwrap_or(longest)
}

/// Declares everything, or looks whether it is there where somebody else declares it.
pub(crate) async fn ensure(connection: &Connection, options: &BusOptions) -> Result<(), TopologyError> {
    if options.declare {
        return declare(connection, options.shards).await;
    }
    let looked = tokio::time::timeout(PATIENCE, look_for_all(connection, options.shards));
    looked.await.unwrap_or(Err(TopologyError::TimedOut(PATIENCE)))
}

/// Passive declarations, for which the broker wants no right.
async fn look_for_all(connection: &Connection, shards: u16) -> Result<(), TopologyError> {
    let opened = connection.create_channel().await;
    let channel = opened.map_err(failed("channel", "of the look at the topology"))?;
    let Expected { exchanges, queues, .. } = Expected::new(shards);
    for name in exchanges {
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let found =
            channel.exchange_declare(short(&name), ExchangeKind::Topic, passive, FieldTable::default()).await;
        found.map_err(failed("exchange", &name))?;
    }
    for name in queues {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(short(&name), passive, FieldTable::default()).await;
        found.map_err(failed("queue", &name))?;
    }
    channel.close(200, "seen".into()).await.map_err(failed("channel", "of the look at the topology"))
}

/// Declares everything, with so many shards a worker; changes nothing that exists, and removes nothing.
pub(crate) async fn declare(connection: &Connection, shards: u16) -> Result<(), TopologyError> {
    let declared = tokio::time::timeout(PATIENCE, declare_all(connection, shards));
    declared.await.unwrap_or(Err(TopologyError::TimedOut(PATIENCE)))
}

async fn declare_all(connection: &Connection, shards: u16) -> Result<(), TopologyError> {
    // A refusal closes the channel, so it is one that nobody else uses.
    let opened = connection.create_channel().await;
    let channel = opened.map_err(failed("channel", "of the declaration"))?;
    declare_exchange(&channel, DEAD_LETTER_EXCHANGE, ExchangeKind::Fanout).await?;
    declare_queue(&channel, DEAD_LETTER_QUEUE, quorum()).await?;
    bind(&channel, DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, "").await?;

    for level in &DELAY_LEVELS {
        declare_exchange(&channel, level.name, ExchangeKind::Fanout).await?;
        declare_queue(&channel, level.name, delay_arguments(level.wait)).await?;
        bind(&channel, level.name, level.name, "").await?;
    }

    declare_exchange(&channel, EVENTS_EXCHANGE, ExchangeKind::Topic).await?;
    // The archive's first: when the exchange is a new one, others publish while it gets its bindings, and what has reached
    // any queue counts as routed. What the archive has, a worker that missed it gets from there.
    let [rest @ .., archive] = Queue::ALL;
    for queue in std::iter::once(archive).chain(rest) {
        declare_queue(&channel, queue.name(), worker_arguments()).await?;
        if shards > 1 && queue.can_be_sharded() {
            shards::declare(&channel, queue, shards).await?;
            continue;
        }
        for key in queue.binding_keys() {
            bind(&channel, queue.name(), EVENTS_EXCHANGE, &key).await?;
        }
    }
    channel.close(200, "declared".into()).await.map_err(failed("channel", "of the declaration"))
}

/// Every queue: replicated where there are several nodes, on disk before a confirm.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    set(&mut arguments, "x-queue-type", text("quorum"));
    arguments
}

/// A queue that hands what it gives up to an exchange.
fn dead_lettering(exchange: &str) -> FieldTable {
    let mut arguments = quorum();
    set(&mut arguments, "x-dead-letter-exchange", text(exchange));
    // The message leaves this queue only when the next one has confirmed it. The default is at-most-once.
    set(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    // A full queue refuses, and the publisher hears of it; the default drops the oldest message. At-least-once
    // dead-lettering needs it too, and is silently at-most-once without.
    set(&mut arguments, "x-overflow", text("reject-publish"));
    arguments
}

pub(super) fn worker_arguments() -> FieldTable {
    let mut arguments = dead_lettering(DEAD_LETTER_EXCHANGE);
    // Before RabbitMQ 4.0 the default is no limit at all.
    set(&mut arguments, "x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

fn delay_arguments(wait: Duration) -> FieldTable {
    // The default exchange, and no `x-dead-letter-routing-key`: the message keeps its key, which names its
    // queue. If that queue does not exist at the time, the message waits here until it does.
    let mut arguments = dead_lettering("");
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    set(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(millis));
    arguments
}

pub(super) fn set(arguments: &mut FieldTable, name: &'static str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
) -> Result<(), TopologyError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(short(name), kind, options, FieldTable::default()).await;
    declared.map_err(failed("exchange", name))
}

pub(super) async fn declare_queue(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> Result<(), TopologyError> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(short(name), options, arguments).await;
    declared.map(drop).map_err(failed("queue", name))
}

pub(super) async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), TopologyError> {
    let options = QueueBindOptions::default();
    let bound =
        channel.queue_bind(short(queue), short(exchange), short(key), options, FieldTable::default()).await;
    bound.map_err(failed("binding", queue))
}

/// The names of the topology are ours and short; lapin panics beyond 255 bytes.
pub(super) fn short(name: &str) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}

pub(super) fn failed(kind: &'static str, name: &str) -> impl FnOnce(lapin::Error) -> TopologyError {
    let name = name.to_owned();
    move |source| match source.kind() {
        ErrorKind::ProtocolError(error)
            if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
        {
            TopologyError::Different { kind, name, source: source.into() }
        }
        _ => TopologyError::Failed { kind, name, source: source.into() },
    }
}

/// Whether the broker says that there is none.
pub(super) fn is_absent(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_at_least_as_long_as_asked_up_to_the_longest_level() {
        for (asked, waits) in [(0, 1), (1, 1), (2, 5), (5, 5), (6, 30), (31, 300), (300, 300), (3600, 300)] {
            assert_eq!(delay_level(Duration::from_secs(asked)).wait, Duration::from_secs(waits), "{asked} s");
        }
    }
}
