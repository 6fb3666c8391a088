//! The spool catches events while RabbitMQ is away, and the relay brings them there.

use std::sync::Arc;

use anyhow::Result;
use matchpurse_bus::{
    Destination, FallbackPublisher, Publisher, RabbitPublisher, RabbitTransport, Spool, SpoolPublisher,
    Status, Transport, relay_to_broker,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::{Database, FaultProxy, Vhost};
use tokio_util::sync::CancellationToken;

use crate::rig::{Decider, Worker, ack, delivered_ids, ids, messages, options, ready, set, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_their_workers_through_a_broker_s_absence() -> Result<()> {
    let (vhost, database) = (Vhost::create()?, Database::create().await?);
    let proxy = FaultProxy::start(vhost.broker_address()).await?;
    let broker = RabbitPublisher::start(&vhost.amqp_url_at(&proxy.address().to_string()), &options())?;
    let spool: Arc<dyn Spool> = Arc::new(database.store().await?.spool(1000));
    let publisher = FallbackPublisher::new(broker.clone(), SpoolPublisher::to_broker(spool.clone()));
    until("the broker's publisher is ready", || broker.is_ready()).await?;
    let shutdown = CancellationToken::new();
    let status = Status::new();
    let relay = tokio::spawn(relay_to_broker(
        spool.clone(),
        broker.clone(),
        options(),
        status.clone(),
        shutdown.clone(),
    ));

    let before = messages(PayloadName::ContestOutcome, 5);
    publisher.publish(before.clone()).await?;
    assert_eq!(spool.backlog(Destination::Broker).await?.0, 0, "the broker takes them itself");

    proxy.cut();
    let during = messages(PayloadName::ContestOutcome, 600);
    for some in during.chunks(50) {
        publisher.publish(some.to_vec()).await?;
    }
    assert_eq!(spool.backlog(Destination::Broker).await?.0, during.len() as u64);
    assert!(publisher.is_ready(), "with a spool the service can take events");

    proxy.restore();
    let direct = Transport::Rabbit(RabbitTransport::start(&vhost.amqp_url(), &options())?);
    ready(&direct).await?;
    let mut worker = Worker::start(&direct, Queue::EventArchive, Decider::new(ack));
    let wanted = set(&[ids(&before), ids(&during)].concat());
    let mut arrived = std::collections::BTreeSet::new();
    while !wanted.is_subset(&arrived) {
        arrived.extend(delivered_ids(&worker.batch().await?.1));
    }
    worker.end().await?;
    let emptied = async {
        while spool.backlog(Destination::Broker).await?.0 > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(crate::rig::PATIENCE, emptied).await??;
    shutdown.cancel();
    relay.await?;
    Ok(())
}

/// One message that the broker cannot take must not hold up the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_passes_by_what_the_broker_does_not_take() -> Result<()> {
    let (vhost, database) = (Vhost::create()?, Database::create().await?);
    let broker = RabbitPublisher::start(&vhost.amqp_url(), &options())?;
    until("the broker's publisher is ready", || broker.is_ready()).await?;
    let spool: Arc<dyn Spool> = Arc::new(database.store().await?.spool(1000));
    let mut stuck = messages(PayloadName::PlayerActivity, 1);
    // AMQP holds a routing key to 255 bytes.
    stuck[0].routing_key = "x".repeat(300);
    let wanted = messages(PayloadName::PlayerKicked, 9);
    let spooled = SpoolPublisher::to_broker(spool.clone());
    spooled.publish([stuck, wanted].concat()).await?;

    let shutdown = CancellationToken::new();
    let status = Status::new();
    let relay =
        tokio::spawn(relay_to_broker(spool.clone(), broker, options(), status.clone(), shutdown.clone()));
    let emptied = async {
        while spool.backlog(Destination::Broker).await?.0 > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(crate::rig::PATIENCE, emptied).await??;
    shutdown.cancel();
    relay.await?;
    assert_eq!(spool.backlog(Destination::Broker).await?.0, 1, "it is kept");
    Ok(())
}
