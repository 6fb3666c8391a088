//! A worker's queue in several parts, each with a range of the slots that subjects fall into.
//!
//! ```text
//! matchpurse.events ──{payload}.#──▶ matchpurse.WORKER.shards ──#.SLOT──▶ matchpurse.WORKER.0 … N-1
//!   (topic)                            (topic)                              (quorum, one consumer at a time)
//!                                        │ no shard has the slot
//!                                        ▼ alternate exchange
//!                                      matchpurse.WORKER.rest ──▶ matchpurse.WORKER
//! ```
//!
//! RabbitMQ's consistent-hash exchange would do without the bindings, but it needs a plugin, and it spreads by a hash of
//! the whole key or of one header: a message with several events could not follow the subject of each. A slot is a part of
//! the routing key, so the events of one range may travel together, every shard has the same share to within a slot, and
//! anybody can compute where an event went.
//!
//! Declaring only ever adds. What another number of shards has left is taken away by the worker alone, when it starts and
//! from time to time, after its own bindings are there: at every moment an event reaches some queue that the worker takes
//! from, and one that reaches two is applied once.

use std::ops::Range;

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ExchangeKind};
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue, SLOTS, shard_of};

use super::error::TopologyError;
use super::topology::{
    PATIENCE, bind, declare_exchange, declare_queue, failed, set, short, text, worker_arguments,
};
use crate::BusOptions;

/// Declares the shards of a worker.
pub(super) async fn declare(channel: &Channel, queue: Queue, shards: u16) -> Result<(), TopologyError> {
    let (exchange, rest) = (queue.shards_exchange(), queue.rest_exchange());
    declare_exchange(channel, &rest, ExchangeKind::Fanout).await?;
    bind(channel, queue.name(), &rest, "").await?;
    let mut arguments = FieldTable::default();
    set(&mut arguments, "alternate-exchange", text(&rest));
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(short(&exchange), ExchangeKind::Topic, options, arguments).await;
    declared.map_err(failed("exchange", &exchange))?;
    for shard in 0..shards {
        let mut arguments = worker_arguments();
        // Events of one subject one after the other, however many processes stand by.
        set(&mut arguments, "x-single-active-consumer", lapin::types::AMQPValue::Boolean(true));
        let name = queue.shard_name(shard);
        declare_queue(channel, &name, arguments).await?;
        for slot in slots_of(shard, shards) {
            bind(channel, &name, &exchange, &of_slot(slot)).await?;
        }
    }
    for key in queue.binding_keys() {
        let (destination, source) = (short(&exchange), short(EVENTS_EXCHANGE));
        let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
        let bound = channel.exchange_bind(destination, source, short(&key), options, arguments).await;
        bound.map_err(failed("binding", &exchange))?;
    }
    Ok(())
}

/// Takes away the bindings of another number of shards, where it declares. Returns the shards beyond this number that exist: what is in their
/// queues still has to be taken.
pub(super) async fn rearrange(
    connection: &Connection,
    queue: Queue,
    options: &BusOptions,
) -> Result<Range<u16>, TopologyError> {
    let rearranged = tokio::time::timeout(PATIENCE, rearrange_all(connection, queue, options));
    rearranged.await.unwrap_or(Err(TopologyError::TimedOut(PATIENCE)))
}

async fn rearrange_all(
    connection: &Connection,
    queue: Queue,
    options: &BusOptions,
) -> Result<Range<u16>, TopologyError> {
    let shards = options.shards;
    let channel = open(connection).await?;
    let mut beyond = if shards > 1 { shards } else { 0 };
    while beyond < SLOTS && exists(connection, &queue.shard_name(beyond)).await? {
        beyond += 1;
    }
    if !options.declare {
        // Bindings are somebody else's, too.
    } else if shards > 1 {
        for key in queue.binding_keys() {
            unbind(&channel, queue.name(), EVENTS_EXCHANGE, &key).await?;
        }
        for shard in 0..beyond {
            for slot in (0..SLOTS).filter(|slot| shard >= shards || shard_of(*slot, shards) != shard) {
                unbind(&channel, &queue.shard_name(shard), &queue.shards_exchange(), &of_slot(slot)).await?;
            }
        }
    } else if beyond > 0 {
        let exchange = queue.shards_exchange();
        for key in queue.binding_keys() {
            let (destination, source) = (short(&exchange), short(EVENTS_EXCHANGE));
            let (options, arguments) = (ExchangeUnbindOptions::default(), FieldTable::default());
            let unbound = channel.exchange_unbind(destination, source, short(&key), options, arguments).await;
            unbound.map_err(failed("binding", &exchange))?;
        }
    }
    channel.close(200, "arranged".into()).await.map_err(failed("channel", "of the shards"))?;
    let left = if shards > 1 { shards..beyond } else { 0..beyond };
    if !left.is_empty() {
        tracing::info!(
            queue = queue.name(),
            ?left,
            "queues of an earlier number of shards are taken from too"
        );
    }
    Ok(left)
}

/// Whether the broker says of each of these shards that nothing waits and that somebody takes from it. One without a
/// consumer may be one whose leader is silent.
pub(super) async fn are_empty(connection: &Connection, queue: Queue, shards: &[u16]) -> bool {
    let looking = async {
        let channel = open(connection).await?;
        let mut empty = true;
        for shard in shards {
            let name = queue.shard_name(*shard);
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = channel.queue_declare(short(&name), options, FieldTable::default()).await;
            let found = found.map_err(failed("queue", &name))?;
            empty &= found.message_count() == 0 && found.consumer_count() > 0;
        }
        channel.close(200, "seen".into()).await.map_err(failed("channel", "of the shards"))?;
        Ok::<_, TopologyError>(empty)
    };
    matches!(tokio::time::timeout(PATIENCE, looking).await, Ok(Ok(true)))
}

fn slots_of(shard: u16, shards: u16) -> impl Iterator<Item = u16> {
    (0..SLOTS).filter(move |slot| shard_of(*slot, shards) == shard)
}

/// A routing key ends in its slot.
fn of_slot(slot: u16) -> String {
    format!("#.{slot}")
}

async fn open(connection: &Connection) -> Result<Channel, TopologyError> {
    connection.create_channel().await.map_err(failed("channel", "of the shards"))
}

/// On a channel of its own, which ends when there is no such queue.
async fn exists(connection: &Connection, name: &str) -> Result<bool, TopologyError> {
    let channel = open(connection).await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(short(name), options, FieldTable::default()).await {
        Ok(_) => {
            channel.close(200, "seen".into()).await.map_err(failed("channel", "of the shards"))?;
            Ok(true)
        }
        Err(error) if super::topology::is_absent(&error) => Ok(false),
        Err(error) => Err(failed("queue", name)(error)),
    }
}

/// The broker takes it for done when there is no such binding.
async fn unbind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), TopologyError> {
    let unbound =
        channel.queue_unbind(short(queue), short(exchange), short(key), FieldTable::default()).await;
    unbound.map_err(failed("binding", queue))
}
