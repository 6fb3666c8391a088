//! Taking deliveries from one queue in batches, for ever: subscribe, take, settle, and after any failure again.

use std::time::Duration;

use async_trait::async_trait;
use lapin::Connection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::Link;
use super::convert::Incoming;
use super::subscription::Subscription;
use super::topology;
use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, Status};

/// How long the broker may take to open a channel, and a subscription. While the connection lives its heartbeats tell
/// nothing about an answer that never comes.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// What is done with a batch. Every delivery in it has to be settled, here or by the end of the channel, which an error
/// brings about.
#[async_trait]
pub(super) trait BatchSink: Send + Sync {
    async fn take(&self, batch: Vec<Incoming>) -> Result<(), String>;
}

/// Takes from `queue` until `shutdown`; then the batch in hand is finished first.
pub(super) async fn consume(
    address: Address,
    queue: &str,
    sink: &dyn BatchSink,
    options: &BusOptions,
    status: Status,
    shutdown: &CancellationToken,
) {
    let (mut link, guard) = Link::start(address, queue, options, status.clone());
    let mut backoff = Backoff::new(options.reconnect_min, options.reconnect_max);
    loop {
        let connection = tokio::select! {
            connection = link.connection() => connection,
            () = shutdown.cancelled() => None,
        };
        let Some(connection) = connection else { break };
        let begun = Instant::now();
        let Err(problem) = subscribe(&connection, queue, sink, options, &status, shutdown).await else {
            break;
        };
        status.set_idle(problem.clone());
        if begun.elapsed() > options.reconnect_max {
            backoff.reset();
        }
        let wait = backoff.next();
        tracing::warn!(queue, problem, ?wait, "not consuming");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => break,
        }
        if connection.status().connected() {
            declare_again(&connection, queue, options, &status, shutdown).await;
        }
    }
    guard.close().await;
}

/// A connection that lived on may have lost its queue.
async fn declare_again(
    connection: &Connection,
    queue: &str,
    options: &BusOptions,
    status: &Status,
    shutdown: &CancellationToken,
) {
    tokio::select! {
        declared = topology::ensure(connection, options) => if let Err(error) = declared {
            status.set_idle(chain(&error));
            tracing::error!(queue, error = chain(&error), "the topology cannot be declared");
        },
        () = shutdown.cancelled() => {}
    }
}

/// Takes batches until shutdown, or until the subscription ends: then the error says why.
async fn subscribe(
    connection: &Connection,
    queue: &str,
    sink: &dyn BatchSink,
    options: &BusOptions,
    status: &Status,
    shutdown: &CancellationToken,
) -> Result<(), String> {
    let not_opened = |_| format!("the broker has not opened the subscription for {OPEN_PATIENCE:?}");
    let opening = tokio::time::timeout(OPEN_PATIENCE, connection.create_channel());
    let channel = opening.await.map_err(not_opened)?.map_err(|error| chain(&error))?;
    let opening = tokio::time::timeout(OPEN_PATIENCE, Subscription::open(&channel, queue, options));
    let mut subscription = opening.await.map_err(not_opened)?.map_err(|error| chain(&error))?;
    status.set_consuming();
    status.progressed();
    tracing::info!(queue, "consuming");
    while let Some(batch) = subscription.batch(status, shutdown).await? {
        sink.take(batch).await?;
        status.progressed();
    }
    subscription.close().await;
    Ok(())
}
