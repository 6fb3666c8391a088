//! What RabbitMQ gives up, and what strangers publish.

use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{BusOptions, Disposition, Status};
use matchpurse_contracts::topology::{DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};
use matchpurse_domain::event::PayloadName;
use tokio_util::sync::CancellationToken;

use crate::rig::{Failures, Parked, Rig, Server, ack, delivered_ids, message, options, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_gives_up_is_parked() -> Result<()> {
    let rig = Rig::rabbit(&options()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let given_up = message(PayloadName::PlayerStanding);
    rig.publish([given_up.clone()]).await?;
    // An operator rejects it, as the broker does after too many deliveries.
    let reject = "{\"count\":1,\"ackmode\":\"reject_requeue_false\",\"encoding\":\"base64\"}";
    vhost.on("POST", "queues", &format!("{}/get", Queue::OfferRemoval.name()), reject)?;

    let (failures, shutdown) = (Failures::default(), CancellationToken::new());
    // The log is away at first: nothing may be lost.
    failures.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let drain = {
        let (transport, log) = (rig.transport.clone(), std::sync::Arc::new(failures.clone()));
        let shutdown = shutdown.clone();
        tokio::spawn(async move { transport.drain_dead_letters(log, Status::new(), shutdown).await })
    };
    let tried = failures.clone();
    until("parking is tried", || tried.tries() > 1).await?;
    failures.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    until("the dead letter is parked", || !failures.parked().is_empty()).await?;
    shutdown.cancel();
    drain.await?;
    let parked = failures.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].id, Some(given_up.id));
    assert_eq!(parked[0].queue, Queue::OfferRemoval.name());
    assert_eq!(parked[0].routing_key, given_up.routing_key);
    assert_eq!(parked[0].reason, "given up by the broker: rejected");
    assert_eq!(vhost.ready(DEAD_LETTER_QUEUE)?, 0);
    Ok(())
}

/// A retried message has passed a delay, which the broker calls a death too. Parked is what gave it up in the end: only
/// that queue's worker is to get it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_names_the_queue_that_gave_it_up_last() -> Result<()> {
    let rig = Rig::rabbit(&options()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let retried = message(PayloadName::PlayerStanding);
    let mut worker = rig.worker(Queue::OfferRemoval, |_| Disposition::Retry(Duration::from_millis(1)));
    worker.consuming().await?;
    rig.publish([retried.clone()]).await?;
    worker.deliveries(1).await?;
    // It waits in the delay, and nobody takes it from the queue when it comes back.
    worker.end().await?;
    until("it is back", || vhost.ready(Queue::OfferRemoval.name()).is_ok_and(|ready| ready == 1)).await?;
    let reject = "{\"count\":1,\"ackmode\":\"reject_requeue_false\",\"encoding\":\"base64\"}";
    vhost.on("POST", "queues", &format!("{}/get", Queue::OfferRemoval.name()), reject)?;

    let parked = parked(&rig, 1).await?;
    assert_eq!(parked[0].id, Some(retried.id));
    assert_eq!(parked[0].queue, Queue::OfferRemoval.name());
    assert_eq!(parked[0].reason, "given up by the broker: rejected");
    assert!(parked[0].by_broker);
    assert_eq!(parked[0].routing_key, retried.routing_key, "the one that it was published with");
    Ok(())
}

/// While there is nowhere to bring them, dead letters stay with the queue that gave them up, and are still there when
/// the topology is whole again. That the broker then moves them is its business, and takes it up to three minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_without_a_target_are_not_lost() -> Result<()> {
    let rig = Rig::rabbit(&BusOptions { topology_check: Duration::from_secs(3600), ..options() }).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let given_up = message(PayloadName::PlayerStanding);
    rig.publish([given_up]).await?;
    let binding = format!("e/{DEAD_LETTER_EXCHANGE}/q/{DEAD_LETTER_QUEUE}/~");
    vhost.on("DELETE", "bindings", &binding, "")?;
    let reject = "{\"count\":1,\"ackmode\":\"reject_requeue_false\",\"encoding\":\"base64\"}";
    vhost.on("POST", "queues", &format!("{}/get", Queue::OfferRemoval.name()), reject)?;

    let counts = || -> Result<(u64, u64)> {
        let shown = vhost.on("GET", "queues", Queue::OfferRemoval.name(), "")?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        let count = |name: &str| shown.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
        Ok((count("messages_dlx"), count("messages_ready")))
    };
    until("it waits to be brought away", || counts().is_ok_and(|counts| counts == (1, 0))).await?;
    assert_eq!(vhost.ready(DEAD_LETTER_QUEUE)?, 0);
    Ok(())
}

/// What is drained from the queue of dead letters, when there are so many.
async fn parked(rig: &Rig, count: usize) -> Result<Vec<Parked>> {
    let (failures, shutdown) = (Failures::default(), CancellationToken::new());
    let drain = {
        let (transport, log) = (rig.transport.clone(), std::sync::Arc::new(failures.clone()));
        let shutdown = shutdown.clone();
        tokio::spawn(async move { transport.drain_dead_letters(log, Status::new(), shutdown).await })
    };
    until("the dead letters are parked", || failures.parked().len() >= count).await?;
    shutdown.cancel();
    drain.await?;
    Ok(failures.parked())
}

/// Whatever properties it has, a handler is given it, and it can be retried and parked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_s_message_passes_like_any_other() -> Result<()> {
    let rig = Rig::rabbit(&options()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let mut worker = rig.worker(Queue::OfferRemoval, |delivery| {
        if delivery.redelivered {
            Disposition::Park("not ours".to_owned())
        } else {
            Disposition::Retry(Duration::from_millis(1))
        }
    });
    worker.consuming().await?;
    let strange = [
        "{}",
        "{\"message_id\":\"not a uuid\",\"type\":\"?\",\"headers\":{\"traceparent\":7}}",
        "{\"headers\":{\"traceparent\":[1,{\"a\":2}],\"x-death\":\"no table\",\"x-delivery-count\":\"x\"}}",
        "{\"headers\":{\"x-first-death-queue\":{\"q\":1}},\"delivery_mode\":1,\"priority\":9}",
    ];
    for (number, properties) in strange.iter().enumerate() {
        vhost.publish(EVENTS_EXCHANGE, "offer_changed.x.y", properties, &format!("strange {number}"))?;
    }
    let mut comes = Vec::new();
    while comes.len() < 2 * strange.len() {
        comes.extend(worker.batch().await?.1);
    }
    for delivery in &comes {
        assert_eq!((delivery.id, delivery.traceparent.as_deref()), (None, None), "{delivery:?}");
        assert_eq!(delivery.routing_key, "offer_changed.x.y");
    }
    let failures = worker.failures.clone();
    until("all are parked", || failures.parked().len() == strange.len()).await?;
    worker.end().await?;

    // Nobody was harmed.
    let neighbour = message(PayloadName::OfferChanged);
    rig.publish([neighbour.clone()]).await?;
    let mut worker = rig.worker(Queue::OfferRemoval, ack);
    assert_eq!(delivered_ids(&worker.batch().await?.1), [neighbour.id]);
    worker.end().await
}
