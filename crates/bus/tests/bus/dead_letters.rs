//! What strangers publish to RabbitMQ. What it gives up is in `brokers`.

use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::Disposition;
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use matchpurse_domain::event::PayloadName;

use crate::rig::{Rig, Server, ack, delivered_ids, message, options, until};

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
