//! Publishing to RabbitMQ: a success means that the message is kept, and everything else is an error in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use matchpurse_bus::{BusOptions, PublishError, Publisher, RabbitPublisher};
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::{FaultProxy, Vhost};
use tokio::time::Instant;
use uuid::Uuid;

use crate::rig::{Rig, Server, ack, delivered_ids, ids, message, messages, options, set, until};

/// A publisher that reaches its broker through a proxy.
struct Proxied {
    vhost: Vhost,
    proxy: FaultProxy,
    publisher: Arc<RabbitPublisher>,
}

impl Proxied {
    async fn start(options: &BusOptions) -> Result<Self> {
        let vhost = Vhost::create()?;
        let proxy = FaultProxy::start(vhost.broker_address()).await?;
        let publisher = RabbitPublisher::start(&vhost.amqp_url_at(&proxy.address().to_string()), options)?;
        until("the publisher is ready", || publisher.is_ready()).await?;
        Ok(Self { vhost, proxy, publisher })
    }
}

/// Declares the topology once and never again: a test that breaks it wants it broken.
fn once() -> BusOptions {
    BusOptions { topology_check: Duration::from_secs(3600), ..options() }
}

/// Tries until a publish succeeds.
async fn publishes_again(publisher: &dyn Publisher) -> Result<Message> {
    let begun = Instant::now();
    loop {
        let message = message(PayloadName::MatchSnapshot);
        match publisher.publish(vec![message.clone()]).await {
            Ok(()) => return Ok(message),
            Err(error) if begun.elapsed() > crate::rig::PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_an_error() -> Result<()> {
    let vhost = Vhost::create()?;
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &once())?;
    until("the publisher is ready", || publisher.is_ready()).await?;
    for queue in Queue::ALL {
        vhost.delete_queue(queue.name())?;
    }
    let published = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(published, Err(PublishError::Unroutable)), "{published:?}");
    Ok(())
}

/// lapin hands a returned message to any confirm that comes at the time; the message's own must fail all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_an_error_among_what_queues_take() -> Result<()> {
    let vhost = Vhost::create()?;
    let options = BusOptions { publish_channels: 1, ..once() };
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &options)?;
    until("the publisher is ready", || publisher.is_ready()).await?;
    // Only the archive wants this payload.
    vhost.delete_queue(Queue::EventArchive.name())?;
    let mut routable_confirmed = 0;
    for _ in 0..40 {
        let mixed = (0..50).map(|at| {
            message(if at % 7 == 3 { PayloadName::PlayerActivity } else { PayloadName::PlayerKicked })
        });
        let published =
            mixed.map(|message| async { (message.payload, publisher.publish(vec![message]).await) });
        for (payload, result) in join_all(published).await {
            match (payload, result) {
                (PayloadName::PlayerActivity, Err(PublishError::Unroutable)) => {}
                (PayloadName::PlayerActivity, other) => panic!("went nowhere, but: {other:?}"),
                (_, Ok(())) => routable_confirmed += 1,
                // A neighbour may carry what was returned; it is safe to publish it again.
                (_, Err(PublishError::Unroutable)) => {}
                (_, Err(error)) => return Err(error.into()),
            }
        }
    }
    assert!(routable_confirmed > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_keeps_what_it_has() -> Result<()> {
    let rig = Rig::rabbit(&once()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let policy = format!(
        "{{\"pattern\":\"^{}$\",\"definition\":{{\"max-length\":5}},\"apply-to\":\"queues\"}}",
        Queue::EventArchive.name()
    );
    vhost.on("PUT", "policies", "small", &policy)?;
    let mut confirmed = Vec::new();
    let begun = Instant::now();
    // The policy is applied a moment later, and a queue may go over its limit by what is on the way.
    loop {
        let message = message(PayloadName::PlayerActivity);
        match rig.publish([message.clone()]).await {
            Ok(()) => confirmed.push(message),
            Err(PublishError::Refused) => break,
            Err(error) => return Err(error.into()),
        }
        ensure!(begun.elapsed() < crate::rig::PATIENCE, "in vain: a refusal");
    }
    let mut worker = rig.worker(Queue::EventArchive, ack);
    let kept = delivered_ids(&worker.deliveries(confirmed.len()).await?);
    assert!(set(&ids(&confirmed)).is_subset(&set(&kept)));
    worker.end().await?;
    // With room again it takes messages again.
    publishes_again(rig.transport.publisher().as_ref()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_dies_alone_is_replaced() -> Result<()> {
    let Proxied { vhost, proxy, publisher } = Proxied::start(&options()).await?;
    vhost.on("DELETE", "exchanges", EVENTS_EXCHANGE, "")?;
    let published = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    // Unless the exchange was declared again in between.
    assert!(matches!(published, Err(PublishError::Broken(_)) | Ok(())), "{published:?}");
    publishes_again(publisher.as_ref()).await?;
    assert_eq!(proxy.accepted(), 1, "the connection was good and should have been kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_publisher_says_so_at_once() -> Result<()> {
    // On channel 0: connection.blocked with the reason "low on disk", and connection.unblocked.
    let frame = |payload: &[u8]| [&[1, 0, 0, 0, 0, 0, payload.len() as u8], payload, &[0xCE]].concat();
    let blocked = frame(&[&[0, 10, 0, 60, 11][..], b"low on disk"].concat());
    let unblocked = frame(&[0, 10, 0, 61]);

    let Proxied { vhost: _vhost, proxy, publisher } = Proxied::start(&once()).await?;
    publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await?;
    // One is on its way when the broker blocks: paused, so that its confirm cannot come first.
    proxy.pause();
    let (on_its_way, begun) = (publisher.clone(), Instant::now());
    let on_its_way =
        tokio::spawn(async move { on_its_way.publish(vec![message(PayloadName::MatchSnapshot)]).await });
    tokio::task::yield_now().await;
    proxy.say_to_clients(&blocked);
    let answered = on_its_way.await?;
    assert!(matches!(answered, Err(PublishError::Blocked)), "{answered:?}");
    proxy.restore();
    assert!(!publisher.is_ready());
    assert!(publisher.status().state().problem.contains("low on disk"));
    let answered = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(answered, Err(PublishError::Blocked)), "{answered:?}");
    assert!(begun.elapsed() < options().confirm_timeout, "it must not wait for a confirm");

    proxy.say_to_clients(&unblocked);
    until("the publisher is ready", || publisher.is_ready()).await?;
    publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await?;
    assert_eq!(proxy.accepted(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_costs_no_more_than_the_time_limit() -> Result<()> {
    let options = BusOptions { confirm_timeout: Duration::from_millis(300), waiting_max: 10, ..once() };
    let Proxied { vhost: _vhost, proxy, publisher } = Proxied::start(&options).await?;
    proxy.pause();
    let begun = Instant::now();
    let waiting = join_all((0..10).map(|_| publisher.publish(vec![message(PayloadName::MatchSnapshot)])));
    let one_more = async {
        tokio::task::yield_now().await;
        let answered = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
        (answered, begun.elapsed())
    };
    let (waited, (one_more, turned_away_after)) = tokio::join!(waiting, one_more);
    assert!(waited.iter().all(|result| matches!(result, Err(PublishError::TimedOut))), "{waited:?}");
    assert!(begun.elapsed() >= options.confirm_timeout);
    assert!(begun.elapsed() < options.confirm_timeout * 10, "{:?}", begun.elapsed());
    assert!(matches!(one_more, Err(PublishError::Overloaded)), "{one_more:?}");
    assert!(turned_away_after < options.confirm_timeout);

    proxy.restore();
    publishes_again(publisher.as_ref()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_an_error_at_once_and_comes_back() -> Result<()> {
    let Proxied { vhost: _vhost, proxy, publisher } = Proxied::start(&options()).await?;
    proxy.cut();
    let begun = Instant::now();
    let published = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(published, Err(PublishError::Broken(_) | PublishError::NotConnected)), "{published:?}");
    assert!(begun.elapsed() < options().confirm_timeout);
    until("the publisher notices", || !publisher.is_ready()).await?;
    let published = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(published, Err(PublishError::NotConnected)), "{published:?}");
    proxy.restore();
    publishes_again(publisher.as_ref()).await?;
    Ok(())
}

/// Every confirmed message is in the queue, whatever happens to the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_success_is_false() -> Result<()> {
    let Proxied { vhost, proxy, publisher } = Proxied::start(&options()).await?;
    let publishing = async {
        let mut confirmed: BTreeSet<Uuid> = BTreeSet::new();
        let mut failed = 0;
        for round in 0..200 {
            let tried = messages(PayloadName::PlayerActivity, 40);
            let publishes = tried.iter().map(|message| publisher.publish(vec![message.clone()]));
            let (_, results) = tokio::join!(
                async {
                    if round % 20 == 10 {
                        tokio::task::yield_now().await;
                        proxy.cut();
                    }
                },
                join_all(publishes)
            );
            for (message, result) in tried.iter().zip(results) {
                match result {
                    Ok(()) => drop(confirmed.insert(message.id)),
                    Err(_) => failed += 1,
                }
            }
            if round % 20 == 10 {
                proxy.restore();
                confirmed.insert(publishes_again(publisher.as_ref()).await?.id);
            }
        }
        anyhow::Ok((confirmed, failed))
    };
    let (mut missing, failed) = publishing.await?;
    assert!(failed > 0, "the cuts hit nothing");
    assert!(missing.len() > 2000, "{} were confirmed", missing.len());

    let transport = matchpurse_bus::Transport::Rabbit(matchpurse_bus::RabbitTransport::start(
        &vhost.amqp_url(),
        &options(),
    )?);
    let mut worker =
        crate::rig::Worker::start(&transport, Queue::EventArchive, crate::rig::Decider::new(ack));
    while !missing.is_empty() {
        for id in delivered_ids(&worker.batch().await?.1) {
            missing.remove(&id);
        }
    }
    worker.end().await
}
