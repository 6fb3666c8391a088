//! Batches, and what is handed out ahead, are bounded by bytes as well as by count.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{BusOptions, Delivery, EmbeddedTransport, RabbitTransport, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;

use crate::rig::{
    Decider, PATIENCE, Rig, Server, Worker, ack, delivered_ids, ids, messages, nothing_is_left, options,
    ready, until,
};

const QUEUE: Queue = Queue::PlayerStats;
const PAYLOAD: PayloadName = PayloadName::PlayerKicked;
const KIB: usize = 1024;

/// A message an event.
fn alone() -> BusOptions {
    BusOptions { group_max_events: 1, topology_check: Duration::from_secs(3600), ..options() }
}

/// Messages with bodies of these sizes.
fn of_sizes(sizes: impl IntoIterator<Item = usize>) -> Vec<Message> {
    let sized = |bytes| {
        let mut message = messages(PAYLOAD, 1).remove(0);
        message.body = Bytes::from(vec![b'x'; bytes]);
        message
    };
    sizes.into_iter().map(sized).collect()
}

fn bytes(batch: &[Delivery]) -> usize {
    batch.iter().map(|delivery| delivery.body.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_full_by_its_bytes_too() -> Result<()> {
    // Who is full waits for nothing more.
    let options = BusOptions { batch_bytes_max: 90 * KIB, batch_wait: 2 * PATIENCE, ..alone() };
    let rig = Rig::rabbit(&options).await?;
    let published = of_sizes([30 * KIB; 9]);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    for three in published.chunks(3) {
        assert_eq!(delivered_ids(&worker.batch().await?.1), ids(three));
    }
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_larger_than_a_batch_is_a_batch() -> Result<()> {
    let rig =
        Rig::rabbit(&BusOptions { batch_bytes_max: 90 * KIB, held_bytes_max: 90 * KIB, ..alone() }).await?;
    let sizes = [1, 200 * KIB, 200 * KIB, 1, 89 * KIB, 2 * KIB, 500 * KIB];
    let published = of_sizes(sizes);
    rig.publish(published.clone()).await?;
    let mut worker = rig.worker(QUEUE, ack);
    let mut seen = Vec::new();
    while seen.len() < published.len() {
        let (_, batch) = worker.batch().await?;
        assert!(batch.len() == 1 || bytes(&batch) <= 90 * KIB, "{} of {} bytes", batch.len(), bytes(&batch));
        seen.extend(delivered_ids(&batch));
    }
    assert_eq!(seen, ids(&published));
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_more_bytes_than_a_batch_comes_in_several() -> Result<()> {
    let grouped = BusOptions { publish_channels: 1, group_above: 1, group_max_events: 64, ..alone() };
    let rig = Rig::rabbit(&BusOptions { batch_bytes_max: 10 * KIB, ..grouped }).await?;
    let published = of_sizes([3 * KIB; 20]);
    rig.publish(published.clone()).await?;
    assert_eq!(rig.ready(QUEUE.name())?, 1);
    let mut worker = rig.worker(QUEUE, ack);
    for three in published.chunks(3) {
        assert_eq!(delivered_ids(&worker.batch().await?.1), ids(three));
    }
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

/// How many the broker has handed out follows their bytes: few until it is seen that they are small, then as many as the
/// prefetch says, and few again when they are large. Nothing is lost or out of order by that, and nothing is held for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_are_handed_out_as_there_are_bytes_for() -> Result<()> {
    const HELD_BYTES: usize = 256 * KIB;
    let held = BusOptions { prefetch: 100, batch_max: 4, held_bytes_max: HELD_BYTES, ..alone() };
    let rig = Rig::rabbit(&held).await?;
    let (small, large) = (of_sizes([10; 300]), of_sizes([20 * KIB; 300]));
    let published = [small, large].concat();
    rig.publish(published.clone()).await?;
    let decider = Decider::gated(ack);
    let gate = decider.gate.clone();
    let mut worker = rig.worker_with(QUEUE, decider);
    let mut seen = delivered_ids(&worker.batch().await?.1);
    let waits = |count: usize| rig.ready(QUEUE.name()).is_ok_and(|ready| ready == count as u64);
    until("four of 64 KiB would fit", || waits(600 - 4)).await?;

    let mut answered = 0;
    while answered < 40 {
        answered = seen.len();
        gate.add_permits(1);
        seen.extend(delivered_ids(&worker.batch().await?.1));
    }
    until("they are small: a hundred", || waits(600 - answered - 100)).await?;

    // When thirteen of these have been seen they are too many; at most the hundred are dealt with before there are few.
    while answered < 450 {
        answered = seen.len();
        gate.add_permits(1);
        seen.extend(delivered_ids(&worker.batch().await?.1));
    }
    let fit = HELD_BYTES / (20 * KIB);
    let handed_out = || rig.ready(QUEUE.name()).map_or(usize::MAX, |ready| 600 - answered - ready as usize);
    until("they are large", || handed_out() <= fit).await?;
    gate.add_permits(1_000);
    while seen.len() < published.len() {
        seen.extend(delivered_ids(&worker.batch().await?.1));
    }
    assert_eq!(seen, ids(&published));
    worker.end().await?;
    nothing_is_left(&rig, QUEUE, PAYLOAD).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_have_batches_of_its_own() -> Result<()> {
    let rig = Rig::rabbit(&alone()).await?;
    let Server::Rabbit(vhost) = &rig.server else { unreachable!() };
    let rabbit = Transport::Rabbit(RabbitTransport::start(&vhost.amqp_url(), &alone())?);
    ready(&rabbit).await?;
    let embedded = Rig::embedded(&options()).await?;
    let Server::Spool(spool, _) = &embedded.server else { unreachable!() };
    let spool = Transport::Embedded(EmbeddedTransport::new(spool.clone(), &options()));
    for transport in [rabbit, spool] {
        let published = messages(PAYLOAD, 10);
        transport.publisher().publish(published.clone()).await?;
        let mut worker = Worker::start(&transport.with_batches(3, 6), QUEUE, Decider::new(ack));
        let mut seen = Vec::new();
        while seen.len() < published.len() {
            let (_, batch) = worker.batch().await?;
            assert!(batch.len() <= 3, "{} in a batch", batch.len());
            seen.extend(delivered_ids(&batch));
        }
        assert_eq!(seen, ids(&published));
        worker.end().await?;
    }
    Ok(())
}
