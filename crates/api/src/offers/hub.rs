//! One reader of changes for the whole process: it listens on one connection, reads what is new once, and tells every
//! open stream. While nobody holds a stream it has no connection and asks nothing.

use std::future::pending;
use std::time::Duration;

use actix_web::web::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_store::offers::{self, Position};
use matchpurse_store::{Listener, Store, StoreOptions, chain};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::stream::frame;
use crate::failure::{Failure, Result};

/// How often it is looked for changes that nobody told of: the connection that tells may have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon it is looked again while a transaction that still runs holds changes up. Nobody tells when it has ended.
const HELD_FOR: Duration = Duration::from_millis(10);
/// Changes of one look.
const PAGE: u32 = 500;
/// What a stream may be behind by before it has to read from the database itself.
const BEHIND_MAX: usize = 1024;

/// Where streams are told of changes.
pub(crate) struct Hub {
    join: mpsc::Sender<oneshot::Sender<Result<broadcast::Receiver<Told>>>>,
    stop: CancellationToken,
}

/// What a stream is told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// Something changed.
    Change {
        position: Position,
        source: SourceName,
        /// What the client reads.
        frame: Bytes,
    },
    /// Everything up to here has been told; none while the database is away.
    Beat(Option<Position>),
}

impl Hub {
    /// It runs on the present runtime until it is closed.
    pub(crate) fn new(store: Store, options: StoreOptions, beat_every: Duration) -> Self {
        let (join, joining) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let reader =
            Reader { store, options, tell: broadcast::channel(BEHIND_MAX).0, listener: None, upto: None };
        tokio::spawn(reader.run(joining, beat_every, stop.clone()));
        Self { join, stop }
    }

    /// From now on, whatever stands behind the place that the database has now or later is told.
    pub(crate) async fn join(&self) -> Result<broadcast::Receiver<Told>> {
        let (reply, joined) = oneshot::channel();
        self.join.send(reply).await.map_err(|_| closing())?;
        joined.await.map_err(|_| closing())?
    }

    /// Ends all streams, and lets nobody join.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Tripped when all streams must end.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.stop.clone()
    }
}

fn closing() -> Failure {
    Failure::unavailable("the service is about to end".to_owned())
}

struct Reader {
    store: Store,
    options: StoreOptions,
    tell: broadcast::Sender<Told>,
    listener: Option<Listener>,
    /// How far everything has been told; none while nobody wants to know.
    upto: Option<Position>,
}

impl Reader {
    async fn run(
        mut self,
        mut joining: mpsc::Receiver<oneshot::Sender<Result<broadcast::Receiver<Told>>>>,
        beat_every: Duration,
        stop: CancellationToken,
    ) {
        let mut beat = interval_at(Instant::now() + beat_every, beat_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut pause, mut look_at) = (LOOK_EVERY, Instant::now());
        loop {
            if self.tell.receiver_count() == 0 {
                (self.listener, self.upto) = (None, None);
            }
            let watching = self.upto.is_some();
            tokio::select! {
                () = stop.cancelled() => return,
                reply = joining.recv() => match reply {
                    Some(reply) => drop(reply.send(self.open().await)),
                    None => return,
                },
                heard = told(&mut self.listener), if watching => {
                    if !heard {
                        self.listener = None;
                    }
                    pause = self.look(HELD_FOR).await;
                    look_at = Instant::now() + pause;
                }
                () = sleep_until(look_at), if watching => {
                    pause = self.look(pause.saturating_mul(2)).await;
                    look_at = Instant::now() + pause;
                }
                _ = beat.tick(), if watching => drop(self.tell.send(Told::Beat(self.upto))),
            }
        }
    }

    /// Begins to watch, where nobody did, and lets one more stream know what comes.
    async fn open(&mut self) -> Result<broadcast::Receiver<Told>> {
        if self.upto.is_none() {
            // First the ears, then the place: what comes between the two is told.
            self.listener = Some(offers::listen(&self.options).await?);
            self.upto = Some(offers::position(&self.store.client().await?).await?);
        }
        Ok(self.tell.subscribe())
    }

    /// Tells what is new, and returns when to look again: after `held_for`, at most, where something is held up.
    async fn look(&mut self, held_for: Duration) -> Duration {
        match self.read().await {
            Ok(true) => held_for.min(LOOK_EVERY),
            Ok(false) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(
                    reason = chain(&error),
                    "streams of offers are told nothing; it is tried again"
                );
                self.listener = None;
                LOOK_EVERY
            }
        }
    }

    /// True when there is something that cannot be told yet.
    async fn read(&mut self) -> matchpurse_store::Result<bool> {
        if self.listener.is_none() {
            self.listener = Some(offers::listen(&self.options).await?);
        }
        let client = self.store.client().await?;
        loop {
            let Some(upto) = self.upto else { return Ok(false) };
            let slice = offers::changes_after(&client, None, upto, PAGE).await?;
            if slice.lost {
                // We were away for longer than changes are kept. Every stream ends, and learns of it when it resumes.
                self.tell = broadcast::channel(BEHIND_MAX).0;
                return Ok(false);
            }
            for change in &slice.changes {
                let told = Told::Change {
                    position: change.position,
                    source: change.change.source.clone(),
                    frame: frame(change),
                };
                // Nobody may be there any more.
                self.tell.send(told).ok();
            }
            self.upto = Some(slice.upto);
            if !slice.more {
                return Ok(slice.held);
            }
        }
    }
}

async fn told(listener: &mut Option<Listener>) -> bool {
    match listener {
        Some(listener) => listener.told().await,
        None => pending().await,
    }
}
