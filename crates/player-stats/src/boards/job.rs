use std::sync::Arc;
use std::time::Duration;

use matchpurse_store::{StoreOptions, boards, chain, now};
use matchpurse_worker_kit::Context;
use metrics::gauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::feed::FEED_MAX;
use super::{Boards, Step, metric};

/// After what failed, and between attempts to listen.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// While results keep coming, nine tenths of the time are left to others: each time a match is among them that ended before
/// one which is rated already, the ratings after it are taken back and made again, and the fewer times the less.
const PAUSE_TIMES: u32 = 9;

/// But nobody waits longer than this for what has come.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The name of the job, and of its connections.
pub(crate) const NAME: &str = "player-stats-boards";

/// Makes boards and ratings until shutdown: when the database tells of something, and after every pause.
pub(crate) async fn run(context: Context) {
    let pause = Duration::from_millis(context.settings.workers.results_poll_ms);
    let shutdown = context.shutdown.clone();
    let boards = Boards::new(context.store.clone(), &context.settings, now);
    while let Err(error) = boards.bring(&context.settings).await {
        tracing::warn!(reason = chain(&error), "the leaderboards could not be brought in; it is done again");
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
    let woken = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(context.store_options(NAME), Arc::clone(&woken)));
    let mut shown = Instant::now();
    // When the feed has its next turn, and when the one that is being worked on began.
    let (mut feed, mut begun) = (Instant::now(), None);
    while !shutdown.is_cancelled() {
        let turned = Instant::now();
        let steps = if begun.is_some() || turned < feed { &Step::BUT_FEED[..] } else { &Step::ALL[..] };
        let turn = boards.turn_of(steps).await;
        // Also while there is much to do, and that is when somebody looks at them.
        if turn.is_ok() && shown.elapsed() >= pause {
            gauges(&context).await;
            shown = Instant::now();
        }
        match &turn {
            Ok(turn) if turn.more => {
                // What fills a step is not what comes at the moment, but what has been left.
                if turn.fed > 0 && turn.fed < usize::from(FEED_MAX) {
                    begun = Some(turned);
                }
                continue;
            }
            Ok(_) => {
                if let Some(begun) = begun.take() {
                    feed = Instant::now() + (begun.elapsed() * PAUSE_TIMES).min(PAUSE_MAX);
                }
            }
            Err(error) => {
                tracing::warn!(
                    reason = chain(error),
                    "leaderboards could not be brought up to date; it is done again"
                );
            }
        }
        // While the database is away there is nothing to wake up for.
        let pause = if turn.is_ok() { pause } else { pause.min(AGAIN_AFTER) };
        let told = async {
            woken.notified().await;
            sleep_until(feed).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(pause) => {}
            () = told, if turn.is_ok() => {}
        }
    }
    listening.abort();
}

/// Wakes the job when the database tells of something new. Where it cannot, polling goes on.
async fn listen(options: StoreOptions, woken: Arc<Notify>) {
    loop {
        match boards::listen(&options).await {
            Ok(mut listener) => {
                // What came while nobody listened.
                woken.notify_one();
                while listener.told().await {
                    woken.notify_one();
                }
                tracing::info!("the connection that tells of new results has ended; it is made anew");
            }
            Err(error) => {
                tracing::info!(reason = chain(&error), "nobody tells of new results; they are polled");
            }
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// How far behind boards and ratings are. Whoever is not the one who makes them says so too.
async fn gauges(context: &Context) {
    let waiting = async { boards::waiting(&context.store.client().await?).await };
    let Ok(waiting) = waiting.await else { return };
    let float = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let age = waiting.since.map_or(0, |since| now().micros().saturating_sub(since.micros()));
    gauge!(metric::RESULTS_WAITING).set(float(waiting.rows));
    gauge!(metric::RESULTS_AGE_SECONDS).set(Duration::from_micros(age.max(0).unsigned_abs()).as_secs_f64());
    gauge!(metric::ENTRIES_WAITING).set(float(waiting.entries));
    for (game, recomputing) in waiting.games {
        gauge!(metric::RECOMPUTING, "game" => game).set(if recomputing { 1.0 } else { 0.0 });
    }
}
