//! The event archive as a worker and as a program, on a real PostgreSQL and RabbitMQ.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use matchpurse_bus::{BusOptions, Delivery, Disposition, Publisher as _, RabbitTransport};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, Payload, PlayerKicked, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_event_archive::{EventArchive, prune};
use matchpurse_store::parked::ParkedKind;
use matchpurse_testkit::{Database, Vhost};
use matchpurse_worker_kit::{Worker, WorkerOptions};
use tokio::process::{Child, Command};

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
        provenance: Provenance { body_authenticated: true, amount_rounded: false, vouched: None },
        raw,
        payload,
    })
}

fn kicked(n: u32) -> Payload {
    Payload::PlayerKicked(PlayerKicked { match_id: format!("match-{n}"), player_id: "7".into() })
}

fn delivery(event: &Event) -> Delivery {
    let message = Message::new(event.clone(), None);
    Delivery {
        id: Some(message.id),
        body: message.body,
        routing_key: message.routing_key,
        traceparent: None,
        redelivered: false,
        replay: None,
    }
}

#[tokio::test]
async fn every_event_is_kept_with_its_body_and_what_nobody_can_read_is_parked_too() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = Worker::new(store.clone(), EventArchive, WorkerOptions::default());
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

/// A day's rows that have grown old go in one turn, in small transactions, and a turn has an end.
#[tokio::test]
async fn the_inbox_is_pruned_as_fast_as_it_grew_old() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let connection = database.connection().await?;
    let old =
        "INSERT INTO inbox SELECT 'w', gen_random_uuid(), now() - make_interval(days => 20 + n, hours => 1)
                 FROM generate_series(1, 35) n";
    connection.execute(old, &[]).await?;
    assert_eq!(prune(&store, 4, 3, || false).await?, 12, "a turn ends");
    assert_eq!(prune(&store, 4, 3, || true).await?, 4, "shutdown ends it sooner");
    assert_eq!(prune(&store, 4, 100, || false).await?, 10);
    let left = "SELECT count(*) FROM inbox WHERE seen_at > now() - make_interval(days => 30)";
    assert_eq!(connection.query_one(left, &[]).await?.get::<_, i64>(0), 9);
    // However many rows there are, the old ones are read from their end of the index.
    connection.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await?;
    let how =
        "EXPLAIN SELECT ctid FROM inbox WHERE seen_at < now() - interval '30 days' ORDER BY seen_at LIMIT 5";
    let plan = connection.query(how, &[]).await?;
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("Index Scan using inbox_seen")), "{plan:?}");
    Ok(())
}

/// The program, between this broker and this database.
fn start(database: &Database, broker: &Vhost) -> Result<Child> {
    Ok(Command::new(env!("CARGO_BIN_EXE_matchpurse-event-archive"))
        .env("MATCHPURSE_DATABASE__URL", database.url())
        .env("MATCHPURSE_BROKER__URL", broker.amqp_url())
        .env("MATCHPURSE_WORKERS__EVENT_ARCHIVE__ADMIN_LISTEN", "")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// Returns when so many events are archived.
async fn archived(database: &Database, at_least: i64) -> Result<()> {
    let connection = database.connection().await?;
    let counting = async {
        while connection.query_one("SELECT count(*) FROM archive", &[]).await?.get::<_, i64>(0) < at_least {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), counting).await.context("the events are not archived")?
}

/// Killed at any moment, even between a commit and what follows it, the program loses and doubles nothing;
/// asked to stop, it ends well.
#[tokio::test]
async fn the_program_survives_being_killed_and_stops_when_asked() -> Result<()> {
    const EVENTS: i64 = 3_000;
    const KILLS: i64 = 6;
    let database = Database::create().await?;
    let store = database.store().await?;
    let broker = Vhost::create()?;
    let transport = RabbitTransport::start(&broker.amqp_url(), &BusOptions::default())?;
    let connected = async {
        while !transport.publisher().is_ready() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), connected).await.context("the broker is away")?;
    let events = (0..u32::try_from(EVENTS)?).map(|n| Ok(Message::new(event(n, kicked(n))?, None)));
    transport.publisher().publish(events.collect::<Result<Vec<_>>>()?).await?;
    for kill in 0..KILLS {
        let mut program = start(&database, &broker)?;
        archived(&database, 1 + kill * EVENTS / (KILLS * 2)).await?;
        program.kill().await?;
    }
    let mut program = start(&database, &broker)?;
    archived(&database, EVENTS).await?;
    let pid = program.id().context("the program has ended")?.to_string();
    ensure!(Command::new("kill").args(["-TERM", &pid]).status().await?.success());
    assert!(program.wait().await?.success());
    let report = store.verify_chain(&SourceName::parse("main")?).await?;
    assert_eq!((report.verified, report.broken), (u64::try_from(EVENTS)?, None));
    Ok(())
}

#[tokio::test]
async fn days_leave_when_they_are_old_enough_and_whole() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    for (n, days_ago) in [(1, 12), (2, 11), (3, 3)] {
        let tx = client.begin().await?;
        let at = matchpurse_store::now().plus_seconds(-days_ago * 86_400);
        matchpurse_store::archive::append_in_tx(&tx, &[event(n, kicked(n))?], at).await?;
        tx.commit().await?;
    }
    drop(client);
    let attached = async || {
        let parts = store.archive_parts().await?;
        anyhow::Ok(parts.iter().filter(|part| part.attached).count())
    };
    matchpurse_event_archive::let_go(&store, 30).await?;
    assert_eq!(attached().await?, 3);
    // One whose chain does not hold stays, and so do those behind it.
    let owner = database.connection().await?;
    owner.batch_execute("UPDATE archive SET raw = raw || '\\x00' WHERE seq = 2").await?;
    matchpurse_event_archive::let_go(&store, 10).await?;
    assert_eq!(attached().await?, 2);
    owner
        .batch_execute("UPDATE archive SET raw = substring(raw for octet_length(raw) - 1) WHERE seq = 2")
        .await?;
    matchpurse_event_archive::let_go(&store, 10).await?;
    assert_eq!(attached().await?, 1);
    let report = store.verify_chain(&SourceName::parse("main")?).await?;
    assert_eq!((report.verified, report.broken), (1, None));
    Ok(())
}
