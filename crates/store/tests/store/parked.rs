use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{Delivery, FailureLog as _, ParkedDelivery};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_contracts::wire;
use matchpurse_store::Store;
use matchpurse_store::parked::{self, ParkedKind, Resolution};
use matchpurse_testkit::Database;

use crate::samples::{event, unreadable};

fn delivery(id: Option<uuid::Uuid>, body: &'static str) -> Delivery {
    Delivery {
        id,
        body: Bytes::from_static(body.as_bytes()),
        routing_key: "match_snapshot.lucra.s".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        redelivered: false,
        replay: None,
    }
}

fn parked<'d>(queue: &'d str, delivery: &'d Delivery) -> ParkedDelivery<'d> {
    ParkedDelivery { queue, delivery, reason: "it broke\0: because", by_broker: queue == DEAD_LETTER_QUEUE }
}

/// Resolves a parked delivery; the code with which the database refuses, if it does.
async fn resolve(store: &Store, id: i64, resolution: Resolution) -> Result<Option<String>> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let done = parked::resolve_in_tx(&tx, id, resolution, "ops", "it was our mistake", &[]).await;
    match done {
        Ok(()) => tx.commit().await.map(|()| None).map_err(Into::into),
        Err(error) => Ok(error.code().map(str::to_owned)),
    }
}

#[tokio::test]
async fn a_delivery_is_parked_once_a_queue_until_it_is_resolved() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let one = delivery(Some(event("s", 1).id.uuid()), "one");
    let escrow = Queue::MatchEscrow.name();
    store.park(&[parked(escrow, &one), parked(escrow, &one)]).await?;
    store.park(&[parked(escrow, &one), parked(DEAD_LETTER_QUEUE, &one)]).await?;
    let open = store.parked(0, 10).await?;
    assert_eq!(open.len(), 2);
    let technical = open.iter().find(|p| p.kind == ParkedKind::Technical).unwrap();
    assert_eq!((technical.queue.as_str(), technical.body.as_slice()), (escrow, b"one".as_slice()));
    assert_eq!(technical.traceparent, one.traceparent);
    assert_eq!(open.iter().filter(|p| p.kind == ParkedKind::DeadLetter).count(), 1);

    assert_eq!(resolve(&store, technical.id, Resolution::Replayed).await?, None);
    let refused = resolve(&store, technical.id, Resolution::Discarded).await?;
    assert_eq!(refused.as_deref(), Some("ES024"), "the first resolution stays");
    let resolved = store.parked_by_id(technical.id).await?.unwrap().resolved.unwrap();
    assert_eq!((resolved.resolution.as_str(), resolved.by.as_str()), ("replayed", "ops"));
    assert_eq!(resolved.reason, "it was our mistake");
    assert_eq!(store.parked_open().await?, 1);
    store.park(&[parked(escrow, &one)]).await?;
    assert_eq!(store.parked_open().await?, 2, "what fails again after a replay is visible again");
    Ok(())
}

#[tokio::test]
async fn a_strangers_message_without_an_id_is_known_by_its_body() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (one, two) = (delivery(None, "one"), delivery(None, "two"));
    let queue = Queue::PlayerStats.name();
    store.park(&[parked(queue, &one), parked(queue, &two)]).await?;
    store.park(&[parked(queue, &two)]).await?;
    assert_eq!(store.parked_open().await?, 2);
    Ok(())
}

/// Whatever a stranger writes into the names of a message, it is parked, and so are its neighbours.
#[tokio::test]
async fn a_strangers_message_is_parked_whatever_its_names_hold() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let long = "\0é".repeat(100_000);
    let strange = Delivery {
        routing_key: long.clone(),
        traceparent: Some(format!("00-\0-{long}")),
        ..delivery(None, "strange")
    };
    let fine = delivery(None, "fine");
    let elsewhere = ParkedDelivery { queue: &long, delivery: &strange, reason: &long, by_broker: false };
    store.park(&[parked(DEAD_LETTER_QUEUE, &strange), parked(DEAD_LETTER_QUEUE, &fine), elsewhere]).await?;
    let open = store.parked(0, 10).await?;
    assert_eq!(open.len(), 3);
    let strange = open.iter().find(|p| p.queue != DEAD_LETTER_QUEUE).unwrap();
    assert!(strange.routing_key.starts_with("\u{FFFD}é\u{FFFD}é"));
    assert_eq!(strange.queue.chars().count(), 255);
    assert_eq!(strange.routing_key.chars().count(), 255);
    assert_eq!(strange.traceparent.as_ref().unwrap().chars().count(), 255);
    assert_eq!(strange.reason.chars().count(), 4_000);
    Ok(())
}

#[tokio::test]
async fn what_nobody_can_read_is_parked_with_its_event() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let strange = unreadable("s", 2);
    let mut client = store.client().await?;
    for _ in 0..2 {
        let tx = client.begin().await?;
        let events = [event("s", 1), strange.clone()];
        parked::park_unrecognized_in_tx(&tx, Queue::EventArchive, &events).await?;
        tx.commit().await?;
    }
    let open = store.parked(0, 10).await?;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].kind, ParkedKind::Unrecognized);
    assert_eq!(open[0].reason, "unknown_type: event: \"Tornado\" is not known");
    assert_eq!(wire::decode(&open[0].body)?, strange, "a replay has all that there was");
    Ok(())
}
