use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use matchpurse_service_kit::http_client::HttpError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::apis::Apis;
use crate::expected::Accepted;
use crate::journal::{Journal, JournalError};
use crate::plan::Plan;
use crate::report::{Progress, Report};
use crate::sending::Sender;

/// How fast a plan is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each of so many connections sends the next request when it has the answer to the last one.
    AsFastAs {
        /// The connections.
        connections: usize,
    },
    /// So many requests a second become due, whether or not the earlier ones are answered. Latency counts
    /// from when a request was due, so a receiver that stalls is not excused for what waited behind it.
    AtRate {
        /// Requests a second.
        per_second: u32,
        /// When so many are under way, the next one waits, and its waiting counts.
        in_flight_max: usize,
    },
}

/// How and where a plan is played.
#[derive(Debug, Clone)]
pub struct PlayOptions {
    /// Where the ingresses are, without `/hooks/…`: `http://127.0.0.1:8080`. Several take turns.
    pub targets: Vec<String>,
    /// How fast.
    pub pace: Pace,
    /// For how long a request that is not taken is tried again, from when it was due.
    pub give_up_after: Duration,
    /// The bound of one attempt.
    pub attempt_time_limit: Duration,
    /// The providers' APIs, which are told what happens while it is played.
    pub apis: Option<Apis>,
    /// Where to write down what was taken; see [`Journal`].
    pub journal: Option<PathBuf>,
    /// How often progress is told.
    pub tell_every: Duration,
}

/// What came of playing.
#[derive(Debug, Clone)]
pub struct Played {
    /// The figures.
    pub report: Report,
    /// What was taken, for [`Plan::expected_after`]; what the journal had before is in it.
    pub accepted: Accepted,
}

/// Why a plan cannot be played. What the other side does is no error: it stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// No target, or one that is no URL.
    #[error("{0:?} is no address of an ingress, which is like http://127.0.0.1:8080")]
    Target(String),
    /// No connection, or no request a second.
    #[error("at this pace nothing would ever be sent")]
    Pace,
    /// The HTTP client cannot be made.
    #[error("cannot make the HTTP client")]
    Client(#[source] HttpError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task ended by a panic.
    #[error("sending broke down")]
    Broken(#[source] tokio::task::JoinError),
}

impl PlayOptions {
    /// As fast as eight connections, for half an hour at most, to one ingress.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            targets: vec![target.into()],
            pace: Pace::AsFastAs { connections: 8 },
            give_up_after: Duration::from_secs(30 * 60),
            attempt_time_limit: Duration::from_secs(30),
            apis: None,
            journal: None,
            tell_every: Duration::from_millis(500),
        }
    }
}

/// Plays the plan, and tells now and then how far it is; the last time when everything is done.
///
/// Dropping the future ends it; what was taken until then is in the journal.
///
/// # Errors
/// [`PlayError`].
pub async fn play(
    plan: &Arc<Plan>,
    options: &PlayOptions,
    mut tell: impl FnMut(Progress),
) -> Result<Played, PlayError> {
    let journal = options.journal.as_ref().map(|path| Journal::open(path, plan)).transpose()?;
    let sender = Arc::new(Sender::new(Arc::clone(plan), options, journal)?);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    match options.pace {
        Pace::AsFastAs { connections: 0 } | Pace::AtRate { per_second: 0, .. } => {
            return Err(PlayError::Pace);
        }
        Pace::AtRate { in_flight_max: 0, .. } => return Err(PlayError::Pace),
        Pace::AsFastAs { connections } => {
            for _ in 0..connections {
                tasks.spawn(one_after_the_other(Arc::clone(&sender)));
            }
        }
        Pace::AtRate { per_second, in_flight_max } => {
            tasks.spawn(at_rate(Arc::clone(&sender), plan.items().len(), per_second, in_flight_max));
        }
    }
    let mut ticks = interval(options.tell_every.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => break,
                Some(ended) => ended.map_err(PlayError::Broken)??,
            },
            _ = ticks.tick() => tell(sender.progress(begun.elapsed())),
        }
    }
    tell(sender.progress(begun.elapsed()));
    let (report, accepted) = sender.finish(begun.elapsed());
    Ok(Played { report, accepted })
}

/// One connection: the next request when the last one is answered.
async fn one_after_the_other(sender: Arc<Sender>) -> Result<(), PlayError> {
    while let Some(place) = sender.next() {
        sender.settle(place, Instant::now()).await?;
    }
    Ok(())
}

/// Every request at its time, by the clock and not by the answers.
async fn at_rate(
    sender: Arc<Sender>,
    count: usize,
    per_second: u32,
    in_flight_max: usize,
) -> Result<(), PlayError> {
    let begun = Instant::now();
    let permits = Arc::new(Semaphore::new(in_flight_max.min(Semaphore::MAX_PERMITS)));
    let mut under_way = JoinSet::new();
    for (number, place) in (0_u64..).zip(0..count) {
        let due = begun + Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(per_second));
        sleep_until(due).await;
        let permit = Arc::clone(&permits).acquire_owned().await;
        let sender = Arc::clone(&sender);
        under_way.spawn(async move {
            let settled = sender.settle(place, due).await;
            drop(permit);
            settled
        });
        while let Some(ended) = under_way.try_join_next() {
            ended.map_err(PlayError::Broken)??;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.map_err(PlayError::Broken)??;
    }
    Ok(())
}
