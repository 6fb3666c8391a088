//! A worker with all that it needs around it, in a process of its own or beside others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use matchpurse_bus::{
    BusOptions, Destination, EmbeddedTransport, FailureLog, Spool, Status, Transport, relay_to_broker,
    watch_spool,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_service_kit::health::Health;
use matchpurse_wiring::{bus_options, worker_transport};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::missed::Search;
use crate::{Context, Effects, Plan, Worker, WorkerOptions};

/// Runs a worker and its jobs in the background of this process; see [`run`].
pub fn spawn<E: Effects>(plan: Plan<E>, context: Context) -> JoinHandle<Result<()>> {
    tokio::spawn(run(plan, context))
}

/// Runs a worker and its jobs until [`Context::shutdown`], then lets the batch in hand end, for as long as
/// the settings allow. What is not finished by then is as after a crash: it is handed out again.
///
/// # Errors
/// When a job ends by itself or panics, which is a defect.
pub async fn run<E: Effects>(plan: Plan<E>, context: Context) -> Result<()> {
    let queue = plan.effects.queue();
    let workers = &context.settings.workers;
    // Jobs end with the worker, however it ends.
    let shutdown = context.shutdown.child_token();
    let context = Context { shutdown: shutdown.clone(), ..context.clone() };
    let options = WorkerOptions {
        attempts_max: workers.attempts_max,
        retry_min: Duration::from_millis(workers.retry_min_ms),
        retry_max: Duration::from_millis(workers.retry_max_ms),
        shutdown: shutdown.clone(),
        ..WorkerOptions::default()
    };
    let mut tasks = JoinSet::new();
    for job in plan.jobs {
        let running = (job.start)(context.clone());
        tasks.spawn(async move {
            running.await;
            job.name
        });
    }
    let worker = Arc::new(Worker::new(context.store.clone(), plan.effects, options));
    let replay_worker = Arc::clone(&worker);
    let status = Status::new();
    let consuming = {
        let (context, status) = (context.clone(), status.clone());
        let log: Arc<dyn FailureLog> = Arc::new(context.store.clone());
        let transport = worker_transport(&context.settings, queue.worker(), &context.transport);
        async move { transport.run_worker(queue, worker, log, status, context.shutdown).await }
    };
    tasks.spawn(async move {
        consuming.await;
        queue.worker()
    });
    if let Transport::Rabbit(_) = context.transport {
        let entrance = replays(context.clone(), Arc::clone(&replay_worker));
        tasks.spawn(async move {
            entrance.await;
            "replays"
        });
        let searching = search(context.clone(), queue, status.clone());
        tasks.spawn(async move {
            searching.await;
            "search"
        });
    }
    let watching = context.clone();
    tasks.spawn(async move {
        watching.watch(queue.worker(), &status).await;
        "health"
    });

    let first = tasks.join_next().await;
    let asked = shutdown.is_cancelled();
    shutdown.cancel();
    let drain = Duration::from_millis(workers.drain_timeout_ms);
    let drained = timeout(drain, async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(panic) = ended {
                tracing::error!(worker = queue.worker(), %panic, "a part of the worker panicked at the end");
            }
        }
    })
    .await;
    if drained.is_err() {
        tracing::warn!(
            worker = queue.worker(),
            ?drain,
            "a batch or a job did not end in time; it is abandoned"
        );
        tasks.shutdown().await;
    }
    match first {
        Some(Ok(_)) | None if asked => Ok(()),
        Some(Ok(name)) => bail!("{name} ended by itself"),
        Some(Err(panic)) => Err(panic).with_context(|| format!("a part of {} panicked", queue.worker())),
        None => Ok(()),
    }
}

/// Looks for what the worker has missed, from time to time. The archive cannot: it is where the others' are looked for.
async fn search(context: Context, queue: Queue, status: Status) {
    if queue == Queue::EventArchive {
        context.shutdown.cancelled().await;
        return;
    }
    let search = tokio::sync::Mutex::new(Search::new(context.store.clone(), queue));
    let pause = Duration::from_millis(context.settings.workers.missed_poll_ms);
    context.every(pause, "search", async || search.lock().await.turn(&status).await).await;
}

/// How often a worker looks for replays when there are none.
const REPLAY_POLL: Duration = Duration::from_millis(500);

/// Takes what is replayed from the spool, beside the broker's queue: a replay is for one worker, is written down in the
/// transaction of who asks for it, and needs no broker.
async fn replays<E: Effects>(context: Context, worker: Arc<Worker<E>>) {
    let queue = worker.queue();
    let options = BusOptions { spool_poll: REPLAY_POLL, ..bus_options(&context.settings, queue.worker()) };
    let spool: Arc<dyn Spool> = Arc::new(context.store.spool(u64::MAX));
    let entrance = Transport::Embedded(EmbeddedTransport::beside_broker(Arc::clone(&spool), &options));
    let (log, shutdown): (Arc<dyn FailureLog>, _) = (Arc::new(context.store.clone()), context.shutdown);
    let destinations = vec![Destination::Worker(queue)];
    tokio::join!(
        entrance.run_worker(queue, worker, log, Status::new(), shutdown.clone()),
        watch_spool(spool, destinations, options.spool_watch, Status::new(), shutdown.clone()),
    );
}

/// Brings what waits in the spool for the broker there, where the ingress does not.
pub(crate) async fn relay(context: Context) {
    let Transport::Rabbit(rabbit) = &context.transport else {
        context.shutdown.cancelled().await;
        return;
    };
    if context.settings.ingress.spool {
        context.shutdown.cancelled().await;
        return;
    }
    let options = BusOptions { spool_poll: REPLAY_POLL, ..bus_options(&context.settings, "relay") };
    let spool: Arc<dyn Spool> = Arc::new(context.store.spool(u64::MAX));
    let publisher = Arc::clone(rabbit.publisher()) as _;
    relay_to_broker(spool, publisher, options, Status::new(), context.shutdown.clone()).await;
}

/// Keeps the check `database` up to date until shutdown.
pub(crate) async fn watch_database(
    store: matchpurse_store::Store,
    health: Health,
    shutdown: CancellationToken,
) {
    const EVERY: Duration = Duration::from_secs(2);
    let check = health.check("database");
    loop {
        match store.ping().await {
            Ok(()) => check.ready(),
            Err(error) => check.not_ready(matchpurse_store::chain(&error)),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The key that gives a worker's admin port.
pub(crate) fn admin_setting(queue: Queue) -> String {
    format!("workers.{}.admin_listen", queue.worker().replace('-', "_"))
}
