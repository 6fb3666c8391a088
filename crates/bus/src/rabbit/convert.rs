//! Between our messages and AMQP's properties.

use bytes::Bytes;
use lapin::message::Delivery as AmqpDelivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, BasicProperties};
use matchpurse_contracts::topology::EVENTS_EXCHANGE;
use matchpurse_contracts::wire::{CONTENT_TYPE, Message};
use uuid::Uuid;

use super::topology::DelayLevel;
use crate::{Delivery, PublishError};

/// A retried message has its queue's name as its routing key; this header keeps the first one.
const ORIGINAL_ROUTING_KEY: &str = "x-matchpurse-original-routing-key";
const TRACEPARENT: &str = "traceparent";
/// Where the broker has taken it from so far, the last first.
const DEATHS: &str = "x-death";
const FIRST_DEATH_QUEUE: &str = "x-first-death-queue";
const FIRST_DEATH_REASON: &str = "x-first-death-reason";
/// What the broker writes about earlier stations; a retry begins anew.
const OF_THE_BROKER: [&str; 5] =
    [DEATHS, FIRST_DEATH_QUEUE, FIRST_DEATH_REASON, "x-first-death-exchange", "x-delivery-count"];

/// On disk before the confirm, in a quorum queue anyway; unset it means "in memory".
const PERSISTENT: u8 = 2;

/// All headers of a message travel in one frame, and a frame that is too long ends the connection. The headers
/// repeat what is in the body, so one that is longer than this is left out.
const HEADER_LENGTH_MAX: usize = 1024;

/// A message as it is published.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

impl Outgoing {
    pub(crate) fn event(message: Message) -> Result<Self, PublishError> {
        let mut headers = FieldTable::default();
        for (name, value) in message.headers {
            if value.len() <= HEADER_LENGTH_MAX
                && let Ok(name) = ShortString::try_new(name)
            {
                headers.insert(name, AMQPValue::LongString(value.into()));
            }
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(short(message.id.to_string())?)
            .with_type(message.payload.as_str().into())
            .with_content_type(CONTENT_TYPE.into())
            .with_app_id("matchpurse".into())
            .with_headers(headers);
        Ok(Self {
            exchange: EVENTS_EXCHANGE.into(),
            routing_key: short(message.routing_key)?,
            properties,
            body: message.body,
        })
    }

    /// The same message again, by way of a delay, to `queue`.
    pub(crate) fn retry(incoming: &Incoming, queue: &str, level: &DelayLevel) -> Result<Self, PublishError> {
        let mut headers = FieldTable::default();
        for (name, value) in incoming.properties.headers().iter().flat_map(FieldTable::inner) {
            if !OF_THE_BROKER.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        let original = incoming.delivery.routing_key.as_str();
        headers.insert(ORIGINAL_ROUTING_KEY.into(), AMQPValue::LongString(original.into()));
        let properties = incoming.properties.clone().with_delivery_mode(PERSISTENT).with_headers(headers);
        Ok(Self {
            exchange: level.name.into(),
            routing_key: short(queue)?,
            properties,
            body: incoming.delivery.body.clone(),
        })
    }

    /// What a returned message is recognized by.
    pub(crate) fn id(&self) -> Option<&ShortString> {
        self.properties.message_id().as_ref()
    }
}

/// Text that AMQP holds to 255 bytes.
fn short(text: impl Into<String>) -> Result<ShortString, PublishError> {
    ShortString::try_new(text).map_err(|error| PublishError::Broken(Box::new(error)))
}

/// A delivery with what is needed to settle it.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What a handler is given. A stranger may have published it, so anything may be missing or wrong.
    pub(crate) delivery: Delivery,
    pub(crate) acker: Acker,
    properties: BasicProperties,
}

impl From<AmqpDelivery> for Incoming {
    fn from(incoming: AmqpDelivery) -> Self {
        let AmqpDelivery { properties, data, acker, routing_key, redelivered, .. } = incoming;
        let id = properties.message_id().as_ref().and_then(|id| Uuid::try_parse(id.as_str()).ok());
        let original = text_header(&properties, ORIGINAL_ROUTING_KEY);
        let delivery = Delivery {
            id,
            body: data.into(),
            traceparent: text_header(&properties, TRACEPARENT),
            // The broker's own mark is lost when a message passes a delay.
            redelivered: redelivered || original.is_some(),
            routing_key: original.unwrap_or_else(|| routing_key.into()),
            // Replays come by the spool. What a stranger writes into the headers asks for nothing.
            replay: None,
        };
        Self { delivery, acker, properties }
    }
}

impl Incoming {
    /// The queue that gave a dead letter up, and why: `delivery_limit`, `rejected`. The last one that did: on its way a
    /// retried message has left a delay too, because its time was over, and that says nothing.
    pub(crate) fn last_death(&self) -> Option<(String, String)> {
        let headers = self.properties.headers().as_ref()?;
        if let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get(DEATHS)
            && let Some(AMQPValue::FieldTable(last)) = deaths.as_slice().first()
            && let (Some(queue), Some(reason)) = (text(last, "queue"), text(last, "reason"))
        {
            return Some((queue, reason));
        }
        Some((text(headers, FIRST_DEATH_QUEUE)?, text(headers, FIRST_DEATH_REASON)?))
    }
}

fn text_header(properties: &BasicProperties, name: &str) -> Option<String> {
    text(properties.headers().as_ref()?, name)
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}
