//! Several events in one message of the broker.
//!
//! The broker's price is by the message, not by the event; so what has to wait for the broker anyway travels together.
//! Every event of a group keeps what it would have had as a message of its own: id, headers, bytes.

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, check_wire_type, decode_key, decode_varint, skip_field};
use uuid::Uuid;

use crate::v1;
use crate::wire::Message;

/// The content type of a message that is a group.
pub const GROUP_CONTENT_TYPE: &str = "application/vnd.matchpurse.event-group+protobuf";

/// No publisher of ours puts more bytes, events or common headers together. What does is not taken apart: a few bytes
/// could ask for any amount of memory.
const BYTES_MAX: usize = 1024 * 1024;
/// The most events of a group.
pub const GROUP_EVENTS_MAX: usize = 1024;
const HEADERS_MAX: usize = 32;

/// Of [`v1::EventGroup`].
const HEADERS: u32 = 100;
const EVENTS: u32 = 101;

/// Events that travel as one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The message's id: none of the events', and the same when the same events are put together again.
    pub id: Uuid,
    /// The message's routing key: the first event's.
    pub routing_key: String,
    /// The bytes of a [`v1::EventGroup`].
    pub body: Bytes,
}

/// One event of a group, as if it had come alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The event's id; none when what stands there is no id.
    pub id: Option<Uuid>,
    /// CloudEvents attributes and `traceparent`.
    pub headers: Vec<(String, String)>,
    /// The bytes of a [`v1::Event`], not decoded.
    pub body: Bytes,
    /// The key that it would have been published with; none: that of the group's message.
    pub routing_key: Option<String>,
}

/// Why bytes are no group.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GroupError {
    /// Not protobuf of this message.
    #[error("the body is not a protobuf group of events")]
    Protobuf(#[from] prost::DecodeError),
    /// A field says that it is longer than what is left.
    #[error("the group of events is cut short")]
    Short,
    /// A group of nothing is never sent, and one of so much neither.
    #[error("no group of ours has no event, or so many")]
    Count,
}

impl Group {
    /// Puts events together, in this order. The queues that want the first one have to want them all.
    pub fn new(messages: Vec<Message>) -> Self {
        // Rotated, so that the order counts, and one event twice is not nothing.
        let mixed = messages.iter().fold(0, |mix: u128, message| mix.rotate_left(7) ^ message.id.as_u128());
        let id = Uuid::new_v8((!mixed).to_be_bytes());
        let alike = alike(&messages);
        let headers = messages.first().map_or(&[][..], |first| &first.headers);
        let headers =
            headers.iter().zip(&alike).filter(|(_, alike)| **alike).map(|(of_all, _)| of_all.clone());
        let headers = headers.map(header).collect();
        let routing_key = messages.first().map_or_else(String::new, |first| first.routing_key.clone());
        let events = messages
            .into_iter()
            .map(|message| {
                let own = message.headers.into_iter().enumerate();
                let own = own.filter(|(at, _)| !alike.get(*at).is_some_and(|alike| *alike));
                v1::GroupedEvent {
                    id: message.id.to_string(),
                    headers: own.map(|(_, own)| header(own)).collect(),
                    event: message.body,
                    routing_key: if message.routing_key == routing_key {
                        String::new()
                    } else {
                        message.routing_key
                    },
                }
            })
            .collect();
        Self { id, routing_key, body: v1::EventGroup { headers, events }.encode_to_vec().into() }
    }
}

/// Which headers of the first message, by their places, all others have at the same place.
fn alike(messages: &[Message]) -> Vec<bool> {
    let Some((first, others)) = messages.split_first() else { return Vec::new() };
    let of_all = |(at, header)| others.iter().all(|other| other.headers.get(at) == Some(header));
    first.headers.iter().enumerate().map(of_all).collect()
}

fn header((name, value): (String, String)) -> v1::Header {
    v1::Header { name, value }
}

/// Takes a group apart. The parts share its memory.
///
/// # Errors
/// [`GroupError`]: then it is to be treated like one event that cannot be read.
pub fn split(mut body: Bytes) -> Result<Vec<Part>, GroupError> {
    if body.len() > BYTES_MAX {
        return Err(GroupError::Count);
    }
    let (mut of_all, mut parts) = (Vec::new(), Vec::new());
    // By hand, to count before there is memory for them.
    while body.has_remaining() {
        let (field, wire_type) = decode_key(&mut body)?;
        if !matches!(field, HEADERS | EVENTS) {
            skip_field(wire_type, field, &mut body, prost::encoding::DecodeContext::default())?;
            continue;
        }
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let bytes = take(&mut body)?;
        if parts.len() >= GROUP_EVENTS_MAX || of_all.len() >= HEADERS_MAX {
            return Err(GroupError::Count);
        }
        if field == HEADERS {
            let v1::Header { name, value } = v1::Header::decode(bytes)?;
            of_all.push((name, value));
        } else {
            parts.push(v1::GroupedEvent::decode(bytes)?);
        }
    }
    if parts.is_empty() {
        return Err(GroupError::Count);
    }
    let whole = |event: v1::GroupedEvent| {
        let own = event.headers.into_iter().map(|v1::Header { name, value }| (name, value));
        Part {
            id: Uuid::try_parse(&event.id).ok(),
            headers: of_all.iter().cloned().chain(own).collect(),
            body: event.event,
            routing_key: Some(event.routing_key).filter(|key| !key.is_empty()),
        }
    };
    Ok(parts.into_iter().map(whole).collect())
}

fn take(body: &mut Bytes) -> Result<Bytes, GroupError> {
    let length = usize::try_from(decode_varint(body)?).map_err(|_| GroupError::Short)?;
    if length <= body.len() { Ok(body.split_to(length)) } else { Err(GroupError::Short) }
}
