//! The event archive as a worker, on a real PostgreSQL.

use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{Delivery, Disposition};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, Payload, PlayerKicked, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_event_archive::EventArchive;
use matchpurse_store::parked::ParkedKind;
use matchpurse_testkit::Database;
use matchpurse_worker_kit::{Worker, WorkerOptions};

fn event(n: u32, payload: Payload) -> Result<Event> {
    let source = SourceName::parse("main")?;
    let raw = Bytes::from(format!("{{\"n\": {n}}}"));
    let id = EventId::of_delivery(&source, "POST", &raw, 0);
    Ok(Event {
        id,
        delivery_id: id,
        source,
        provider: "some".to_owned(),
        provider_type: "kind".to_owned(),
        subject: format!("match-{n}"),
        occurred_at: None,
        received_at: Timestamp::from_seconds(1_700_000_000),
        provenance: Provenance { body_authenticated: true, amount_rounded: false },
        raw,
        payload,
    })
}

fn delivery(event: &Event) -> Delivery {
    let message = Message::new(event.clone(), None);
    Delivery {
        id: Some(message.id),
        body: message.body,
        routing_key: message.routing_key,
        traceparent: None,
        redelivered: false,
    }
}

#[tokio::test]
async fn every_event_is_kept_with_its_body_and_what_nobody_can_read_is_parked_too() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = Worker::new(store.clone(), EventArchive, WorkerOptions::default());
    let kicked =
        |n| Payload::PlayerKicked(PlayerKicked { match_id: format!("match-{n}"), player_id: "7".into() });
    let strange =
        Unrecognized { kind: UnrecognizedKind::Malformed, reason: "amount: not a number".to_owned() };
    let events = [event(1, kicked(1))?, event(2, Payload::Unrecognized(strange))?, event(3, kicked(3))?];
    let batch: Vec<Delivery> = events.iter().map(delivery).collect();
    // The second time is a redelivery; the third as if the inbox had forgotten.
    for _ in 0..2 {
        assert_eq!(
            worker.process_batch(&batch).await,
            [Disposition::Ack, Disposition::Ack, Disposition::Ack]
        );
    }
    database.connection().await?.execute("DELETE FROM inbox", &[]).await?;
    assert_eq!(worker.process_batch(&batch).await, [Disposition::Ack, Disposition::Ack, Disposition::Ack]);

    let report = store.verify_chain(&SourceName::parse("main")?).await?;
    assert_eq!((report.verified, report.broken), (3, None));
    let rows =
        database.connection().await?.query("SELECT event_id, raw FROM archive ORDER BY seq", &[]).await?;
    let kept: Vec<(EventId, &[u8])> = rows.iter().map(|r| (EventId::from_uuid(r.get(0)), r.get(1))).collect();
    assert!(kept.iter().copied().eq(events.iter().map(|e| (e.id, e.raw.as_ref()))));
    let parked = store.parked(0, 10).await?;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].kind, ParkedKind::Unrecognized);
    assert_eq!(parked[0].reason, "malformed: amount: not a number");
    Ok(())
}
