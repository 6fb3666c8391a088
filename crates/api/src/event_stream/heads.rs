use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use matchpurse_store::events::{self, Head};
use matchpurse_store::{Store, chain};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How soon a stream learns of something new. Nobody is told: a notification in every transaction of the archive would
/// make all of them wait for each other, whether somebody looks or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How far the sources' chains go, read once for all streams. While nobody holds a stream nothing is asked.
pub(crate) struct Heads(Arc<watch::Sender<BTreeMap<String, Head>>>);

impl Heads {
    /// It looks on the present runtime until it is stopped.
    pub(crate) fn new(store: Store, stop: CancellationToken) -> Self {
        let sender = Arc::new(watch::Sender::new(BTreeMap::new()));
        let told = Arc::clone(&sender);
        tokio::spawn(async move {
            stop.run_until_cancelled(follow(store, &told)).await;
        });
        Self(sender)
    }

    /// What is there was read before, and may be old.
    pub(crate) fn watch(&self) -> watch::Receiver<BTreeMap<String, Head>> {
        self.0.subscribe()
    }
}

async fn follow(store: Store, told: &watch::Sender<BTreeMap<String, Head>>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        look.tick().await;
        if told.receiver_count() == 0 {
            continue;
        }
        match async { events::heads(&store.client().await?).await }.await {
            Ok(heads) => {
                away = false;
                told.send_if_modified(|known| {
                    let changed = *known != heads;
                    *known = heads;
                    changed
                });
            }
            Err(error) => {
                if !away {
                    tracing::warn!(
                        reason = chain(&error),
                        "streams of events are told nothing; it is tried again"
                    );
                }
                away = true;
            }
        }
    }
}
