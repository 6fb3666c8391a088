//! Between our messages and AMQP's properties.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use lapin::message::Delivery as AmqpDelivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, BasicProperties};
use matchpurse_contracts::group::{GROUP_CONTENT_TYPE, Group, Part, split};
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
        let properties = properties(Some(message.id), CONTENT_TYPE, table(message.headers))?;
        Ok(Self {
            exchange: EVENTS_EXCHANGE.into(),
            routing_key: short(message.routing_key)?,
            properties: properties.with_type(message.payload.as_str().into()),
            body: message.body,
        })
    }

    /// Several events of one payload in one message, for the queues that want the first one.
    pub(crate) fn group(messages: Vec<Message>) -> Result<Self, PublishError> {
        let payload = messages.first().map_or("", |first| first.payload.as_str());
        let Group { id, routing_key, body } = Group::new(messages);
        let properties = properties(Some(id), GROUP_CONTENT_TYPE, FieldTable::default())?;
        Ok(Self {
            exchange: EVENTS_EXCHANGE.into(),
            routing_key: short(routing_key)?,
            properties: properties.with_type(payload.into()),
            body,
        })
    }

    /// The same event again, alone and by way of a delay, to `queue`.
    pub(crate) fn retry(incoming: &Incoming, queue: &str, level: &DelayLevel) -> Result<Self, PublishError> {
        let mut headers = incoming.headers();
        let original = incoming.delivery.routing_key.as_str();
        headers.insert(ORIGINAL_ROUTING_KEY.into(), AMQPValue::LongString(original.into()));
        Ok(Self {
            exchange: level.name.into(),
            routing_key: short(queue)?,
            properties: incoming.properties()?.with_headers(headers),
            body: incoming.delivery.body.clone(),
        })
    }

    /// What a returned message is recognized by.
    pub(crate) fn id(&self) -> Option<&ShortString> {
        self.properties.message_id().as_ref()
    }
}

/// Of a message that we make.
fn properties(
    id: Option<Uuid>,
    content_type: &'static str,
    headers: FieldTable,
) -> Result<BasicProperties, PublishError> {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(content_type.into())
        .with_app_id("matchpurse".into())
        .with_headers(headers);
    Ok(match id {
        Some(id) => properties.with_message_id(short(id.to_string())?),
        None => properties,
    })
}

fn table(headers: impl IntoIterator<Item = (String, String)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if value.len() <= HEADER_LENGTH_MAX
            && let Ok(name) = ShortString::try_new(name)
        {
            table.insert(name, AMQPValue::LongString(value.into()));
        }
    }
    table
}

/// Text that AMQP holds to 255 bytes.
fn short(text: impl Into<String>) -> Result<ShortString, PublishError> {
    ShortString::try_new(text).map_err(|error| PublishError::Broken(Box::new(error)))
}

/// A message as it came, with what is needed to settle it. All its events share it.
#[derive(Debug)]
struct Envelope {
    acker: Acker,
    properties: BasicProperties,
    /// One of its events could not be kept anywhere else, so the whole goes back. The others come again with it, which
    /// workers expect.
    goes_back: AtomicBool,
}

/// An event that came, alone or in a group.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What a handler is given. A stranger may have published it, so anything may be missing or wrong.
    pub(crate) delivery: Delivery,
    envelope: Arc<Envelope>,
    /// Those that it has in its group; none: those of the message.
    headers: Option<Vec<(String, String)>>,
    /// With this one the message is dealt with.
    last: bool,
}

impl Incoming {
    /// The events of a message, at least one. A group that cannot be taken apart is one event that cannot be read: the
    /// handler sees that, and it is parked whole.
    pub(crate) fn of(incoming: AmqpDelivery) -> Vec<Self> {
        let AmqpDelivery { properties, data, acker, routing_key, redelivered, .. } = incoming;
        let envelope = Arc::new(Envelope { acker, properties, goes_back: AtomicBool::new(false) });
        let properties = &envelope.properties;
        let original = text_header(properties, ORIGINAL_ROUTING_KEY);
        // The broker's own mark is lost when a message passes a delay.
        let redelivered = redelivered || original.is_some();
        let (body, routing_key) = (Bytes::from(data), original.unwrap_or_else(|| routing_key.into()));
        let is_group = properties.content_type().as_ref().is_some_and(|it| it.as_str() == GROUP_CONTENT_TYPE);
        if is_group && let Ok(parts) = split(body.clone()) {
            let count = parts.len();
            let one = |(at, Part { id, headers, body, routing_key: own }): (usize, Part)| {
                let traceparent = headers.iter().find(|(name, _)| name == TRACEPARENT);
                let traceparent = traceparent.map(|(_, value)| value.clone());
                let routing_key = own.unwrap_or_else(|| routing_key.clone());
                // Replays come by the spool. What a stranger writes into the headers asks for nothing.
                let delivery = Delivery { id, body, routing_key, traceparent, redelivered, replay: None };
                let (envelope, last) = (Arc::clone(&envelope), at + 1 == count);
                Self { delivery, envelope, headers: Some(headers), last }
            };
            return parts.into_iter().enumerate().map(one).collect();
        }
        let id = properties.message_id().as_ref().and_then(|id| Uuid::try_parse(id.as_str()).ok());
        let traceparent = text_header(properties, TRACEPARENT);
        let delivery = Delivery { id, body, routing_key, traceparent, redelivered, replay: None };
        vec![Self { delivery, envelope, headers: None, last: true }]
    }

    /// It could not be kept anywhere else: its message goes back.
    pub(crate) fn goes_back(&self) {
        self.envelope.goes_back.store(true, Ordering::Relaxed);
    }

    /// When this is the last event of its message: what it is settled by, and whether it goes back.
    pub(crate) fn settles(&self) -> Option<(&Acker, bool)> {
        let Envelope { acker, goes_back, .. } = &*self.envelope;
        self.last.then(|| (acker, goes_back.load(Ordering::Relaxed)))
    }

    /// Its own, without what the broker adds on the way.
    fn headers(&self) -> FieldTable {
        if let Some(headers) = &self.headers {
            return table(headers.iter().cloned());
        }
        let mut headers = FieldTable::default();
        for (name, value) in self.envelope.properties.headers().iter().flat_map(FieldTable::inner) {
            if !OF_THE_BROKER.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        headers
    }

    /// As if it had come alone.
    fn properties(&self) -> Result<BasicProperties, PublishError> {
        let of_message = &self.envelope.properties;
        if self.headers.is_none() {
            return Ok(of_message.clone().with_delivery_mode(PERSISTENT));
        }
        let alone = properties(self.delivery.id, CONTENT_TYPE, FieldTable::default())?;
        // One of a group has the payload of all.
        Ok(match of_message.kind() {
            Some(payload) => alone.with_type(payload.clone()),
            None => alone,
        })
    }

    /// The queue that gave a dead letter up, and why: `delivery_limit`, `rejected`. The last one that did: on its way a
    /// retried message has left a delay too, because its time was over, and that says nothing.
    pub(crate) fn last_death(&self) -> Option<(String, String)> {
        let headers = self.envelope.properties.headers().as_ref()?;
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
