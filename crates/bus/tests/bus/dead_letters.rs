//! What RabbitMQ gives up, and what strangers publish.

use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{Disposition, Status};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};
use matchpurse_domain::event::PayloadName;
use tokio_util::sync::CancellationToken;

use crate::rig::{Failures, Rig, Server, ack, delivered_ids, message, options, until};

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
