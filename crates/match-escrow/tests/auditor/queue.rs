//! The way of the deliveries: eight workers, and everything that a broker and a machine can do to them.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Result, bail};
use matchpurse_bus::{Delivery, Disposition};
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, StoreOptions};
use matchpurse_testkit::Dice;
use matchpurse_worker_kit::{Worker, WorkerOptions};
use tokio::sync::watch;

const BATCH_MAX: usize = 64;
/// In percent of the batches.
const CUT_SHORT: usize = 15;
const UNACKNOWLEDGED: usize = 15;
/// A batch is over after some twenty times that it waited for the database.
const WAITS_MAX: usize = 24;

/// What happened to the deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Deliveries that are done with.
    pub(crate) acknowledged: usize,
    /// Batches whose worker was killed in the middle.
    pub(crate) cut_short: usize,
    /// Batches whose worker was killed between commit and acknowledgement.
    pub(crate) unacknowledged: usize,
    /// Deliveries that a worker gave back.
    pub(crate) retried: usize,
}

/// The deliveries that wait, and what became of the others.
pub(crate) struct Queue {
    waiting: Mutex<(Vec<Delivery>, Dice)>,
    /// The ids of the events that were acknowledged.
    promised: Mutex<BTreeSet<String>>,
    total: usize,
    tally: watch::Sender<Tally>,
}

impl Queue {
    pub(crate) fn new(deliveries: Vec<Delivery>, dice: Dice) -> Arc<Self> {
        let (total, tally) = (deliveries.len(), watch::Sender::default());
        Arc::new(Self { waiting: Mutex::new((deliveries, dice)), promised: Mutex::default(), total, tally })
    }

    /// The events of which somebody was told by now that their effects will stay.
    pub(crate) fn promised(&self) -> BTreeSet<String> {
        self.promised.lock().unwrap().clone()
    }

    /// How many deliveries there are in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Waits until so much has happened, or all deliveries are done with.
    pub(crate) async fn until(&self, mut enough: impl FnMut(&Tally) -> bool) {
        let mut tally = self.tally.subscribe();
        let over = |tally: &Tally| tally.acknowledged == self.total;
        tally.wait_for(|tally| enough(tally) || over(tally)).await.expect("the queue holds the sender");
    }

    /// The next batch, of a random size; none when all deliveries are done with.
    async fn next(&self) -> Option<Vec<Delivery>> {
        let mut tally = self.tally.subscribe();
        loop {
            if tally.borrow_and_update().acknowledged == self.total {
                return None;
            }
            {
                let (waiting, dice) = &mut *self.waiting.lock().unwrap();
                if !waiting.is_empty() {
                    let size = (1 + dice.below(BATCH_MAX)).min(waiting.len());
                    return Some(waiting.split_off(waiting.len() - size));
                }
            }
            // The others have the rest, and may give some of it back.
            tally.changed().await.expect("the queue holds the sender");
        }
    }

    /// Deliveries come back among others.
    fn redeliver(&self, deliveries: impl IntoIterator<Item = Delivery>, count: impl FnOnce(&mut Tally)) {
        {
            let (waiting, dice) = &mut *self.waiting.lock().unwrap();
            for delivery in deliveries {
                let place = dice.below(waiting.len() + 1);
                waiting.insert(place, Delivery { redelivered: true, ..delivery });
            }
        }
        self.tally.send_modify(count);
    }
}

/// What workers are made of.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) settings: Arc<Settings>,
    pub(crate) database_url: String,
}

impl Workshop {
    /// A worker with a pool of its own. Some wait long for a database that is away, others give their batch back.
    fn worker(&self, number: u64) -> Result<Worker<MatchEscrow>> {
        let name = format!("auditor-{number}");
        let mut store_options = StoreOptions::for_worker(self.database_url.clone().into(), &name);
        store_options.pool_size = 2;
        let options = WorkerOptions {
            retry_min: Duration::from_millis(10),
            hold_max: Duration::from_millis(if number.is_multiple_of(2) { 150 } else { 10_000 }),
            ..WorkerOptions::default()
        };
        Ok(Worker::new(Store::new(&store_options)?, MatchEscrow::new(&self.settings), options))
    }

    /// Works until the queue is done with. Of some batches the worker is killed before they are over, of others
    /// before they are acknowledged; its successor may have the old connections or new ones.
    pub(crate) async fn work(self, queue: Arc<Queue>, number: u64, seed: u64) -> Result<()> {
        let mut dice = Dice::new(seed.wrapping_mul(31).wrapping_add(number));
        let mut worker = self.worker(number)?;
        while let Some(batch) = queue.next().await {
            let fate = dice.below(100);
            let waits = if fate < CUT_SHORT { dice.below(WAITS_MAX) } else { usize::MAX };
            let processed = Box::pin(cut_short(worker.process_batch(&batch), waits)).await;
            let killed = processed.is_none() || (CUT_SHORT..CUT_SHORT + UNACKNOWLEDGED).contains(&fate);
            match processed {
                None => queue.redeliver(batch, |tally| tally.cut_short += 1),
                Some(_) if killed => queue.redeliver(batch, |tally| tally.unacknowledged += 1),
                Some(dispositions) => settle(&queue, batch, dispositions)?,
            }
            if killed && dice.below(2) == 0 {
                worker = self.worker(number)?;
            }
        }
        Ok(())
    }
}

fn settle(queue: &Queue, batch: Vec<Delivery>, dispositions: Vec<Disposition>) -> Result<()> {
    let mut back = Vec::new();
    let all = batch.len();
    for (delivery, disposition) in batch.into_iter().zip(dispositions) {
        match disposition {
            Disposition::Ack => {
                queue.promised.lock().unwrap().extend(delivery.id.map(|id| id.to_string()));
            }
            Disposition::Retry(_) => back.push(delivery),
            Disposition::Park(reason) => bail!("event {:?} was parked: {reason}", delivery.id),
        }
    }
    let retried = back.len();
    queue.redeliver(back, |tally| {
        tally.retried += retried;
        tally.acknowledged += all - retried;
    });
    Ok(())
}

/// Runs a future until it has waited so often, and then drops it where it stands.
async fn cut_short<F: Future>(future: F, mut waits: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    })
    .await
}
