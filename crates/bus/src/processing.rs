//! What both transports do with a batch: call the handler, and park what it gives up.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use matchpurse_contracts::topology::Queue;

use crate::{Delivery, Disposition, FailureLog, Handler, ParkedDelivery, metric};

/// When a delivery comes back whose handler panicked or forgot it: soon, but not in a hot loop.
const AFTER_DEFECT: Duration = Duration::from_secs(5);
/// When a delivery comes back that should have been parked but could not be.
const AFTER_FAILED_PARKING: Duration = Duration::from_secs(30);

/// What every transport does with a batch: has it handled, and parks what is to be parked. Returns one disposition for
/// each delivery; a `Park` among them is already on durable storage. Public for the model of a broker in the tests: it
/// does the same.
pub async fn process(
    queue: Queue,
    handler: &dyn Handler,
    failure_log: &dyn FailureLog,
    batch: &[Delivery],
) -> Vec<Disposition> {
    let mut dispositions = handle(queue, handler, batch).await;
    park(queue, failure_log, batch, &mut dispositions).await;
    for disposition in &dispositions {
        let name = match disposition {
            Disposition::Ack => "ack",
            Disposition::Retry(_) => "retry",
            Disposition::Park(_) => "park",
        };
        metrics::counter!(metric::DELIVERIES, "queue" => queue.name(), "disposition" => name).increment(1);
    }
    dispositions
}

async fn handle(queue: Queue, handler: &dyn Handler, batch: &[Delivery]) -> Vec<Disposition> {
    metrics::histogram!(metric::BATCH_SIZE, "queue" => queue.name()).record(batch.len() as f64);
    let begun = Instant::now();
    // A panic must not end the worker. The deliveries of its batch are as if they had never been handled: what
    // the handler holds across batches is behind its own locks and transactions.
    let handled = AssertUnwindSafe(handler.process_batch(batch)).catch_unwind().await;
    metrics::histogram!(metric::BATCH_SECONDS, "queue" => queue.name()).record(begun.elapsed());
    let mut dispositions = handled.unwrap_or_else(|_| {
        metrics::counter!(metric::HANDLER_PANICS, "queue" => queue.name()).increment(1);
        tracing::error!(
            queue = queue.name(),
            deliveries = batch.len(),
            "a handler panicked; its batch is retried"
        );
        Vec::new()
    });
    if !dispositions.is_empty() && dispositions.len() != batch.len() {
        tracing::error!(
            queue = queue.name(),
            deliveries = batch.len(),
            dispositions = dispositions.len(),
            "a handler did not answer for each delivery; its batch is retried"
        );
        dispositions.clear();
    }
    dispositions.resize(batch.len(), Disposition::Retry(AFTER_DEFECT));
    dispositions
}

/// Parks the deliveries whose disposition says so. If that fails they become retries, so that nothing is
/// acknowledged that is not kept elsewhere.
async fn park(
    queue: Queue,
    failure_log: &dyn FailureLog,
    batch: &[Delivery],
    dispositions: &mut [Disposition],
) {
    let parked: Vec<ParkedDelivery<'_>> = batch
        .iter()
        .zip(dispositions.iter())
        .filter_map(|(delivery, disposition)| match disposition {
            Disposition::Park(reason) => {
                Some(ParkedDelivery { queue: queue.name(), delivery, reason, by_broker: false })
            }
            Disposition::Ack | Disposition::Retry(_) => None,
        })
        .collect();
    if parked.is_empty() {
        return;
    }
    if let Err(error) = failure_log.park(&parked).await {
        let (queue, deliveries) = (queue.name(), parked.len());
        tracing::error!(queue, deliveries, error = %chain(&error), "parking failed; the deliveries are retried");
        for disposition in dispositions {
            if matches!(disposition, Disposition::Park(_)) {
                *disposition = Disposition::Retry(AFTER_FAILED_PARKING);
            }
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // lapin prints its cause itself.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
