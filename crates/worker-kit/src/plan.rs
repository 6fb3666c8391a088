use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use matchpurse_bus::{Status, Transport};
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, StoreOptions, chain};
use matchpurse_wiring::worker_store_options;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often a consumer's health is brought up to date.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// What a worker and its jobs have to work with.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// The way of the events.
    pub transport: Transport,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The checks of the process.
    pub health: Health,
    /// Tripped when it is time to end.
    pub shutdown: CancellationToken,
}

impl Context {
    /// How the database is reached, for who needs a connection outside of the pool; `service` is its name there.
    pub fn store_options(&self, service: &str) -> StoreOptions {
        worker_store_options(&self.settings, service)
    }

    /// Does `work` now and after every `pause`, until shutdown. What fails is logged and done again at the
    /// next turn; what is being done when shutdown comes is finished first.
    pub async fn every<F>(&self, pause: Duration, name: &str, mut work: impl FnMut() -> F)
    where
        F: Future<Output = matchpurse_store::Result<()>>,
    {
        let mut turn = tokio::time::interval(pause);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                _ = turn.tick() => {}
            }
            if let Err(error) = work().await {
                tracing::warn!(job = name, reason = chain(&error), "a job failed; it is done again");
            }
        }
    }
}

impl Context {
    /// Brings what waits in the spool for the broker there, until shutdown, where the settings give the ingress no spool:
    /// what a replay has made of deliveries that nobody could read goes that way. One worker does it for all.
    pub async fn relay(self) {
        crate::service::relay(self).await;
    }

    /// Keeps the check `name` up to date with what the bus says of a consumer, until shutdown.
    pub async fn watch(&self, name: &'static str, status: &Status) {
        let stall_after = Duration::from_millis(self.settings.workers.stall_after_ms);
        let check = self.health.check_with_progress(name, stall_after);
        while !self.shutdown.is_cancelled() {
            let problem = status.state().problem;
            if !status.is_consuming() {
                check.not_ready(if problem.is_empty() { "not consuming yet" } else { &problem });
            } else if status.since_progress() < stall_after {
                check.ready();
            }
            // Otherwise the check is left alone, and fails by its age: the consumer only looks alive.
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep(HEALTH_EVERY) => {}
            }
        }
        check.not_ready("shutting down");
    }
}

pub(crate) type JobFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that a worker does beside its queue, until shutdown.
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) start: Box<dyn FnOnce(Context) -> JobFuture + Send>,
}

/// What a worker is made of: its effects, and what it does beside its queue.
pub struct Plan<E> {
    pub(crate) effects: E,
    pub(crate) jobs: Vec<Job>,
}

impl<E> Plan<E> {
    /// A worker that does nothing but its effects.
    pub fn new(effects: E) -> Self {
        Self { effects, jobs: Vec::new() }
    }

    /// Adds a job, which runs until [`Context::shutdown`]; one that ends earlier ends the worker.
    #[must_use]
    pub fn job<F>(mut self, name: &'static str, start: impl FnOnce(Context) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.jobs.push(Job { name, start: Box::new(move |context| Box::pin(start(context))) });
        self
    }
}
