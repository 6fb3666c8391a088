//! Several queues a worker, on RabbitMQ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_bus::{BusOptions, Delivery, Disposition, RabbitTransport, Transport};
use matchpurse_contracts::topology::{DEAD_LETTER_EXCHANGE, EVENTS_EXCHANGE, Queue, SLOTS, shard_of, slot};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::Vhost;
use uuid::Uuid;

use crate::rig::{Decider, Rig, Server, Worker, message, options, parked_of, ready, until};
use crate::way::Way;

const QUEUE: Queue = Queue::PlayerStats;
const PAYLOAD: PayloadName = PayloadName::MatchStatsSnapshot;

fn with_shards(shards: u16) -> BusOptions {
    BusOptions { shards, ..options() }
}

fn vhost(rig: &Rig) -> &Vhost {
    let Server::Rabbit(vhost) = &rig.server else { panic!("these tests are about RabbitMQ") };
    vhost
}

/// Another process of the same deployment.
async fn process(rig: &Rig, options: &BusOptions) -> Result<Way> {
    let way = Way::from(&Transport::Rabbit(RabbitTransport::start(&vhost(rig).amqp_url(), options)?));
    ready(&way).await?;
    Ok(way)
}

fn worker_of(way: &Way) -> Worker {
    Worker::start(way, QUEUE, Decider::new(|_| Disposition::Ack))
}

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|_| message(PAYLOAD)).collect()
}

fn ids<'m>(messages: impl IntoIterator<Item = &'m Message>) -> BTreeSet<Uuid> {
    messages.into_iter().map(|message| message.id).collect()
}

fn delivered(deliveries: &[Delivery]) -> BTreeSet<Uuid> {
    deliveries.iter().filter_map(|delivery| delivery.id).collect()
}

fn slot_of(routing_key: &str) -> u16 {
    routing_key.rsplit('.').next().unwrap().parse().unwrap()
}

/// How many messages a queue holds, as the broker says seconds later. A queue with one consumer at a time cannot be asked
/// for a message by its side.
fn waits(rig: &Rig, queue: &str) -> Result<u64> {
    let shown: serde_json::Value = serde_json::from_str(&vhost(rig).on("GET", "queues", queue, "")?)?;
    Ok(shown.get("messages").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// How many bindings a queue has on an exchange.
fn bindings(rig: &Rig, exchange: &str, queue: &str) -> Result<usize> {
    let shown = vhost(rig).on("GET", "bindings", &format!("e/{exchange}/q/{queue}"), "")?;
    Ok(serde_json::from_str::<Vec<serde_json::Value>>(&shown)?.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_in_the_shard_of_its_slot_and_comes_once() -> Result<()> {
    let options = BusOptions { group_max_events: 1, ..with_shards(4) };
    let rig = Rig::rabbit(&options).await?;
    let published = messages(200);
    rig.publish(published.clone()).await?;
    let mut expected = BTreeMap::new();
    for message in &published {
        *expected.entry(shard_of(slot_of(&message.routing_key), 4)).or_insert(0) += 1;
    }
    assert_eq!(expected.len(), 4, "two hundred subjects fall into every shard: {expected:?}");
    for (shard, count) in expected {
        let queue = QUEUE.shard_name(shard);
        until("the shard has its events", || waits(&rig, &queue).is_ok_and(|waits| waits == count)).await?;
    }
    assert_eq!(rig.ready(QUEUE.name())?, 0, "the queue without a number has what no shard takes");
    assert_eq!(rig.ready(Queue::EventArchive.name())?, 200, "the archive is one queue");

    let mut worker = worker_of(&rig.transport);
    let deliveries = worker.deliveries(200).await?;
    assert_eq!(deliveries.len(), 200);
    assert_eq!(delivered(&deliveries), ids(&published));
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_shards_loses_nothing_and_doubles_nothing() -> Result<()> {
    // It does not declare its one queue again: it has ended by the time that others begin.
    let options = BusOptions { topology_check: Duration::from_secs(600), ..with_shards(1) };
    let rig = Rig::rabbit(&options).await?;
    let (mut begun, mut last) = (1, rig.transport.clone());
    for shards in [4, 2, 8, 1] {
        // Published for the old number, taken by a worker of the new one, together with what comes then.
        let before = messages(50);
        last.publisher().publish(before.clone()).await?;
        drop(last);
        let way = process(&rig, &with_shards(shards)).await?;
        let mut worker = worker_of(&way);
        worker.consuming().await?;
        assert_eq!(delivered(&worker.deliveries(50).await?), ids(&before), "{begun} to {shards}");
        until("the old bindings are gone", || {
            let straight = bindings(&rig, EVENTS_EXCHANGE, QUEUE.name()).unwrap_or(99);
            let slots: usize = (0..8)
                .map(|shard| bindings(&rig, &QUEUE.shards_exchange(), &QUEUE.shard_name(shard)).unwrap_or(0))
                .sum();
            if shards == 1 { straight > 0 } else { straight == 0 && slots == usize::from(SLOTS) }
        })
        .await?;
        let after = messages(50);
        way.publisher().publish(after.clone()).await?;
        let deliveries = worker.deliveries(50).await?;
        assert_eq!((deliveries.len(), delivered(&deliveries)), (50, ids(&after)), "{begun} to {shards}");
        worker.end().await?;
        (begun, last) = (shards, way);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_shard_takes_falls_into_the_queue_without_a_number() -> Result<()> {
    let rig = Rig::rabbit(&BusOptions { topology_check: Duration::from_secs(600), ..with_shards(2) }).await?;
    let published = message(PAYLOAD);
    let slot = slot_of(&published.routing_key);
    let (exchange, queue) = (QUEUE.shards_exchange(), QUEUE.shard_name(shard_of(slot, 2)));
    vhost(&rig).on("DELETE", "bindings", &format!("e/{exchange}/q/{queue}/%23.{slot}"), "")?;
    rig.publish([published.clone()]).await?;
    assert_eq!(rig.ready(QUEUE.name())?, 1);
    let mut worker = worker_of(&rig.transport);
    assert_eq!(worker.deliveries(1).await?[0].id, Some(published.id));
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_shards_and_stand_by_for_each_other() -> Result<()> {
    let rig = Rig::rabbit(&with_shards(2)).await?;
    let of = |shard| BusOptions { take_shards: vec![shard], ..with_shards(2) };
    let (first, second) = (process(&rig, &of(0)).await?, process(&rig, &of(1)).await?);
    let (mut first, mut second) = (worker_of(&first), worker_of(&second));
    first.consuming().await?;
    second.consuming().await?;
    let published = messages(60);
    rig.publish(published.clone()).await?;
    let (mine, others): (Vec<_>, Vec<_>) =
        published.iter().partition(|message| shard_of(slot_of(&message.routing_key), 2) == 0);
    assert_eq!(delivered(&first.deliveries(mine.len()).await?), ids(mine));
    assert_eq!(delivered(&second.deliveries(others.len()).await?), ids(others));

    // One that takes all stands by, and has the second one's share when that ends.
    let mut third = worker_of(&rig.transport);
    third.consuming().await?;
    second.end().await?;
    let published = messages(60);
    rig.publish(published.clone()).await?;
    let (mine, others): (Vec<_>, Vec<_>) =
        published.iter().partition(|message| shard_of(slot_of(&message.routing_key), 2) == 0);
    assert_eq!(delivered(&first.deliveries(mine.len()).await?), ids(mine));
    assert_eq!(delivered(&third.deliveries(others.len()).await?), ids(others));
    first.end().await?;
    third.end().await
}

/// What another process has not taken yet would look as if it had never come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_caught_up_when_no_process_has_anything_left() -> Result<()> {
    let rig = Rig::rabbit(&with_shards(2)).await?;
    let of = |shard| BusOptions { take_shards: vec![shard], ..with_shards(2) };
    let (first, second) = (process(&rig, &of(0)).await?, process(&rig, &of(1)).await?);
    let waits = std::iter::repeat_with(|| message(PAYLOAD))
        .find(|message| shard_of(slot_of(&message.routing_key), 2) == 1)
        .context("a subject of the second shard")?;
    rig.publish([waits]).await?;
    let first = worker_of(&first);
    first.consuming().await?;
    // It looks at its queues every 5 s; that it does not say so can only be seen for a while.
    let says = until("all is empty", || first.status.since_empty().is_some());
    let said = tokio::time::timeout(Duration::from_secs(12), says).await;
    assert!(said.is_err(), "the other process has something left");

    let mut second = worker_of(&second);
    second.deliveries(1).await?;
    until("all is empty", || first.status.since_empty().is_some()).await?;
    assert_eq!(second.status.since_empty(), None, "who has not the first shard does not say so");
    first.end().await?;
    second.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_comes_back_to_its_shard_and_a_dead_letter_names_the_worker() -> Result<()> {
    let rig = Rig::rabbit(&with_shards(2)).await?;
    let published = message(PAYLOAD);
    let shard = shard_of(slot_of(&published.routing_key), 2);
    let of = |shard| BusOptions { take_shards: vec![shard], ..with_shards(2) };
    let way = process(&rig, &of(shard)).await?;
    let mut worker =
        Worker::start(&way, QUEUE, Decider::new(|_| Disposition::Retry(Duration::from_millis(1))));
    worker.consuming().await?;
    rig.publish([published.clone()]).await?;
    let deliveries = worker.deliveries(2).await?;
    assert_eq!(deliveries[0].routing_key, deliveries[1].routing_key);
    assert!(deliveries[1].redelivered);
    worker.end().await?;

    let queue = QUEUE.shard_name(shard);
    let properties = format!(
        "{{\"message_id\":\"{}\",\"headers\":{{\"x-death\":[{{\"queue\":\"{queue}\",\"reason\":\"delivery_limit\"}}]}}}}",
        published.id
    );
    vhost(&rig).publish(DEAD_LETTER_EXCHANGE, "", &properties, "given up")?;
    let parked = parked_of(&rig, 1).await?;
    assert_eq!((parked[0].id, parked[0].queue.as_str()), (Some(published.id), QUEUE.name()));
    Ok(())
}

#[test]
fn a_slot_never_changes_and_the_shards_are_alike() {
    // Written down: another release must find the same, or the events of a subject are in two queues.
    assert_eq!(["match-1", "match-2", "8f1", ""].map(|subject| slot("lucra-main", subject)), SLOTS_OF_THESE);
    for shards in 1..=SLOTS {
        let mut sizes = BTreeMap::new();
        for slot in 0..SLOTS {
            *sizes.entry(shard_of(slot, shards)).or_insert(0_u16) += 1;
        }
        assert_eq!(sizes.len(), usize::from(shards));
        let (least, most) = (sizes.values().min().unwrap(), sizes.values().max().unwrap());
        assert!(most - least <= 1, "{shards} shards: {sizes:?}");
    }
    let mut filled = [0_u32; SLOTS as usize];
    for number in 0..64_000 {
        filled[usize::from(slot("lucra-main", &format!("match-{number}")))] += 1;
    }
    assert!(filled.iter().all(|count| (800..1200).contains(count)), "{filled:?}");
}

const SLOTS_OF_THESE: [u16; 4] = [35, 22, 42, 9];
