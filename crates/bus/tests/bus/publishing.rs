//! Publishing to RabbitMQ: a success means that the message is kept, and everything else is an error in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use matchpurse_bus::{BusOptions, PublishError, Publisher, RabbitPublisher};
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::{FaultProxy, Vhost};
use tokio::time::Instant;
use uuid::Uuid;

use crate::rig::{ack, delivered_ids, message, messages, options, until};

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
        // Each of its channels has published once, so that faults meet open channels.
        for _ in 0..options.publish_channels {
            publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await?;
        }
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
async fn a_topology_that_lacks_queues_is_repaired() -> Result<()> {
    let vhost = Vhost::create()?;
    let publisher = RabbitPublisher::start(&vhost.amqp_url(), &once())?;
    until("the publisher is ready", || publisher.is_ready()).await?;
    for queue in Queue::ALL {
        vhost.delete_queue(queue.name())?;
    }
    let published = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(published, Err(PublishError::Unroutable)), "{published:?}");
    // It is not left at that: what came back shows that the topology is not what it should be.
    publishes_again(publisher.as_ref()).await?;
    Ok(())
}

/// lapin hands a returned message to any confirm that it resolves at the time. Here the broker, whose words the
/// proxy says, returns the second of three messages and confirms all three with one word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_an_error_among_what_queues_take() -> Result<()> {
    let options = BusOptions { publish_channels: 1, group_max_events: 1, ..once() };
    let Proxied { vhost: _vhost, proxy, publisher } = Proxied::start(&options).await?;
    proxy.swallow();
    for round in 0..20 {
        let tried = messages(PayloadName::PlayerActivity, 3);
        let publishes = join_all(tried.iter().map(|message| publisher.publish(vec![message.clone()])));
        let broker = async {
            until("all are sent", || tried.iter().all(|message| find_body(&proxy, message).is_some()))
                .await?;
            let channel = find_body(&proxy, &tried[2]).context("sent")?;
            proxy.say_to_clients(&words::returned(channel, &tried[1]));
            proxy.say_to_clients(&words::confirmed_up_to(channel, 1 + 3 * (round + 1)));
            anyhow::Ok(())
        };
        let (results, told) = tokio::join!(publishes, broker);
        told?;
        assert!(matches!(results[1], Err(PublishError::Unroutable)), "round {round}: {results:?}");
        // A neighbour whose confirm carried it fails too; that one is safe to publish again.
        let neighbours = [&results[0], &results[2]];
        assert!(neighbours.iter().any(|result| result.is_ok()), "round {round}: {results:?}");
    }
    Ok(())
}

/// The channel on which a body was sent, when it was.
fn find_body(proxy: &FaultProxy, message: &Message) -> Option<u16> {
    let sent = proxy.swallowed();
    // A body's frame: its type 3, two bytes of channel, four of length, the body, an end.
    let frame = [&[message.body.len() as u8], &message.body[..], &[0xCE]].concat();
    let at = sent.windows(frame.len()).position(|window| window == frame)?;
    Some(u16::from_be_bytes([sent[at - 5], sent[at - 4]]))
}

/// What a broker says, in AMQP 0-9-1.
mod words {
    use matchpurse_contracts::wire::Message;

    /// Blocked, because it is `low on disk`.
    pub(super) fn blocked() -> Vec<u8> {
        method(0, &[&[0, 10, 0, 60][..], &short("low on disk")].concat())
    }

    pub(super) fn unblocked() -> Vec<u8> {
        method(0, &[0, 10, 0, 61])
    }

    /// Returned with 312, no route: the method, the header with nothing but the message's id, and the body.
    pub(super) fn returned(channel: u16, message: &Message) -> Vec<u8> {
        let key = short(&message.routing_key);
        let method_frame =
            method(channel, &[&[0, 60, 0, 50, 1, 56][..], &short("NO_ROUTE"), &short(""), &key].concat());
        let id = short(&message.id.to_string());
        let length = (message.body.len() as u64).to_be_bytes();
        let header = frame(2, channel, &[&[0, 60, 0, 0][..], &length, &[0, 0x80], &id].concat());
        [method_frame, header, frame(3, channel, &message.body)].concat()
    }

    /// Confirmed, all up to a number.
    pub(super) fn confirmed_up_to(channel: u16, number: u64) -> Vec<u8> {
        method(channel, &[&[0, 60, 0, 80][..], &number.to_be_bytes(), &[1]].concat())
    }

    fn method(channel: u16, payload: &[u8]) -> Vec<u8> {
        frame(1, channel, payload)
    }

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&[kind][..], &channel.to_be_bytes(), &length, payload, &[0xCE]].concat()
    }

    fn short(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }
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
    let Proxied { vhost: _vhost, proxy, publisher } = Proxied::start(&once()).await?;
    // One is on its way when the broker blocks: paused, so that its confirm cannot come first.
    proxy.pause();
    let (on_its_way, begun) = (publisher.clone(), Instant::now());
    let on_its_way =
        tokio::spawn(async move { on_its_way.publish(vec![message(PayloadName::MatchSnapshot)]).await });
    tokio::task::yield_now().await;
    proxy.say_to_clients(&words::blocked());
    let answered = on_its_way.await?;
    assert!(matches!(answered, Err(PublishError::Blocked)), "{answered:?}");
    proxy.restore();
    assert!(!publisher.is_ready());
    assert!(publisher.status().state().problem.contains("low on disk"));
    let answered = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
    assert!(matches!(answered, Err(PublishError::Blocked)), "{answered:?}");
    assert!(begun.elapsed() < options().confirm_timeout, "it must not wait for a confirm");

    proxy.say_to_clients(&words::unblocked());
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
    let publish = |_| async {
        let answered = publisher.publish(vec![message(PayloadName::MatchSnapshot)]).await;
        (answered, begun.elapsed())
    };
    let answers = join_all((0..11).map(publish)).await;
    // Ten wait for the whole time limit, and whichever came last is turned away without waiting.
    let (turned_away, waited): (Vec<_>, Vec<_>) =
        answers.iter().partition(|(answered, _)| matches!(answered, Err(PublishError::Overloaded)));
    assert!(
        matches!(turned_away[..], [(_, after)] if waited.iter().all(|(_, waited)| after < waited)),
        "{answers:?}"
    );
    let in_time = |(answered, after): &&(_, Duration)| {
        matches!(answered, Err(PublishError::TimedOut)) && *after >= options.confirm_timeout
    };
    assert!(waited.iter().all(in_time), "{answers:?}");
    // A bound for a hang, not a measurement: the machine may be busy.
    assert!(begun.elapsed() < options.confirm_timeout * 100, "{:?}", begun.elapsed());

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
