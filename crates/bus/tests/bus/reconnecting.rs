//! Consuming from RabbitMQ goes on by itself, whatever ends.

use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{BusOptions, Publisher, RabbitPublisher, RabbitTransport, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::{FaultProxy, Vhost};

use crate::rig::{Decider, Worker, ack, delivered_ids, message, options, ready, until};

/// A worker that reaches its broker through a proxy, and a publisher that does not.
struct Proxied {
    vhost: Vhost,
    proxy: FaultProxy,
    direct: Transport,
    worker: Worker,
}

impl Proxied {
    async fn start(decider: Decider) -> Result<Self> {
        let vhost = Vhost::create()?;
        let proxy = FaultProxy::start(vhost.broker_address()).await?;
        let direct = Transport::Rabbit(RabbitTransport::start(&vhost.amqp_url(), &options())?);
        ready(&direct).await?;
        let through = RabbitTransport::start(&vhost.amqp_url_at(&proxy.address().to_string()), &options())?;
        let worker = Worker::start(&Transport::Rabbit(through), Queue::PlayerStats, decider);
        worker.consuming().await?;
        Ok(Self { vhost, proxy, direct, worker })
    }

    async fn delivers(&mut self) -> Result<()> {
        let message = message(PayloadName::PlayerKicked);
        self.direct.publisher().publish(vec![message.clone()]).await?;
        // An earlier one may come again, when its acknowledgement was cut off.
        while !delivered_ids(&self.worker.batch().await?.1).contains(&message.id) {}
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_connection() -> Result<()> {
    let mut rig = Proxied::start(Decider::new(ack)).await?;
    rig.delivers().await?;
    rig.proxy.cut();
    let status = rig.worker.status.clone();
    until("the worker notices", || !status.is_consuming()).await?;
    assert!(!status.state().problem.is_empty(), "it says why");
    rig.proxy.restore();
    rig.delivers().await
}

/// The batch that was in hand is delivered again, because nothing was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_connection_with_a_batch_in_hand() -> Result<()> {
    let decider = Decider::gated(ack);
    let gate = decider.gate.clone();
    let mut rig = Proxied::start(decider).await?;
    let message = message(PayloadName::PlayerKicked);
    rig.direct.publisher().publish(vec![message.clone()]).await?;
    let (_, first) = rig.worker.batch().await?;
    rig.proxy.cut();
    let status = rig.worker.status.clone();
    until("the worker notices", || !status.is_consuming()).await?;
    rig.proxy.restore();
    gate.add_permits(100);
    let (_, again) = rig.worker.batch().await?;
    assert_eq!(delivered_ids(&first), [message.id]);
    assert_eq!(delivered_ids(&again), [message.id]);
    assert!(again[0].redelivered);
    rig.delivers().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_queue_was_deleted() -> Result<()> {
    let mut rig = Proxied::start(Decider::new(ack)).await?;
    rig.delivers().await?;
    let status = rig.worker.status.clone();
    rig.vhost.delete_queue(Queue::PlayerStats.name())?;
    until("the worker notices", || !status.is_consuming()).await?;
    until("the worker is consuming", || status.is_consuming()).await?;
    rig.delivers().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_broker_has_closed_the_connections() -> Result<()> {
    let mut rig = Proxied::start(Decider::new(ack)).await?;
    rig.delivers().await?;
    // The management learns of a connection a little late.
    let vhost = &rig.vhost;
    until("connections are closed", || vhost.close_connections().unwrap()).await?;
    let direct = &rig.direct;
    until("the publisher is ready", || direct.publisher().is_ready()).await?;
    let message = message(PayloadName::PlayerKicked);
    while rig.direct.publisher().publish(vec![message.clone()]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(delivered_ids(&rig.worker.batch().await?.1), [message.id]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_broker_comes_up_late_or_is_silent_at_first() -> Result<()> {
    let vhost = Vhost::create()?;
    let proxy = FaultProxy::start(vhost.broker_address()).await?;
    proxy.cut();
    let options = BusOptions { connection_timeout: Duration::from_millis(200), ..options() };
    let publisher = RabbitPublisher::start(&vhost.amqp_url_at(&proxy.address().to_string()), &options)?;
    // Nobody is there.
    until("it tries again and again", || proxy.accepted() >= 3).await?;
    // Somebody is there, and says nothing.
    proxy.pause();
    let status = publisher.status().clone();
    until("it gives up a handshake", || status.state().problem.contains("handshake")).await?;
    let tried = proxy.accepted();
    until("it tries again and again", || proxy.accepted() >= tried + 3).await?;
    proxy.restore();
    until("the publisher is ready", || publisher.is_ready()).await?;
    publisher.publish(vec![message(PayloadName::PlayerKicked)]).await?;
    Ok(())
}
