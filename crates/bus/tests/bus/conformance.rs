//! What both transports promise, and the model of a broker with them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{BusOptions, Delivery, Disposition};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;

use crate::rig::{
    Decider, Rig, Worker, ack, delivered_ids, ids, is, message, messages, nothing_is_left, options, set,
};

macro_rules! on_every_transport {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::rabbit(&test_options()).await?).await
            })*
        }
        mod rabbitmq_a_message_an_event {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                let options = BusOptions { group_max_events: 1, ..test_options() };
                super::$name(Rig::rabbit(&options).await?).await
            })*
        }
        mod embedded {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::embedded(&test_options()).await?).await
            })*
        }
        mod model_a_message_an_event {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::model(&BusOptions { group_max_events: 1, ..test_options() })).await
            })*
        }
        mod model {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::model(&test_options())).await
            })*
        }
    };
}

on_every_transport!(
    what_is_published_is_delivered_whole_and_once,
    each_worker_gets_what_it_wants_and_nothing_else,
    one_publisher_s_order_is_kept,
    a_retry_comes_back_in_time_and_holds_up_nobody,
    the_parked_are_kept_with_their_reason_and_go,
    what_cannot_be_parked_stays,
    a_batch_is_no_larger_than_allowed,
    what_a_crashed_worker_held_is_delivered_again,
    a_worker_that_is_asked_to_end_finishes_its_batch,
    a_panic_loses_nothing,
    a_forgotten_delivery_comes_back,
);

const BATCH_MAX: usize = 50;

fn test_options() -> BusOptions {
    BusOptions { batch_max: BATCH_MAX, ..options() }
}

async fn what_is_published_is_delivered_whole_and_once(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::OfferChanged, 3 * BATCH_MAX);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(Queue::OfferRemoval, ack);
    let deliveries = worker.deliveries(published.len()).await?;
    worker.end().await?;
    assert_eq!(deliveries.len(), published.len());
    for (delivery, message) in deliveries.iter().zip(&published) {
        assert!(is(delivery, message) && !delivery.redelivered, "{delivery:?} is not {message:?}");
    }
    nothing_is_left(&rig, Queue::OfferRemoval, PayloadName::OfferChanged).await
}

async fn each_worker_gets_what_it_wants_and_nothing_else(rig: Rig) -> Result<()> {
    // Twice, so that something unwanted would lie between what is wanted.
    let published: Vec<Message> = PayloadName::ALL.into_iter().chain(PayloadName::ALL).map(message).collect();
    rig.publish(published.clone()).await?;
    for queue in Queue::ALL {
        let wanted = published.iter().filter(|message| queue.payloads().contains(&message.payload));
        let wanted: Vec<Message> = wanted.cloned().collect();
        let mut worker = rig.worker(queue, ack);
        let delivered = worker.deliveries(wanted.len()).await?;
        assert_eq!(set(&delivered_ids(&delivered)), set(&ids(&wanted)), "{}", queue.name());
        // Events of one kind may overtake those of another on the way, and no other event.
        for payload in queue.payloads() {
            let of = wanted.iter().filter(|message| message.payload == *payload);
            let of: Vec<_> = of.map(|message| message.id).collect();
            let come = delivered.iter().filter_map(|delivery| delivery.id);
            assert_eq!(come.filter(|id| of.contains(id)).collect::<Vec<_>>(), of, "{}", queue.name());
        }
        worker.end().await?;
    }
    Ok(())
}

async fn one_publisher_s_order_is_kept(rig: Rig) -> Result<()> {
    let mut worker = rig.worker(Queue::PlayerStats, ack);
    let published = messages(PayloadName::MatchStatsSnapshot, 30);
    for message in &published {
        rig.publish([message.clone()]).await?;
    }
    let deliveries = worker.deliveries(published.len()).await?;
    assert_eq!(delivered_ids(&deliveries), ids(&published));
    worker.end().await
}

async fn a_retry_comes_back_in_time_and_holds_up_nobody(rig: Rig) -> Result<()> {
    const DELAY: Duration = Duration::from_secs(1);
    let published = messages(PayloadName::MatchSnapshot, 9);
    let late = published[0].clone();
    let late_id = late.id;
    let mut worker = rig.worker(Queue::MatchEscrow, move |delivery| {
        if delivery.id == Some(late_id) && !delivery.redelivered {
            Disposition::Retry(DELAY)
        } else {
            Disposition::Ack
        }
    });
    rig.publish(published.clone()).await?;

    let mut in_order = Vec::new();
    while in_order.len() < published.len() + 1 {
        let (at, batch) = worker.batch().await?;
        in_order.extend(batch.into_iter().map(|delivery| (at, delivery)));
    }
    worker.end().await?;
    let (comes, again): (Vec<_>, Vec<_>) =
        in_order.into_iter().partition(|(_, delivery)| !delivery.redelivered);
    let first: Vec<Delivery> = comes.iter().map(|(_, delivery)| delivery.clone()).collect();
    assert_eq!(delivered_ids(&first), ids(&published));
    let [(at, delivery)] = again.as_slice() else { panic!("not one came again: {again:?}") };
    assert!(is(delivery, &late), "{delivery:?} is not {late:?}");
    // The broker's clock has milliseconds.
    assert!(*at - comes[0].0 >= DELAY - Duration::from_millis(5), "after {:?}", *at - comes[0].0);
    // The neighbours did not wait for it.
    assert!(comes.iter().all(|(neighbour, _)| *neighbour < *at));
    nothing_is_left(&rig, Queue::MatchEscrow, PayloadName::MatchSnapshot).await
}

async fn the_parked_are_kept_with_their_reason_and_go(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::RewardPostback, 3);
    let poison = published[1].clone();
    let mut worker = rig.worker(Queue::RewardFulfillment, move |delivery| {
        if delivery.id == Some(poison.id) {
            Disposition::Park("no such reward".to_owned())
        } else {
            Disposition::Ack
        }
    });
    rig.publish(published.clone()).await?;
    worker.deliveries(published.len()).await?;
    let failures = worker.failures.clone();
    worker.end().await?;
    let parked = failures.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].queue, Queue::RewardFulfillment.name());
    assert_eq!(parked[0].id, Some(published[1].id));
    assert_eq!(parked[0].body, published[1].body);
    assert_eq!(parked[0].reason, "no such reward");
    nothing_is_left(&rig, Queue::RewardFulfillment, PayloadName::RewardPostback).await
}

async fn what_cannot_be_parked_stays(rig: Rig) -> Result<()> {
    let poison = message(PayloadName::PlayerStanding);
    let mut worker = rig.worker(Queue::OfferRemoval, |_| Disposition::Park("poison".to_owned()));
    worker.failures.broken.store(true, Ordering::SeqCst);
    rig.publish([poison.clone()]).await?;
    assert_eq!(delivered_ids(&worker.batch().await?.1), [poison.id]);
    worker.end().await?;
    // It waits for its next time, which is too far off for a test.
    match &rig.server {
        crate::rig::Server::Rabbit(_) | crate::rig::Server::Model(_) => {
            assert_eq!(rig.ready("matchpurse.delay.30s")?, 1);
        }
        crate::rig::Server::Spool(spool, _) => {
            let destination = matchpurse_bus::Destination::Worker(Queue::OfferRemoval);
            assert_eq!(spool.backlog(destination).await?.0, 1);
        }
    }
    Ok(())
}

async fn a_batch_is_no_larger_than_allowed(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::ContestOutcome, 5 * BATCH_MAX + 7);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(Queue::EventArchive, ack);
    let (mut seen, mut batches) = (Vec::new(), 0);
    while seen.len() < published.len() {
        let batch = delivered_ids(&worker.batch().await?.1);
        assert!(batch.len() <= BATCH_MAX, "{} in a batch", batch.len());
        seen.extend(batch);
        batches += 1;
    }
    assert!(batches < published.len(), "a backlog comes in batches");
    assert_eq!(seen, ids(&published));
    worker.end().await
}

async fn what_a_crashed_worker_held_is_delivered_again(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::PlayerKicked, 2 * BATCH_MAX);
    rig.publish(published.clone()).await?;
    let mut doomed = rig.worker_with(Queue::PlayerStats, Decider::gated(ack));
    doomed.batch().await?;
    doomed.crash().await;

    let mut worker = rig.worker(Queue::PlayerStats, ack);
    let deliveries = worker.deliveries(published.len()).await?;
    assert_eq!(set(&delivered_ids(&deliveries)), set(&ids(&published)));
    assert!(deliveries.iter().any(|delivery| delivery.redelivered));
    worker.end().await?;
    nothing_is_left(&rig, Queue::PlayerStats, PayloadName::PlayerKicked).await
}

async fn a_worker_that_is_asked_to_end_finishes_its_batch(rig: Rig) -> Result<()> {
    let published = message(PayloadName::PlayerKicked);
    rig.publish([published.clone()]).await?;
    let decider = Decider::gated(ack);
    let gate = decider.gate.clone();
    let mut worker = rig.worker_with(Queue::PlayerStats, decider);
    worker.batch().await?;
    worker.ask_to_end();
    gate.add_permits(1);
    worker.end().await?;
    nothing_is_left(&rig, Queue::PlayerStats, PayloadName::PlayerKicked).await
}

async fn a_panic_loses_nothing(rig: Rig) -> Result<()> {
    let decider = Decider::new(ack);
    decider.panics.store(true, Ordering::SeqCst);
    let worker = rig.worker_with(Queue::PlayerStats, decider);
    comes_again(rig, worker).await
}

async fn a_forgotten_delivery_comes_back(rig: Rig) -> Result<()> {
    let decider = Decider::new(ack);
    decider.forgets.store(true, Ordering::SeqCst);
    let worker = rig.worker_with(Queue::PlayerStats, decider);
    comes_again(rig, worker).await
}

/// The first batch fails as a whole, and is delivered again.
async fn comes_again(rig: Rig, mut worker: Worker) -> Result<()> {
    let published = messages(PayloadName::PlayerKicked, 3);
    rig.publish(published.clone()).await?;
    let (_, failed) = worker.batch().await?;
    let mut again = Vec::new();
    while again.len() < failed.len() {
        again.extend(worker.batch().await?.1.into_iter().filter(|delivery| delivery.redelivered));
    }
    assert_eq!(set(&delivered_ids(&failed)), set(&delivered_ids(&again)));
    worker.end().await?;
    nothing_is_left(&rig, Queue::PlayerStats, PayloadName::PlayerKicked).await
}
