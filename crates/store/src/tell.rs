//! Telling listeners that there is something new, after the commit that made it so.
//!
//! PostgreSQL holds one lock for the whole server from a transaction's `NOTIFY` until its commit is on disk, so workers that
//! told of something as they committed waited for each other's disk, one after another. What is told is a hint all the same:
//! who listens looks by himself besides. So it is told afterwards, by a transaction that waits for no disk, and what several
//! commits have to tell is told once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::{Result, Store, chain};

/// After telling something, so long until the next is told.
const TELL_EVERY: Duration = Duration::from_millis(10);

/// What a process has yet to tell. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Teller {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    channels: BTreeSet<&'static str>,
    /// Somebody tells what is in `channels`.
    telling: bool,
}

impl Teller {
    /// Tells of these channels soon, in the background. Where the database is away by then, nobody is told.
    pub(crate) fn tell(&self, store: &Store, channels: BTreeSet<&'static str>) {
        if channels.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        waiting.channels.extend(channels);
        if !std::mem::replace(&mut waiting.telling, true) {
            tokio::spawn(self.clone().all(store.clone()));
        }
    }

    /// Tells until nothing is left.
    async fn all(self, store: Store) {
        while let Some(channels) = self.next() {
            if let Err(error) = tell(&store, &channels).await {
                tracing::debug!(reason = chain(&error), "nobody was told of what is new; it is polled");
            }
            sleep(TELL_EVERY).await;
        }
    }

    fn next(&self) -> Option<Vec<&'static str>> {
        let mut waiting = self.waiting();
        let channels: Vec<_> = std::mem::take(&mut waiting.channels).into_iter().collect();
        waiting.telling = !channels.is_empty();
        waiting.telling.then_some(channels)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tell(store: &Store, channels: &[&'static str]) -> Result<()> {
    let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, '') FROM unnest($1::text[]) AS c (channel)";
    store.client().await?.query(sql, &[&channels]).await.map(|_| ())
}
