//! What a spool's readiness follows, and what a killed process leaves in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use matchpurse_bus::{
    BusOptions, Destination, EmbeddedTransport, FallbackPublisher, PublishError, Publisher, Spool,
    SpoolError, SpoolPublisher, Spooled, Transport, watch_spool,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::Database;
use tokio_util::sync::CancellationToken;

use crate::rig::{Decider, Worker, ack, delivered_ids, ids, message, messages, until};

/// A spool, or a broker, that answers or does not.
#[derive(Default)]
struct Fake {
    away: AtomicBool,
}

impl Fake {
    fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    fn answer<T>(&self, answer: T) -> Result<T, SpoolError> {
        if self.is_away() { Err(SpoolError::Database("the test took it away".into())) } else { Ok(answer) }
    }
}

#[async_trait]
impl Spool for Fake {
    async fn append(&self, _: &[(Message, Vec<Destination>)]) -> Result<(), SpoolError> {
        self.answer(())
    }

    async fn claim(&self, _: Destination, _: usize, _: Duration) -> Result<Vec<Spooled>, SpoolError> {
        self.answer(Vec::new())
    }

    async fn done(&self, _: Destination, _: &[i64]) -> Result<(), SpoolError> {
        self.answer(())
    }

    async fn postpone(&self, _: Destination, _: &[(i64, Duration)]) -> Result<(), SpoolError> {
        self.answer(())
    }

    async fn release_leases(&self) -> Result<u64, SpoolError> {
        self.answer(0)
    }

    async fn backlog(&self, _: Destination) -> Result<(u64, Option<Duration>), SpoolError> {
        self.answer((3, Some(Duration::from_secs(7))))
    }
}

#[async_trait]
impl Publisher for Fake {
    async fn publish(&self, _: Vec<Message>) -> Result<(), PublishError> {
        if self.is_away() { Err(PublishError::NotConnected) } else { Ok(()) }
    }

    fn is_ready(&self) -> bool {
        !self.is_away()
    }
}

#[tokio::test]
async fn either_broker_or_spool_is_enough_and_without_both_it_is_not_ready() -> Result<()> {
    let (broker, spool) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
    let spooling = SpoolPublisher::to_broker(spool.clone());
    let (status, stop) = (spooling.status().clone(), CancellationToken::new());
    let publisher = FallbackPublisher::new(broker.clone(), spooling);
    let watching = tokio::spawn(watch_spool(
        spool.clone(),
        vec![Destination::Broker],
        Duration::from_millis(10),
        status,
        stop.clone(),
    ));
    broker.set_away(true);
    until("the spool answers", || publisher.is_ready()).await?;
    spool.set_away(true);
    until("both are away", || !publisher.is_ready()).await?;
    broker.set_away(false);
    assert!(publisher.is_ready(), "the broker alone is enough");
    broker.set_away(true);
    assert!(!publisher.is_ready());
    spool.set_away(false);
    until("the spool answers again", || publisher.is_ready()).await?;
    stop.cancel();
    Ok(watching.await?)
}

#[tokio::test]
async fn an_append_shows_at_once_whether_the_spool_takes_events() {
    let spool = Arc::new(Fake::default());
    let publisher = SpoolPublisher::to_broker(spool.clone());
    assert!(!publisher.is_ready(), "nobody knows yet");
    for away in [false, true, false] {
        spool.set_away(away);
        let published = publisher.publish(messages(PayloadName::PlayerKicked, 1)).await;
        assert_eq!((published.is_ok(), publisher.is_ready()), (!away, !away));
    }
}

/// The lease of the default options is longer than the test waits.
#[tokio::test]
async fn what_a_killed_process_held_comes_at_once_when_the_next_one_starts() -> Result<()> {
    let database = Database::create().await?;
    let spool: Arc<dyn Spool> = Arc::new(database.store().await?.spool(100));
    let options = BusOptions::default();
    let published = messages(PayloadName::PlayerKicked, 3);
    EmbeddedTransport::new(spool.clone(), &options).publisher().publish(published.clone()).await?;
    let held = spool.claim(Destination::Worker(Queue::PlayerStats), 10, options.spool_lease).await?;
    assert_eq!(held.len(), 3);

    let next = Transport::Embedded(EmbeddedTransport::new(spool.clone(), &options));
    let mut worker = Worker::start(&next, Queue::PlayerStats, Decider::new(ack));
    assert_eq!(delivered_ids(&worker.deliveries(3).await?), ids(&published));
    worker.end().await
}

/// Only the first worker of a transport releases: another one must not take what its neighbour works on.
#[tokio::test]
async fn a_worker_that_starts_later_takes_nothing_from_the_others() -> Result<()> {
    let database = Database::create().await?;
    let spool: Arc<dyn Spool> = Arc::new(database.store().await?.spool(100));
    let transport = Transport::Embedded(EmbeddedTransport::new(spool.clone(), &BusOptions::default()));
    let published = message(PayloadName::PlayerKicked);
    transport.publisher().publish(vec![published.clone()]).await?;
    let decider = Decider::gated(ack);
    let gate = decider.gate.clone();
    let mut first = Worker::start(&transport, Queue::PlayerStats, decider);
    assert_eq!(delivered_ids(&first.batch().await?.1), [published.id]);
    let other = Worker::start(&transport, Queue::OfferRemoval, Decider::new(ack));
    other.consuming().await?;
    let due = spool.claim(Destination::Worker(Queue::PlayerStats), 10, Duration::from_secs(1)).await?;
    assert!(due.is_empty(), "{due:?}");
    gate.add_permits(1);
    first.end().await?;
    other.end().await
}
