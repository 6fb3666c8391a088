//! What a broker promises, RabbitMQ and the model of it alike: the simulation is worth what the model is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use matchpurse_bus::{BusOptions, Disposition, PublishError, Publisher, Status};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::rig::{
    Decider, Failures, PATIENCE, Rig, ack, delivered_ids, ids, message, messages, options, parked_of, ready,
    set, until,
};

macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::rabbit(&once()).await?).await
            })*
        }
        mod model {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                super::$name(Rig::model(&once())).await
            })*
        }
    };
}

on_both_brokers!(
    what_no_queue_takes_is_an_error,
    a_full_queue_refuses_and_keeps_what_it_has,
    what_was_confirmed_outlives_every_connection,
    what_was_acknowledged_does_not_come_again,
    what_comes_again_is_marked_and_comes_before_what_is_new,
    two_consumers_share_what_is_in_a_queue,
    past_the_limit_of_deliveries_it_is_a_dead_letter,
    a_retry_counts_no_delivery,
    what_the_broker_gives_up_is_parked,
    a_dead_letter_names_the_queue_that_gave_it_up_last,
    dead_letters_without_a_target_are_not_lost,
);

const QUEUE: Queue = Queue::OfferRemoval;

/// Declares the topology once and never again: a test that breaks it wants it broken. A message an event: the tests count.
fn once() -> BusOptions {
    BusOptions { topology_check: Duration::from_secs(3600), group_max_events: 1, ..options() }
}

/// Tries until a publish succeeds.
async fn publishes_again(publisher: &dyn Publisher) -> Result<Message> {
    let begun = Instant::now();
    loop {
        let message = message(PayloadName::PlayerStanding);
        match publisher.publish(vec![message.clone()]).await {
            Ok(()) => return Ok(message),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn what_no_queue_takes_is_an_error(rig: Rig) -> Result<()> {
    for queue in Queue::ALL {
        rig.delete_queue(queue)?;
    }
    let published = rig.publish([message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(published, Err(PublishError::Unroutable)), "{published:?}");
    Ok(())
}

async fn a_full_queue_refuses_and_keeps_what_it_has(rig: Rig) -> Result<()> {
    rig.limit(Queue::EventArchive, "max-length", 5)?;
    let mut confirmed = Vec::new();
    let begun = Instant::now();
    // RabbitMQ applies a limit a moment later, and goes over it by what is on the way.
    loop {
        let message = message(PayloadName::PlayerActivity);
        match rig.publish([message.clone()]).await {
            Ok(()) => confirmed.push(message),
            Err(PublishError::Refused) => break,
            Err(error) => return Err(error.into()),
        }
        ensure!(begun.elapsed() < PATIENCE, "in vain: a refusal");
    }
    let mut worker = rig.worker(Queue::EventArchive, ack);
    let kept = delivered_ids(&worker.deliveries(confirmed.len()).await?);
    assert!(set(&ids(&confirmed)).is_subset(&set(&kept)));
    worker.end().await?;
    // With room again it takes messages again.
    publishes_again(rig.transport.publisher().as_ref()).await?;
    Ok(())
}

async fn what_was_confirmed_outlives_every_connection(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::PlayerStanding, 20);
    rig.publish(published.clone()).await?;
    rig.drop_connections().await?;
    let later = publishes_again(rig.transport.publisher().as_ref()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    let mut arrived = BTreeSet::new();
    while !arrived.contains(&later.id) {
        arrived.extend(delivered_ids(&worker.batch().await?.1));
    }
    assert!(set(&ids(&published)).is_subset(&arrived), "{arrived:?}");
    worker.end().await
}

async fn what_was_acknowledged_does_not_come_again(rig: Rig) -> Result<()> {
    let published = messages(PayloadName::PlayerStanding, 20);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    assert_eq!(delivered_ids(&worker.deliveries(published.len()).await?), ids(&published));
    worker.end().await?;
    rig.drop_connections().await?;
    ready(&rig.transport).await?;
    let last = publishes_again(rig.transport.publisher().as_ref()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    assert_eq!(delivered_ids(&worker.batch().await?.1), [last.id]);
    worker.end().await
}

async fn what_comes_again_is_marked_and_comes_before_what_is_new(rig: Rig) -> Result<()> {
    let first = messages(PayloadName::PlayerStanding, 5);
    rig.publish(first.clone()).await?;
    let mut doomed = rig.worker_with(QUEUE, Decider::gated(ack));
    // Some it works on, and the rest it was sent ahead.
    doomed.batch().await?;
    until("all are handed out", || rig.waits(QUEUE).is_ok_and(|(_, handed)| handed == 5)).await?;
    doomed.crash().await;
    let second = messages(PayloadName::PlayerStanding, 3);
    rig.publish(second.clone()).await?;
    until("all wait", || rig.waits(QUEUE).is_ok_and(|waits| waits == (8, 0))).await?;

    let mut worker = rig.worker(QUEUE, ack);
    let deliveries = worker.deliveries(8).await?;
    assert_eq!(delivered_ids(&deliveries), [ids(&first), ids(&second)].concat());
    let marked: Vec<bool> = deliveries.iter().map(|delivery| delivery.redelivered).collect();
    assert_eq!(marked, [[true; 5].as_slice(), &[false; 3]].concat());
    worker.end().await
}

async fn two_consumers_share_what_is_in_a_queue(rig: Rig) -> Result<()> {
    let (one, other) = (rig.worker(QUEUE, ack), rig.worker(QUEUE, ack));
    one.consuming().await?;
    other.consuming().await?;
    until("both consume", || rig.consumers(QUEUE).is_ok_and(|consumers| consumers == 2)).await?;
    let published = messages(PayloadName::PlayerStanding, 60);
    rig.publish(published.clone()).await?;
    let mut shares = Vec::new();
    for mut worker in [one, other] {
        // Half of them each: the broker takes turns.
        shares.push(delivered_ids(&worker.deliveries(published.len() / 2).await?));
        worker.end().await?;
    }
    let all = shares.concat();
    assert_eq!(all.len(), published.len(), "{shares:?}");
    assert_eq!(set(&all), set(&ids(&published)));
    Ok(())
}

async fn past_the_limit_of_deliveries_it_is_a_dead_letter(rig: Rig) -> Result<()> {
    rig.limit(QUEUE, "delivery-limit", 2)?;
    let poison = message(PayloadName::PlayerStanding);
    rig.publish([poison.clone()]).await?;
    // It may come back twice: that makes three deliveries.
    for time in 0..3 {
        let mut doomed = rig.worker_with(QUEUE, Decider::gated(ack));
        let (_, batch) = doomed.batch().await?;
        assert_eq!((delivered_ids(&batch), batch[0].redelivered), (vec![poison.id], time > 0));
        doomed.crash().await;
    }
    let parked = parked_of(&rig, 1).await?;
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].id, parked[0].queue.as_str()), (Some(poison.id), QUEUE.name()));
    assert_eq!(parked[0].reason, "given up by the broker: delivery_limit");
    assert_eq!(rig.ready(QUEUE.name())?, 0);
    Ok(())
}

/// A retry is a new message to the broker: its own fence is for crashes.
async fn a_retry_counts_no_delivery(rig: Rig) -> Result<()> {
    rig.limit(QUEUE, "delivery-limit", 1)?;
    let published = message(PayloadName::PlayerStanding);
    let mut worker = rig.worker(QUEUE, |_| Disposition::Retry(Duration::from_millis(1)));
    worker.consuming().await?;
    rig.publish([published.clone()]).await?;
    for _ in 0..3 {
        assert_eq!(delivered_ids(&worker.batch().await?.1), [published.id]);
    }
    assert_eq!(rig.ready(DEAD_LETTER_QUEUE)?, 0);
    worker.end().await
}

async fn what_the_broker_gives_up_is_parked(rig: Rig) -> Result<()> {
    let given_up = message(PayloadName::PlayerStanding);
    rig.publish([given_up.clone()]).await?;
    // An operator rejects it, as the broker does after too many deliveries.
    rig.reject_first(QUEUE)?;

    let (failures, shutdown) = (Failures::default(), CancellationToken::new());
    // The log is away at first: nothing may be lost.
    failures.broken.store(true, Ordering::SeqCst);
    let drain = {
        let (transport, log, shutdown) =
            (rig.transport.clone(), Arc::new(failures.clone()), shutdown.clone());
        tokio::spawn(async move { transport.drain_dead_letters(log, Status::new(), shutdown).await })
    };
    let tried = failures.clone();
    until("parking is tried", || tried.tries() > 1).await?;
    failures.broken.store(false, Ordering::SeqCst);
    until("the dead letter is parked", || !failures.parked().is_empty()).await?;
    shutdown.cancel();
    drain.await?;
    let parked = failures.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].id, Some(given_up.id));
    assert_eq!(parked[0].queue, QUEUE.name());
    assert_eq!(parked[0].routing_key, given_up.routing_key);
    assert_eq!(parked[0].reason, "given up by the broker: rejected");
    assert_eq!(rig.ready(DEAD_LETTER_QUEUE)?, 0);
    Ok(())
}

/// A retried message has passed a delay, which the broker calls a death too. Parked is what gave it up in the end: only
/// that queue's worker is to get it again.
async fn a_dead_letter_names_the_queue_that_gave_it_up_last(rig: Rig) -> Result<()> {
    let retried = message(PayloadName::PlayerStanding);
    let mut worker = rig.worker(QUEUE, |_| Disposition::Retry(Duration::from_millis(1)));
    worker.consuming().await?;
    rig.publish([retried.clone()]).await?;
    worker.deliveries(1).await?;
    // It waits in the delay, and nobody takes it from the queue when it comes back.
    worker.end().await?;
    until("it is back", || rig.ready(QUEUE.name()).is_ok_and(|ready| ready == 1)).await?;
    rig.reject_first(QUEUE)?;

    let parked = parked_of(&rig, 1).await?;
    assert_eq!(parked[0].id, Some(retried.id));
    assert_eq!(parked[0].queue, QUEUE.name());
    assert_eq!(parked[0].reason, "given up by the broker: rejected");
    assert!(parked[0].by_broker);
    assert_eq!(parked[0].routing_key, retried.routing_key, "the one that it was published with");
    Ok(())
}

/// While there is nowhere to bring them, dead letters stay with the queue that gave them up, and are still there when
/// the topology is whole again. That the broker then moves them is its business, and takes it up to three minutes.
async fn dead_letters_without_a_target_are_not_lost(rig: Rig) -> Result<()> {
    rig.publish([message(PayloadName::PlayerStanding)]).await?;
    rig.unbind_dead_letters()?;
    rig.reject_first(QUEUE)?;
    let waits = || rig.given_up(QUEUE).is_ok_and(|count| count == 1);
    until("it waits to be brought away", waits).await?;
    assert_eq!((rig.ready(QUEUE.name())?, rig.ready(DEAD_LETTER_QUEUE)?), (0, 0));
    Ok(())
}
