//! The broker as a client sees it: to fill queues, to look into them, and to audit what is in them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use matchpurse_contracts::group::{GROUP_CONTENT_TYPE, split};
use tokio::time::timeout;
use uuid::Uuid;

/// An empty queue from which nothing comes for so long has sent everything.
const QUIET: Duration = Duration::from_millis(500);
/// On disk before the confirm.
const PERSISTENT: u8 = 2;

/// A connection with one channel.
pub(crate) struct Broker {
    _connection: Connection,
    channel: Channel,
}

/// A message to be published.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) id: Uuid,
    pub(crate) body: Bytes,
}

impl Broker {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// Declares a quorum queue with nothing unusual.
    pub(crate) async fn declare(&self, queue: &str) -> Result<()> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        self.channel.queue_declare(short(queue)?, options, arguments).await?;
        Ok(())
    }

    /// How many messages are ready in a queue, asked of the queue itself.
    pub(crate) async fn ready(&self, queue: &str) -> Result<u64> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(short(queue)?, options, FieldTable::default()).await?;
        Ok(queue.message_count().into())
    }

    /// Empties a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<()> {
        self.channel.queue_purge(short(queue)?, QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// Publishes to a queue with so many in flight, each confirmed; stops early after `time`. How many were confirmed.
    pub(crate) async fn publish(
        &self,
        queue: &str,
        parcels: impl Iterator<Item = Parcel>,
        in_flight: usize,
        time: Duration,
    ) -> Result<u64> {
        let begun = tokio::time::Instant::now();
        let (mut confirmed, mut waiting) = (0, FuturesUnordered::new());
        for parcel in parcels {
            if begun.elapsed() >= time {
                break;
            }
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_message_id(short(&parcel.id.to_string())?);
            let options = BasicPublishOptions::default();
            let exchange = ShortString::default();
            // One after the other: lapin numbers a message before it queues it.
            let confirm = self
                .channel
                .basic_publish(exchange, short(queue)?, options, &parcel.body, properties)
                .await?;
            waiting.push(confirm);
            while waiting.len() >= in_flight {
                confirmed += u64::from(is_confirmed(waiting.next().await.context("nothing waits")??));
            }
        }
        while let Some(confirm) = waiting.next().await {
            confirmed += u64::from(is_confirmed(confirm?));
        }
        Ok(confirmed)
    }

    /// Takes everything out of a queue; how often each id is there, as `id_of` reads it from the body of a message, or of
    /// each event where several are one message.
    pub(crate) async fn drain(
        &self,
        queue: &str,
        mut id_of: impl FnMut(&[u8]) -> Result<Uuid>,
    ) -> Result<HashMap<Uuid, u32>> {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let tag = ShortString::default();
        let mut consumer =
            self.channel.basic_consume(short(queue)?, tag, options, FieldTable::default()).await?;
        let mut ids = HashMap::new();
        loop {
            match timeout(QUIET, consumer.next()).await {
                Ok(Some(delivery)) => {
                    for body in bodies(delivery?)? {
                        *ids.entry(id_of(&body)?).or_insert(0) += 1;
                    }
                }
                Ok(None) => bail!("{queue} was taken away"),
                // A broker that is busy may be silent for longer than that.
                Err(_) if self.ready(queue).await? == 0 => return Ok(ids),
                Err(_) => {}
            }
        }
    }
}

/// One, or those of a group.
fn bodies(delivery: Delivery) -> Result<Vec<Bytes>> {
    let content_type = delivery.properties.content_type().as_ref().map(ShortString::as_str);
    let is_group = content_type == Some(GROUP_CONTENT_TYPE);
    let body = Bytes::from(delivery.data);
    Ok(if is_group { split(body)?.into_iter().map(|part| part.body).collect() } else { vec![body] })
}

fn is_confirmed(confirmation: Confirmation) -> bool {
    matches!(confirmation, Confirmation::Ack(None))
}

fn short(text: &str) -> Result<ShortString> {
    Ok(ShortString::try_new(text)?)
}
