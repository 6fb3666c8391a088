//! An event as it travels: protobuf bytes with the properties that a broker and a stranger can read.

use bytes::Bytes;
use matchpurse_domain::event::{Event, PayloadName};
use prost::Message as _;
use uuid::Uuid;

use crate::topology::routing_key;
use crate::{ConvertError, v1};

/// The content type of a message's body.
pub const CONTENT_TYPE: &str = "application/protobuf";

/// The prefix of the CloudEvents attributes among the headers. The binding is for AMQP 1.0; on 0-9-1 the
/// same mapping is our convention.
pub const CLOUD_EVENTS_PREFIX: &str = "cloudEvents:";

/// The header of a message that is a replay: the replay's id. It says that the event is to be applied although a worker
/// may have seen it; what it did then, it does not do again, because every effect has a key of its own.
pub const REPLAY_HEADER: &str = "matchpurse-replay";

/// An event, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id: `message_id`.
    pub id: Uuid,
    /// Which payload it has: `type`, and the first word of the routing key.
    pub payload: PayloadName,
    /// `{payload}.{provider}.{source}.{slot}`
    pub routing_key: String,
    /// CloudEvents attributes and `traceparent`.
    pub headers: Vec<(String, String)>,
    /// The protobuf bytes.
    pub body: Bytes,
}

impl Message {
    /// Encodes an event. `traceparent` is the W3C trace context of the request that brought it.
    pub fn new(event: Event, traceparent: Option<&str>) -> Self {
        let payload = event.payload.name();
        let mut headers: Vec<(String, String)> = [
            ("specversion", "1.0".to_owned()),
            ("id", event.id.to_string()),
            ("source", format!("/sources/{}", event.source)),
            ("type", format!("matchpurse.events.v1.{}", payload.as_str())),
            ("subject", event.subject.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (format!("{CLOUD_EVENTS_PREFIX}{name}"), value))
        .collect();
        if let Some(traceparent) = traceparent {
            headers.push(("traceparent".to_owned(), traceparent.to_owned()));
        }
        Self {
            id: event.id.uuid(),
            payload,
            routing_key: routing_key(payload, &event.provider, event.source.as_str(), &event.subject),
            headers,
            body: encode(event),
        }
    }

    /// The same message as a part of the replay with this id.
    #[must_use]
    pub fn replayed(mut self, replay: Uuid) -> Self {
        self.headers.push((REPLAY_HEADER.to_owned(), replay.to_string()));
        self
    }
}

/// Why bytes are no event.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of this message.
    #[error("the body is not a protobuf event")]
    Protobuf(#[from] prost::DecodeError),
    /// Protobuf, but not an event that we can take.
    #[error("the event cannot be taken")]
    Convert(#[from] ConvertError),
}

/// Reads a message's body.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(body: &[u8]) -> Result<Event, DecodeError> {
    Ok(Event::try_from(v1::Event::decode(body)?)?)
}

/// As [`decode`], without a copy of the body that brought the event: it shares the memory of `body`, and keeps it.
///
/// # Errors
/// As [`decode`].
pub fn decode_shared(body: &Bytes) -> Result<Event, DecodeError> {
    Ok(Event::try_from(v1::Event::decode(body.clone())?)?)
}

/// The bytes of an event, as a message has them.
pub fn encode(event: Event) -> Bytes {
    v1::Event::from(event).encode_to_vec().into()
}
