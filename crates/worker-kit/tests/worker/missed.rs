use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use matchpurse_bus::{
    BusOptions, FailureLog as _, ParkedDelivery, Publisher as _, RabbitTransport, Transport,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_store::archive::append_in_tx;
use matchpurse_testkit::{Database, Vhost};
use matchpurse_worker_kit::{Context, Plan, spawn};
use tokio_util::sync::CancellationToken;

use crate::replays::until;
use crate::samples::{FINE, Noticing, applied, batch, delivery, subjects};

/// Somebody has taken the queue away for a time: the archive has events that the broker will never bring.
#[tokio::test]
async fn what_the_archive_has_and_no_queue_brings_is_brought_back_once() -> Result<()> {
    let (database, vhost) = (Database::create().await?, Vhost::create()?);
    let store = database.store().await?;
    let settings = Settings::parse_str(&format!(
        "[database]\nurl = {:?}\n[broker]\nurl = {:?}\n[workers]\nmissed_poll_ms = 100",
        database.service_url(),
        vhost.amqp_url()
    ))?;
    let transport = RabbitTransport::start(&vhost.amqp_url(), &BusOptions::for_service("test"))?;
    let publisher = transport.publisher().clone();
    let shutdown = CancellationToken::new();
    let context = Context {
        store: store.clone(),
        transport: Transport::Rabbit(transport),
        settings: Arc::new(settings),
        health: Health::new("test"),
        shutdown: shutdown.clone(),
    };

    // Ten are archived. One of them is parked, and one is being tried still; four are on the broker.
    let deliveries = batch(10, &[]);
    let events = deliveries.iter().map(|one| decode(&one.body)).collect::<Result<Vec<_>, _>>()?;
    let now =
        Timestamp::from_seconds(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?);
    // Another one longer ago than the inbox need remember: whether it was applied then, nobody knows.
    archived(&store, &[decode(&delivery(11, FINE).body)?], now.plus_seconds(-10 * 86_400)).await?;
    archived(&store, &events, now).await?;
    let queue = Queue::PlayerStats;
    let parked =
        ParkedDelivery { queue: queue.name(), delivery: &deliveries[4], reason: "no", by_broker: false };
    store.park(&[parked]).await?;
    store.record_failure(queue.worker(), events[5].id, "busy").await?;
    until("the publisher is ready", || async { Ok(publisher.status().can_publish()) }).await?;
    let live: Vec<_> = events[..4].iter().map(|event| Message::new(event.clone(), None)).collect();
    publisher.publish(live).await?;

    let running = spawn(Plan::new(Noticing::default()), context);
    until("the four that nobody brings are applied", || async { Ok(applied(&database).await?.len() == 8) })
        .await?;
    // Another one is found by a second search, which finds nothing else.
    archived(&store, &[decode(&delivery(10, FINE).body)?], now).await?;
    until("the next one is applied", || async { Ok(applied(&database).await?.len() == 9) }).await?;
    shutdown.cancel();
    running.await??;
    assert_eq!(applied(&database).await?, subjects(11, &[4, 5]));
    let replays = "SELECT format('%s, %s: %s', actor, reason, events) FROM replay";
    let expected = [1, 4].map(|events| format!("matchpurse, player-stats never got them: {events}"));
    assert_eq!(database.texts(replays).await?, expected);
    Ok(())
}

async fn archived(store: &Store, events: &[Event], at: Timestamp) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    append_in_tx(&tx, events, at).await?;
    Ok(tx.commit().await?)
}
