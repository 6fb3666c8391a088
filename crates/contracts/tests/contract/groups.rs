//! Several events in one message.

use bytes::Bytes;
use matchpurse_contracts::group::{GROUP_EVENTS_MAX, Group, GroupError, Part, split};
use matchpurse_contracts::v1;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_domain::event::Event;
use prost::Message as _;
use uuid::Uuid;

use crate::samples;

/// Events of one kind that differ in subject and trace context; one is a replay.
fn three() -> Vec<Message> {
    let event = samples::all().remove(0);
    let of = |subject: &str, trace: Option<&str>| {
        Message::new(Event { subject: subject.to_owned(), ..event.clone() }, trace)
    };
    vec![
        of("subject-1", Some("00-1-2-01")),
        of("subject-2", Some("00-3-4-01")),
        of("subject-3", None).replayed(Uuid::from_u128(7)),
    ]
}

fn sorted(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.sort();
    headers
}

#[test]
fn each_event_of_a_group_keeps_its_bytes_its_id_and_its_headers() {
    let messages = three();
    let Group { routing_key: group_key, body, .. } = Group::new(messages.clone());
    let parts = split(body).unwrap();
    assert_eq!(parts.len(), messages.len());
    for (part, message) in parts.into_iter().zip(messages) {
        assert_eq!((part.id, &part.body), (Some(message.id), &message.body));
        assert_eq!(part.routing_key.unwrap_or_else(|| group_key.clone()), message.routing_key);
        assert_eq!(sorted(part.headers), sorted(message.headers));
        decode(&part.body).unwrap();
    }
}

#[test]
fn what_all_have_alike_stands_once() {
    let group = v1::EventGroup::decode(Group::new(three()).body).unwrap();
    let of_all: Vec<&str> = group.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(
        of_all,
        ["cloudEvents:specversion", "cloudEvents:id", "cloudEvents:source", "cloudEvents:type"]
    );
    let own: Vec<&str> = group.events[0].headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(own, ["cloudEvents:subject", "traceparent"]);
}

#[test]
fn a_group_has_an_id_of_its_own_that_follows_from_its_events() {
    let messages = three();
    let group = Group::new(messages.clone());
    assert_eq!(Group::new(messages.clone()), group);
    assert!(messages.iter().all(|message| message.id != group.id));
    // These three have one id, because the body decides about it.
    assert_ne!(Group::new(messages[..2].to_vec()).id, group.id);
}

/// Neither is read as the other, so a reader that knows no groups parks one instead of applying something else.
#[test]
fn a_group_is_no_event_and_an_event_is_no_group() {
    let group = Group::new(three());
    assert!(decode(&group.body).is_err());
    for event in samples::all() {
        assert_eq!(split(Message::new(event, None).body), Err(GroupError::Count));
    }
}

#[test]
fn what_is_no_group_is_an_error_wherever_it_is_cut_or_bent() {
    let whole = Group::new(three()).body;
    let ends: Vec<usize> = (0..whole.len()).filter(|end| split(whole.slice(..*end)).is_ok()).collect();
    // Between two events it is a shorter group: whoever can cut there could as well have left them out.
    assert_eq!(ends.len(), 2, "{ends:?}");
    for at in 0..whole.len() {
        let mut bent = whole.to_vec();
        bent[at] ^= 0xFF;
        // Nothing to assert but that it ends: other bytes may be another group.
        split(bent.into()).ok();
    }
    assert_eq!(split(Bytes::new()), Err(GroupError::Count));
}

#[test]
fn what_asks_for_more_memory_than_it_brings_is_not_taken_apart() {
    let empty =
        |events| v1::EventGroup { headers: Vec::new(), events: vec![v1::GroupedEvent::default(); events] };
    let of = |events| split(empty(events).encode_to_vec().into());
    let nothing = Part { id: None, headers: Vec::new(), body: Bytes::new(), routing_key: None };
    assert_eq!(of(2), Ok(vec![nothing.clone(), nothing]));
    assert_eq!(of(GROUP_EVENTS_MAX).map(|parts| parts.len()), Ok(GROUP_EVENTS_MAX));
    assert_eq!(of(GROUP_EVENTS_MAX + 1), Err(GroupError::Count));
    assert_eq!(split(vec![0; 2 * 1024 * 1024].into()), Err(GroupError::Count));
}
