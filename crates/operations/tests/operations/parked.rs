//! Parked deliveries, replayed and discarded.

use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{Delivery, Destination, FailureLog as _, ParkedDelivery, Spool as _, Spooled};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_contracts::wire::{CLOUD_EVENTS_PREFIX, Message, REPLAY_HEADER, decode};
use matchpurse_domain::event::{
    Event, Kept, KeyRole, Method, Payload, PayloadName, PlayerKicked, Provenance, Unrecognized,
    UnrecognizedKind, Vouched,
};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_event_archive::EventArchive;
use matchpurse_operations::parked::{Author, Error, Outlet, discard, replay};
use matchpurse_store::Store;
use matchpurse_store::parked::{ParkedFilter, ParkedKind};
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn ann() -> Author {
    Author { actor: "ann".to_owned(), reason: "the adapter was repaired".to_owned() }
}

fn event(payload: Payload, vouched: bool) -> Event {
    let source = SourceName::parse("games").unwrap();
    let raw = Bytes::from_static(b"{\"new\":1}");
    let id = EventId::of_delivery(&source, "POST", &raw, 0);
    let vouched = vouched.then_some(Vouched { method: Method::Post, key: KeyRole::Webhook, which: None });
    Event {
        id,
        delivery_id: id,
        source,
        provider: "any".to_owned(),
        provider_type: "SomethingNew".to_owned(),
        subject: "m1".to_owned(),
        occurred_at: None,
        received_at: NOW,
        provenance: Provenance { body_authenticated: true, amount_rounded: false, vouched },
        raw,
        payload,
    }
}

fn kick() -> Payload {
    Payload::PlayerKicked(PlayerKicked { match_id: "m1".to_owned(), player_id: "p".into() })
}

fn unread() -> Payload {
    let reason = "type: \"SomethingNew\" is none that we know".to_owned();
    Payload::Unrecognized(Unrecognized { kind: UnrecognizedKind::UnknownType, reason })
}

/// Archives an event that nobody could read, which parks it; returns its number.
async fn park_unread(store: &Store, vouched: bool) -> Result<i64> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    EventArchive.apply_in_tx(&tx, &[event(unread(), vouched)], NOW).await?;
    tx.commit().await?;
    Ok(store.parked(0, 1).await?[0].id)
}

/// What today's adapter makes of it.
fn as_a_kick(kept: &Kept) -> Result<Vec<Event>, String> {
    assert_eq!(kept.vouched(), Vouched { method: Method::Post, key: KeyRole::Webhook, which: None });
    assert_eq!(kept.event().raw, &b"{\"new\":1}"[..], "the body as it was archived");
    let id = EventId::of_reading(kept.event().delivery_id, 0);
    Ok(vec![Event { id, raw: Bytes::new(), ..event(kick(), true) }])
}

fn not_at_all(_: &Kept) -> Result<Vec<Event>, String> {
    Err("it cannot be read today either: who knows".to_owned())
}

async fn spooled(store: &Store, destination: Destination) -> Result<Vec<Spooled>> {
    Ok(store.spool(100).claim(destination, 100, Duration::from_secs(60)).await?)
}

#[tokio::test]
async fn what_nobody_could_read_is_published_as_what_it_is_today() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let id = park_unread(&store, true).await?;

    let refused = replay(&store, id, &ann(), &not_at_all, Outlet::Broker).await.unwrap_err();
    assert_eq!(refused.to_string(), "it cannot be read today either: who knows");
    assert_eq!(store.parked_open().await?, 1, "it waits for a better day");

    let done = replay(&store, id, &ann(), &as_a_kick, Outlet::Broker).await?;
    let delivery = event(kick(), true).delivery_id;
    assert_eq!(done.events, [EventId::of_reading(delivery, 0)], "the archived event stays what it was");
    let resolved = done.parked.resolved.unwrap();
    assert_eq!((resolved.resolution.as_str(), resolved.by.as_str()), ("replayed", "ann"));
    assert_eq!(
        (resolved.reason.as_str(), resolved.became),
        ("the adapter was repaired", vec![done.events[0].uuid()])
    );

    // Asked for again, it is not done again, and cannot be taken back.
    assert!(replay(&store, id, &ann(), &not_at_all, Outlet::Broker).await?.repeated);
    let refused = discard(&store, id, &ann()).await.unwrap_err();
    assert!(matches!(refused, Error::Resolved { .. }), "{refused:?}");
    let waiting = spooled(&store, Destination::Broker).await?;
    assert_eq!(waiting.len(), 1, "and is on its way once");
    let message = &waiting[0].message;
    assert_eq!((message.id, message.payload), (done.events[0].uuid(), PayloadName::PlayerKicked));
    assert_eq!(message.routing_key, "player_kicked.any.games.1", "the event's own, with its slot");
    assert!(message.headers.iter().all(|(name, _)| name != REPLAY_HEADER), "nobody has seen it yet");

    // What came of it is archived beside what came; the archive's worker knows neither its id nor its meaning.
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    EventArchive.apply_in_tx(&tx, &[decode(&message.body)?], NOW).await?;
    tx.commit().await?;
    let archived = store.archived_of(&SourceName::parse("games")?, None, 0, 10).await?;
    let names: Vec<PayloadName> = archived.iter().map(|archived| archived.event.payload.name()).collect();
    assert_eq!(names, [PayloadName::Unrecognized, PayloadName::PlayerKicked]);
    Ok(())
}

#[tokio::test]
async fn without_a_broker_it_goes_to_the_workers_that_want_it() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let id = park_unread(&store, true).await?;
    replay(&store, id, &ann(), &as_a_kick, Outlet::Workers).await?;
    for queue in Queue::ALL {
        let wants = matches!(queue, Queue::PlayerStats | Queue::EventArchive);
        assert_eq!(spooled(&store, Destination::Worker(queue)).await?.len(), usize::from(wants), "{queue:?}");
    }
    Ok(())
}

/// Nobody can say with which key it came, so nobody can say how it was to be read.
#[tokio::test]
async fn what_nobody_vouched_for_by_name_is_not_read_again() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let id = park_unread(&store, false).await?;
    let refused = replay(&store, id, &ann(), &as_a_kick, Outlet::Broker).await.unwrap_err();
    assert!(matches!(refused, Error::NotArchived), "{refused:?}");
    let done = discard(&store, id, &ann()).await?;
    assert_eq!(done.parked.resolved.unwrap().resolution, "discarded");
    assert!(spooled(&store, Destination::Broker).await?.is_empty());
    Ok(())
}

fn failed(body: Bytes) -> Delivery {
    Delivery {
        id: None,
        body,
        routing_key: "player_kicked.any.games".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        redelivered: false,
        replay: None,
    }
}

#[tokio::test]
async fn what_a_worker_could_not_apply_is_for_that_worker_again_byte_for_byte() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let delivery = failed(Message::new(event(kick(), true), None).body);
    let parked =
        |queue, by_broker| ParkedDelivery { queue, delivery: &delivery, reason: "it broke", by_broker };
    store.park(&[parked(Queue::PlayerStats.name(), false), parked(DEAD_LETTER_QUEUE, true)]).await?;
    let filter = ParkedFilter { kind: Some(ParkedKind::Technical), ..ParkedFilter::default() };
    let [technical] = store.parked_before(&filter, None, 10).await?.try_into().unwrap();
    assert_eq!(
        (technical.source.as_deref(), technical.event_type.as_deref()),
        (Some("games"), Some("SomethingNew"))
    );

    replay(&store, technical.id, &ann(), &not_at_all, Outlet::Broker).await?;
    let waiting = spooled(&store, Destination::Worker(Queue::PlayerStats)).await?;
    let message = &waiting[0].message;
    assert_eq!(
        (waiting.len(), &message.body, &message.routing_key),
        (1, &delivery.body, &delivery.routing_key)
    );
    let header =
        |name: &str| message.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert!(header(REPLAY_HEADER).is_some(), "the inbox does not stop it");
    assert_eq!(header("traceparent"), delivery.traceparent);
    assert_eq!(header(&format!("{CLOUD_EVENTS_PREFIX}subject")).as_deref(), Some("m1"));
    assert!(spooled(&store, Destination::Worker(Queue::EventArchive)).await?.is_empty(), "it has it");

    // Of a dead letter nobody knows whose it was: everybody who wants it gets it.
    let filter = ParkedFilter { kind: Some(ParkedKind::DeadLetter), ..ParkedFilter::default() };
    let [dead] = store.parked_before(&filter, None, 10).await?.try_into().unwrap();
    replay(&store, dead.id, &ann(), &not_at_all, Outlet::Broker).await?;
    assert_eq!(spooled(&store, Destination::Worker(Queue::PlayerStats)).await?.len(), 1);
    assert_eq!(spooled(&store, Destination::Worker(Queue::EventArchive)).await?.len(), 1);
    assert_eq!(store.parked_open().await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_no_event_can_only_be_discarded() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let delivery = failed(Bytes::from_static(b"no protobuf"));
    let queue = Queue::MatchEscrow.name();
    store
        .park(&[ParkedDelivery { queue, delivery: &delivery, reason: "not ours", by_broker: false }])
        .await?;
    let id = store.parked(0, 1).await?[0].id;
    let refused = replay(&store, id, &ann(), &not_at_all, Outlet::Broker).await.unwrap_err();
    assert!(matches!(refused, Error::NoEvent(_)), "{refused:?}");
    assert_eq!(store.parked_open().await?, 1);
    discard(&store, id, &ann()).await?;
    assert!(matches!(replay(&store, 99, &ann(), &not_at_all, Outlet::Broker).await, Err(Error::NoParked)));
    Ok(())
}
