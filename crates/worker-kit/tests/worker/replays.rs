use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_bus::{BusOptions, Delivery, Destination, Disposition, RabbitTransport, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, spool};
use matchpurse_testkit::{Database, Vhost};
use matchpurse_worker_kit::{Context, Plan, spawn};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::samples::{Noticing, REJECTED, applied, batch, subjects, worker};

fn replayed(deliveries: &[Delivery]) -> Vec<Delivery> {
    let replay = Some(Uuid::from_u128(7));
    deliveries.iter().map(|delivery| Delivery { replay, ..delivery.clone() }).collect()
}

#[tokio::test]
async fn what_is_replayed_is_applied_although_the_inbox_knows_it() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let deliveries = batch(6, &[]);
    let acked = vec![Disposition::Ack; 6];
    assert_eq!(worker.process_batch(&deliveries).await, acked);
    assert_eq!(worker.process_batch(&deliveries).await, acked);
    assert_eq!(applied(&database).await?, subjects(6, &[]), "the inbox knows them");

    // Two of them, one of these twice in one batch, beside the others as redeliveries.
    let mut again = deliveries.clone();
    again.extend(replayed(&deliveries[1..3]));
    again.extend(replayed(&deliveries[1..2]));
    assert_eq!(worker.process_batch(&again).await, vec![Disposition::Ack; 9]);
    let mut expected = subjects(6, &[]);
    expected.extend(subjects(3, &[0]));
    expected.sort();
    assert_eq!(applied(&database).await?, expected);
    Ok(())
}

async fn spooled(store: &Store, deliveries: &[Delivery]) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let message = |delivery: &Delivery| {
        let message = Message::new(decode(&delivery.body)?, None).replayed(Uuid::from_u128(8));
        Ok((message, vec![Destination::Worker(Queue::PlayerStats)]))
    };
    spool::append_in_tx(&tx, &deliveries.iter().map(message).collect::<Result<Vec<_>>>()?).await?;
    Ok(tx.commit().await?)
}

pub(crate) async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let patient = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(40), patient)
        .await
        .with_context(|| format!("in vain: {what}"))?
}

/// The worker lives on RabbitMQ, and a replay never goes there: it is taken from the spool, applied or parked, and gone.
#[tokio::test]
async fn beside_a_broker_replays_come_by_the_spool() -> Result<()> {
    let (database, vhost) = (Database::create().await?, Vhost::create()?);
    let store = database.store().await?;
    let settings = format!("[database]\nurl = {:?}\n[broker]\nurl = {:?}", database.url(), vhost.amqp_url());
    let settings = Settings::parse_str(&settings)?;
    let options = BusOptions::for_service("test");
    let transport = Transport::Rabbit(RabbitTransport::start(&vhost.amqp_url(), &options)?);
    let publisher = transport.publisher();
    until("the publisher is ready", || async { Ok(publisher.is_ready()) }).await?;
    let shutdown = CancellationToken::new();
    let context = Context {
        store: store.clone(),
        transport,
        settings: Arc::new(settings),
        health: Health::new("test"),
        shutdown: shutdown.clone(),
    };
    let running = spawn(Plan::new(Noticing::default()), context);

    let deliveries = batch(5, &[(4, REJECTED)]);
    let live = deliveries[..4].iter().map(|delivery| Ok(Message::new(decode(&delivery.body)?, None)));
    publisher.publish(live.collect::<Result<_>>()?).await?;
    until("all are applied", || async { Ok(applied(&database).await?.len() == 4) }).await?;

    spooled(&store, &deliveries[2..]).await?;
    until("two are applied again", || async { Ok(applied(&database).await?.len() == 6) }).await?;
    until("one is parked", || async { Ok(store.parked_open().await? == 1) }).await?;
    let waiting = [Destination::Worker(Queue::PlayerStats)];
    until("none waits", || async { Ok(store.spooled_until(&waiting, i64::MAX).await? == 0) }).await?;
    shutdown.cancel();
    running.await??;
    let mut expected = subjects(4, &[]);
    expected.extend(subjects(4, &[0, 1]));
    expected.sort();
    assert_eq!(applied(&database).await?, expected);
    Ok(())
}
