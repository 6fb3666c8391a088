//! The event archive: every event with the body that brought it, in a chain of hashes a source.
//!
//! It also makes visible what cannot be applied: events that nobody can read, and what the broker gave up. And
//! it keeps house: old inbox rows are forgotten here, for all workers; the archive's days are made ahead, and let go when
//! they are old enough.

mod days;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use matchpurse_bus::{FailureLog, Status, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::{Store, Tx, archive, parked};
use matchpurse_worker_kit::{Context, Effects, Plan};

pub use days::let_go;

/// How long the inbox remembers. The longest that a provider is known to repeat a delivery is 7 days; an
/// event that comes again later still changes nothing, because every effect has a permanent key.
const INBOX_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Rows that are forgotten in one transaction, so that no worker waits for it.
const INBOX_PRUNED_MAX: u32 = 5_000;
/// Such transactions in a turn: 50,000 rows a second, more than all workers together write, and an end to each
/// turn.
const INBOX_PRUNINGS_MAX: u32 = 100;
/// How often.
const INBOX_PRUNED_EVERY: Duration = Duration::from_secs(10);

/// The worker's effects.
pub struct EventArchive;

#[async_trait]
impl Effects for EventArchive {
    fn queue(&self) -> Queue {
        Queue::EventArchive
    }

    async fn apply_in_tx(
        &self,
        tx: &Tx<'_>,
        events: &[Event],
        now: Timestamp,
    ) -> matchpurse_store::Result<()> {
        parked::park_unrecognized_in_tx(tx, self.queue(), events).await?;
        // Last, because it locks the ends of the sources' chains.
        archive::append_in_tx(tx, events, now).await
    }
}

/// The worker with what it does beside its queue.
pub fn plan() -> Plan<EventArchive> {
    Plan::new(EventArchive)
        .job("dead letters", drain_dead_letters)
        .job("relay", Context::relay)
        .job("inbox pruning", prune_inbox)
        .job("archive days", days::keep)
}

/// Parks what the broker itself has given up, for whichever queue. The spool gives up nothing.
async fn drain_dead_letters(context: Context) {
    let log: Arc<dyn FailureLog> = Arc::new(context.store.clone());
    let status = Status::new();
    let draining = context.transport.drain_dead_letters(log, status.clone(), context.shutdown.clone());
    match context.transport {
        Transport::Rabbit(_) => {
            tokio::join!(draining, context.watch("dead letters", &status));
        }
        Transport::Embedded(_) => draining.await,
    }
}

async fn prune_inbox(context: Context) {
    let store = context.store.clone();
    let shutdown = context.shutdown.clone();
    let turn = || async {
        prune(&store, INBOX_PRUNED_MAX, INBOX_PRUNINGS_MAX, || shutdown.is_cancelled()).await.map(|_| ())
    };
    context.every(INBOX_PRUNED_EVERY, "inbox pruning", turn).await;
}

/// Forgets what the inbox has kept long enough, at most `rows_max` rows in each of at most `transactions_max`
/// transactions, until nothing is left or `is_over`; returns how many rows it forgot.
///
/// # Errors
/// When the database is away; what was forgotten until then stays so.
pub async fn prune(
    store: &Store,
    rows_max: u32,
    transactions_max: u32,
    is_over: impl Fn() -> bool,
) -> matchpurse_store::Result<u64> {
    let mut forgotten = 0_u64;
    for _ in 0..transactions_max {
        let rows = store.prune_inbox(INBOX_KEPT, rows_max).await?;
        forgotten = forgotten.saturating_add(rows);
        if rows < u64::from(rows_max) || is_over() {
            break;
        }
    }
    Ok(forgotten)
}
