//! What the ledger comes to, for pages. Adding it up reads every account, of which there is one a match: that is not done
//! for each visitor, and none waits for it where it takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use matchpurse_domain::time::Timestamp;
use matchpurse_store::{Store, chain, now, survey};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use crate::api::Api;

/// For so long a page waits for it. A ledger that takes no longer is added up for each page.
const PATIENCE: Duration = Duration::from_millis(50);

/// So long waits who comes first, when there is nothing to show instead.
const PATIENCE_OF_THE_FIRST: Duration = Duration::from_secs(1);

/// So many times as long as it took, nobody adds up a larger one again.
const REST: u32 = 20;

/// The ledger's sums, as they were added up last.
pub(crate) struct Books {
    store: Store,
    last: watch::Sender<Option<Sums>>,
    /// Whoever has it adds up.
    turn: Arc<Mutex<()>>,
}

/// The ledger's sums at a moment.
#[derive(Clone)]
pub(crate) struct Sums {
    /// What all accounts hold together, by currency: 0, or money has come from nowhere. In minor units.
    pub(crate) trial: Vec<(String, i64)>,
    /// What matches hold, by currency, in minor units.
    pub(crate) held: Vec<(String, i64)>,
    pub(crate) at: Timestamp,
    begun: Instant,
    took: Duration,
}

impl Sums {
    /// Whether it is worth saying when that was.
    pub(crate) fn is_old(&self) -> bool {
        self.took > PATIENCE
    }

    fn rests(&self) -> bool {
        self.took > PATIENCE && self.begun.elapsed() < self.took * REST
    }
}

impl Books {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, last: watch::Sender::new(None), turn: Arc::default() })
    }

    /// The sums as they are now, where that can be had at once; otherwise those that were added up last, while they are
    /// made anew. None before the first time.
    pub(crate) async fn sums(self: &Arc<Self>, api: &Api) -> Option<Sums> {
        let mut made = self.last.subscribe();
        let last = made.borrow_and_update().clone();
        if last.as_ref().is_some_and(Sums::rests) {
            return last;
        }
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            let books = Arc::clone(self);
            api.spawn(async move {
                let _turn = turn;
                match books.add_up().await {
                    Ok(sums) => {
                        books.last.send_replace(Some(sums));
                    }
                    Err(error) => tracing::warn!(reason = chain(&error), "the ledger could not be added up"),
                }
            });
        }
        let patience = if last.is_some() { PATIENCE } else { PATIENCE_OF_THE_FIRST };
        // When it is over, what there is counts, whether it is new or not.
        timeout(patience, made.changed()).await.ok();
        made.borrow().clone()
    }

    async fn add_up(&self) -> matchpurse_store::Result<Sums> {
        let (begun, at) = (Instant::now(), now());
        let client = self.store.client().await?;
        let trial = survey::trial_balance(&client).await?;
        let held = survey::in_escrow(&client).await?;
        Ok(Sums { trial, held, at, begun, took: begun.elapsed() })
    }
}
