//! What is declared on RabbitMQ.

use anyhow::{Context as _, Result};
use matchpurse_bus::{RabbitError, RabbitPublisher, TopologyError, declare_topology};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_testkit::Vhost;

use crate::rig::{options, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_queue_keeps_what_it_confirms() -> Result<()> {
    let vhost = Vhost::create()?;
    declare_topology(&vhost.amqp_url(), &options()).await?;
    // Again, over what exists.
    declare_topology(&vhost.amqp_url(), &options()).await?;
    for queue in Queue::ALL {
        let shown = vhost.on("GET", "queues", queue.name(), "")?;
        for property in [
            "\"durable\":true",
            "\"x-queue-type\":\"quorum\"",
            "\"x-overflow\":\"reject-publish\"",
            "\"x-dead-letter-strategy\":\"at-least-once\"",
            "\"x-dead-letter-exchange\":\"matchpurse.dead-letter\"",
            "\"x-delivery-limit\":1000",
        ] {
            assert!(shown.contains(property), "{} has no {property}: {shown}", queue.name());
        }
    }
    let shown = vhost.on("GET", "queues", DEAD_LETTER_QUEUE, "")?;
    assert!(shown.contains("\"durable\":true") && shown.contains("\"x-queue-type\":\"quorum\""), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_properties_is_named() -> Result<()> {
    let vhost = Vhost::create()?;
    let name = Queue::RewardFulfillment.name();
    vhost.on("PUT", "queues", name, "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"classic\"}}")?;
    let error = declare_topology(&vhost.amqp_url(), &options()).await.err().context("it was accepted")?;
    assert!(matches!(error, RabbitError::Topology(TopologyError::Different { .. })), "{error:?}");
    assert!(error.to_string().contains(&format!("queue `{name}`")), "{error}");
    assert!(error.to_string().contains("delete"), "{error}");

    // A service shows it, and goes on as soon as it is repaired.
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &options())?;
    let status = publisher.status().clone();
    until("the service names the queue", || status.state().problem.contains(name)).await?;
    vhost.delete_queue(name)?;
    until("the publisher is ready", || status.can_publish()).await
}

/// What is published while the bindings are being made must reach the archive at least: from there it comes to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_is_bound_before_any_other() -> Result<()> {
    let vhost = Vhost::create()?;
    // A declaration that goes no further than to the first worker's queue.
    let name = Queue::MatchEscrow.name();
    vhost.on("PUT", "queues", name, "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"classic\"}}")?;
    declare_topology(&vhost.amqp_url(), &options()).await.err().context("it was accepted")?;
    let archive = format!("{}/bindings", Queue::EventArchive.name());
    let bindings = vhost.on("GET", "queues", &archive, "")?;
    assert!(bindings.contains("\"source\":\"matchpurse.events\""), "{bindings}");
    Ok(())
}

#[tokio::test]
async fn a_bad_url_is_refused_without_showing_its_password() {
    for url in ["amqp//u:hunter2@h", "http://u:hunter2@h", "amqp://u:hunter2@h:port/"] {
        let Err(error) = RabbitPublisher::start(url, &options()) else { panic!("{url} was accepted") };
        assert!(matches!(error, RabbitError::Url(_)));
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
    }
}
