//! Several events in one message of RabbitMQ: each is applied, retried and parked as if it had come alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use matchpurse_bus::{BusOptions, Disposition, PublishError, Publisher, RabbitPublisher};
use matchpurse_contracts::group::GROUP_CONTENT_TYPE;
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::FaultProxy;
use tokio::time::Instant;
use uuid::Uuid;

use crate::rig::{
    Decider, Rig, Server, ack, delivered_ids, ids, is, message, messages, nothing_is_left, options,
    parked_of, set, until,
};

const QUEUE: Queue = Queue::PlayerStats;
const PAYLOAD: PayloadName = PayloadName::PlayerKicked;
/// More than any test publishes at once.
const LARGE: usize = 64;

/// One channel, which lets nothing pass an unconfirmed message.
fn eager() -> BusOptions {
    BusOptions {
        publish_channels: 1,
        group_above: 1,
        group_max_events: LARGE,
        topology_check: Duration::from_secs(3600),
        ..options()
    }
}

fn waits(rig: &Rig) -> Result<u64> {
    rig.ready(QUEUE.name())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_no_confirm_is_a_message_of_its_own() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    for message in messages(PAYLOAD, 3) {
        rig.publish([message]).await?;
    }
    assert_eq!(waits(&rig)?, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_travel_together_and_arrive_one_by_one() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let published = messages(PAYLOAD, 50);
    rig.publish(published.clone()).await?;
    assert_eq!(rig.ready(Queue::EventArchive.name())?, 1);
    let mut worker = rig.worker(QUEUE, ack);
    let (_, batch) = worker.batch().await?;
    worker.end().await?;
    assert_eq!(batch.len(), published.len());
    for (delivery, message) in batch.iter().zip(&published) {
        assert!(is(delivery, message) && !delivery.redelivered, "{delivery:?} is not {message:?}");
    }
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_same_queues_and_shard_want_travels_together() -> Result<()> {
    let sharded = BusOptions { shards: 64, ..eager() };
    let rig = Rig::rabbit(&BusOptions { group_max_events: 8, ..eager() }).await?;
    let publisher = rig.transport.publisher();
    publisher.publish([messages(PAYLOAD, 20), messages(PayloadName::PlayerActivity, 2)].concat()).await?;
    // 8, 8 and 4 of the one kind, and 2 of the other.
    assert_eq!((waits(&rig)?, rig.ready(Queue::EventArchive.name())?), (3, 4));

    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &BusOptions { shards: 1, ..eager() })?;
    until("the publisher is ready", || publisher.is_ready()).await?;
    let of_two = distinct_slots();
    publisher.publish(of_two.clone()).await?;
    assert_eq!(waits(&rig)?, 4, "one shard takes both");
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &sharded)?;
    until("the publisher is ready", || publisher.is_ready()).await?;
    let before = rig.ready(Queue::EventArchive.name())?;
    publisher.publish(of_two).await?;
    assert_eq!(rig.ready(Queue::EventArchive.name())?, before + 2, "each has a shard of its own");
    Ok(())
}

/// Two messages of different slots.
fn distinct_slots() -> Vec<Message> {
    let first = message(PAYLOAD);
    let other = std::iter::repeat_with(|| message(PAYLOAD));
    let other = other.take(1000).find(|other| other.routing_key != first.routing_key).unwrap();
    vec![first, other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_group_one_is_parked_one_is_retried_and_the_others_are_done() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let published = messages(PAYLOAD, 50);
    let (poison, late) = (published[7].clone(), published[33].clone());
    let (poison_id, late_id) = (poison.id, late.id);
    let mut worker = rig.worker(QUEUE, move |delivery| match delivery.id {
        Some(id) if id == poison_id => Disposition::Park("poison".to_owned()),
        Some(id) if id == late_id && !delivery.redelivered => Disposition::Retry(Duration::from_millis(1)),
        _ => Disposition::Ack,
    });
    rig.publish(published.clone()).await?;
    let (_, whole) = worker.batch().await?;
    assert_eq!(delivered_ids(&whole), ids(&published));
    // It comes back alone, with everything that it had.
    let (_, again) = worker.batch().await?;
    let [again] = again.as_slice() else { panic!("not one came again: {again:?}") };
    assert!(is(again, &late) && again.redelivered, "{again:?} is not {late:?}");
    let failures = worker.failures.clone();
    worker.end().await?;
    let parked = failures.parked();
    let [parked] = parked.as_slice() else { panic!("not one was parked: {parked:?}") };
    assert_eq!((parked.id, &parked.body, parked.reason.as_str()), (Some(poison.id), &poison.body, "poison"));
    assert_eq!(parked.routing_key, poison.routing_key);
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_larger_than_a_batch_comes_in_several() -> Result<()> {
    let rig = Rig::rabbit(&BusOptions { batch_max: 10, ..eager() }).await?;
    let published = messages(PAYLOAD, 25);
    rig.publish(published.clone()).await?;
    // Killed with a part of it done, the whole comes again.
    let decider = Decider::gated(ack);
    let gate = decider.gate.clone();
    let mut doomed = rig.worker_with(QUEUE, decider);
    gate.add_permits(1);
    let first = delivered_ids(&doomed.deliveries(20).await?);
    assert_eq!(first, ids(&published[..20]));
    doomed.crash().await;

    let mut worker = rig.worker(QUEUE, ack);
    let mut seen = Vec::new();
    while seen.len() < published.len() {
        let (_, batch) = worker.batch().await?;
        assert!(batch.len() <= 10, "{} in a batch", batch.len());
        assert!(batch.iter().all(|delivery| delivery.redelivered));
        seen.extend(delivered_ids(&batch));
    }
    assert_eq!(seen, ids(&published));
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_do_not_overfill_a_batch() -> Result<()> {
    let rig = Rig::rabbit(&BusOptions { batch_max: 20, group_max_events: 8, ..eager() }).await?;
    let published = messages(PAYLOAD, 60);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    let (mut seen, mut largest) = (Vec::new(), 0);
    while seen.len() < published.len() {
        let (_, batch) = worker.batch().await?;
        assert!(batch.len() <= 20, "{} in a batch", batch.len());
        largest = largest.max(batch.len());
        seen.extend(delivered_ids(&batch));
    }
    assert_eq!(seen, ids(&published));
    assert!(largest > 8, "a batch is more than one group");
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_worker_s_group_comes_again_whole() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let published = messages(PAYLOAD, 30);
    rig.publish(published.clone()).await?;
    let mut doomed = rig.worker_with(QUEUE, Decider::gated(ack));
    assert_eq!(doomed.batch().await?.1.len(), published.len());
    doomed.crash().await;
    let mut worker = rig.worker(QUEUE, ack);
    let deliveries = worker.deliveries(published.len()).await?;
    assert_eq!(delivered_ids(&deliveries), ids(&published));
    assert!(deliveries.iter().all(|delivery| delivery.redelivered));
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

/// One of a group cannot be delayed: its message goes back, with the others, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_back_while_a_retry_cannot_be_delayed() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let published = messages(PAYLOAD, 5);
    let late = published[2].id;
    let mut worker = rig.worker(QUEUE, move |delivery| {
        let retry = delivery.id == Some(late) && !delivery.redelivered;
        if retry { Disposition::Retry(Duration::from_millis(1)) } else { Disposition::Ack }
    });
    worker.consuming().await?;
    vhost.on("DELETE", "exchanges", "matchpurse.delay.1s", "")?;
    rig.publish(published.clone()).await?;
    assert_eq!(delivered_ids(&worker.batch().await?.1), ids(&published));
    let (_, again) = worker.batch().await?;
    assert_eq!(delivered_ids(&again), ids(&published));
    assert!(again.iter().all(|delivery| delivery.redelivered));
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_group_is_parked_event_by_event() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let published = messages(PAYLOAD, 3);
    rig.publish(published.clone()).await?;
    rig.reject_first(QUEUE)?;
    let parked = parked_of(&rig, published.len()).await?;
    assert_eq!(parked.len(), published.len());
    for (parked, message) in parked.iter().zip(&published) {
        assert_eq!((parked.id, &parked.body), (Some(message.id), &message.body));
        assert_eq!(parked.routing_key, message.routing_key);
        assert_eq!((parked.queue.as_str(), parked.by_broker), (QUEUE.name(), true));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_claims_to_be_a_group_and_is_none_is_parked_as_it_is() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let mut worker = rig.worker(QUEUE, |delivery| match delivery.body.as_ref() {
        b"no group" => Disposition::Park("no event".to_owned()),
        _ => Disposition::Ack,
    });
    worker.consuming().await?;
    let id = Uuid::from_u128(7);
    let properties = format!("{{\"content_type\":\"{GROUP_CONTENT_TYPE}\",\"message_id\":\"{id}\"}}");
    vhost.publish(EVENTS_EXCHANGE, "player_kicked.x.y.1", &properties, "no group")?;
    let neighbours = messages(PAYLOAD, 2);
    rig.publish(neighbours.clone()).await?;
    let come = delivered_ids(&worker.deliveries(3).await?);
    assert_eq!(come, [vec![id], ids(&neighbours)].concat());
    let failures = worker.failures.clone();
    until("it is parked", || failures.parked().len() == 1).await?;
    worker.end().await?;
    let parked = &failures.parked()[0];
    assert_eq!((parked.id, parked.body.as_ref()), (Some(id), &b"no group"[..]));
    Ok(())
}

/// A publisher that reaches its broker through a proxy, which holds back everything: what it publishes gathers.
struct Held {
    rig: Rig,
    proxy: FaultProxy,
    publisher: Arc<RabbitPublisher>,
}

impl Held {
    async fn start(options: &BusOptions) -> Result<Self> {
        let rig = Rig::rabbit(&eager()).await?;
        let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
        let proxy = FaultProxy::start(vhost.broker_address()).await?;
        let publisher = RabbitPublisher::start(&vhost.amqp_url_at(&proxy.address().to_string()), options)?;
        until("the publisher is ready", || publisher.is_ready()).await?;
        // Its channel is open before there are faults.
        publisher.publish(vec![message(PayloadName::PlayerActivity)]).await?;
        proxy.pause();
        Ok(Self { rig, proxy, publisher })
    }

    /// Publishes each alone, all at once.
    fn publish(&self, messages: &[Message]) -> Vec<tokio::task::JoinHandle<Result<(), PublishError>>> {
        let publish = |message: &Message| {
            let (publisher, message) = (Arc::clone(&self.publisher), message.clone());
            tokio::spawn(async move { publisher.publish(vec![message]).await })
        };
        messages.iter().map(publish).collect()
    }

    /// Once the first of those is on its way and all others wait for it.
    async fn gathered(&self, count: usize) -> Result<()> {
        until("all wait", || self.publisher.waiting() == count).await
    }
}

async fn answers(
    publishing: Vec<tokio::task::JoinHandle<Result<(), PublishError>>>,
) -> Result<Vec<Result<(), PublishError>>> {
    join_all(publishing).await.into_iter().map(|answer| answer.context("a publish panicked")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_faster_than_it_is_confirmed_is_confirmed_together() -> Result<()> {
    let held = Held::start(&eager()).await?;
    let published = messages(PAYLOAD, 20);
    let publishing = held.publish(&published);
    held.gathered(20).await?;
    // Who stops waiting takes nobody along.
    publishing[11].abort();
    held.proxy.restore();
    let answered = join_all(publishing).await;
    for (place, answer) in answered.into_iter().enumerate() {
        match answer {
            Ok(answer) => answer?,
            Err(error) => assert!(place == 11 && error.is_cancelled(), "{place}: {error}"),
        }
    }
    let messages = waits(&held.rig)?;
    assert!(messages < 20, "they came as {messages} messages");
    let mut worker = held.rig.worker(QUEUE, ack);
    let come = worker.deliveries(published.len()).await?;
    assert_eq!(set(&delivered_ids(&come)), set(&ids(&published)));
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_costs_each_of_a_group_its_own_time_limit() -> Result<()> {
    let options = BusOptions { confirm_timeout: Duration::from_millis(300), ..eager() };
    let held = Held::start(&options).await?;
    let begun = Instant::now();
    let answered = answers(held.publish(&messages(PAYLOAD, 20))).await?;
    for answer in &answered {
        assert!(matches!(answer, Err(PublishError::TimedOut)), "{answered:?}");
    }
    assert!(begun.elapsed() >= options.confirm_timeout);
    // A bound for a hang, not a measurement: the machine may be busy.
    assert!(begun.elapsed() < options.confirm_timeout * 100, "{:?}", begun.elapsed());
    held.proxy.restore();
    let again = Instant::now();
    while held.publisher.publish(vec![message(PAYLOAD)]).await.is_err() {
        assert!(again.elapsed() < crate::rig::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Its channel is left while one of a publisher's two events is on it and the other one still gathers: that one leaves on
/// the next channel, and the old one must not turn round in a circle until then. On one thread that would be for ever.
#[tokio::test]
async fn a_channel_that_is_left_waits_for_nothing_that_leaves_on_the_next() -> Result<()> {
    let options = BusOptions { confirm_timeout: Duration::from_secs(2), group_above: 16, ..eager() };
    let held = Held::start(&options).await?;
    let begun = Instant::now();
    let first = held.publish(&messages(PAYLOAD, 1));
    held.gathered(1).await?;
    // Its own time limit ends later, so it is still waited for when the channel is left.
    tokio::time::sleep_until(begun + options.confirm_timeout / 2).await;
    let publisher = Arc::clone(&held.publisher);
    let two = vec![message(PAYLOAD), message(PayloadName::PlayerActivity)];
    let both = tokio::spawn(async move { publisher.publish(two).await });
    held.gathered(3).await?;
    let answered = answers(first).await?;
    assert!(matches!(answered[..], [Err(PublishError::TimedOut)]), "{answered:?}");
    held.proxy.restore();
    // In time or not, on a busy machine; but answered.
    let answer = tokio::time::timeout(crate::rig::PATIENCE, both).await??;
    assert!(matches!(answer, Ok(()) | Err(PublishError::TimedOut)), "{answer:?}");
    until("the next channel publishes", || held.publisher.waiting() == 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_fails_each_of_a_group_at_once() -> Result<()> {
    let held = Held::start(&eager()).await?;
    let begun = Instant::now();
    let publishing = held.publish(&messages(PAYLOAD, 20));
    held.gathered(20).await?;
    held.proxy.cut();
    let answered = answers(publishing).await?;
    let broken =
        |answer: &Result<_, _>| matches!(answer, Err(PublishError::Broken(_) | PublishError::NotConnected));
    assert!(answered.iter().all(broken), "{answered:?}");
    assert!(begun.elapsed() < eager().confirm_timeout, "nobody waits for a confirm that cannot come");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_fails_what_gathers_at_once() -> Result<()> {
    let held = Held::start(&eager()).await?;
    let begun = Instant::now();
    let publishing = held.publish(&messages(PAYLOAD, 20));
    held.gathered(20).await?;
    held.proxy.say_to_clients(&blocked());
    let answered = answers(publishing).await?;
    assert!(answered.iter().all(|answer| matches!(answer, Err(PublishError::Blocked))), "{answered:?}");
    assert!(begun.elapsed() < eager().confirm_timeout);
    Ok(())
}

/// `connection.blocked`, in AMQP 0-9-1.
fn blocked() -> Vec<u8> {
    let payload = [&[0, 10, 0, 60, 11][..], b"low on disk"].concat();
    let length = (payload.len() as u32).to_be_bytes();
    [&[1, 0, 0][..], &length, &payload, &[0xCE]].concat()
}

/// Of two groups one goes nowhere: each of its events fails, and none of the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_no_queue_takes_fails_its_own_events_alone() -> Result<()> {
    let held = Held::start(&eager()).await?;
    let Server::Rabbit(vhost) = &held.rig.server else { unreachable!() };
    vhost.delete_queue(Queue::EventArchive.name())?;
    let (good, bad) = (messages(PAYLOAD, 10), messages(PayloadName::PlayerActivity, 10));
    // The first goes ahead alone, so that both kinds gather.
    let first = held.publish(&messages(PAYLOAD, 1));
    held.gathered(1).await?;
    let (good, bad) = (held.publish(&good), held.publish(&bad));
    held.gathered(21).await?;
    held.proxy.restore();
    let bad = answers(bad).await?;
    assert!(bad.iter().all(|answer| matches!(answer, Err(PublishError::Unroutable))), "{bad:?}");
    for answer in answers(first).await?.into_iter().chain(answers(good).await?) {
        answer?;
    }
    Ok(())
}

/// All events of one request have to be kept, wherever they go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_kept_when_all_its_events_are() -> Result<()> {
    let rig = Rig::rabbit(&eager()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    vhost.delete_queue(Queue::EventArchive.name())?;
    let mixed = [messages(PAYLOAD, 3), messages(PayloadName::PlayerActivity, 1)].concat();
    let answered = rig.publish(mixed).await;
    assert!(matches!(answered, Err(PublishError::Unroutable)), "{answered:?}");
    Ok(())
}
