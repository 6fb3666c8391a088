//! A worker: its real handler, and between that and the broker each step apart.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use matchpurse_bus::{Delivery, Disposition, FailureLog, Handler, PublishError, process};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_event_archive::EventArchive;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_player_stats::PlayerStats;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_testkit::model_broker::{Handed, ModelConsumer, ModelPublisher};
use matchpurse_worker_kit::{Effects, Worker as RealWorker, WorkerOptions};
use tokio::sync::Mutex;

use crate::defects::{AckFirst, Defect};
use crate::process::{Process, Rest, Task};
use crate::world::Site;
use crate::wrappers::{Log, Mortal};

/// What a process takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Queue(Queue),
    /// Parks what the broker gave up.
    DeadLetters,
}

pub(crate) struct Worker {
    name: String,
    job: Job,
    pub(crate) process: Process,
    /// For retries, which are published to a delay.
    pub(crate) publisher: ModelPublisher,
    pub(crate) consumer: Option<ModelConsumer>,
    /// None while it is dead, and for dead letters.
    handler: Option<Arc<dyn Handler>>,
    alive: bool,
    state: State,
}

enum State {
    Idle,
    /// Handled, and committed as far as it goes; the broker has not been told.
    Handled(Vec<Handed>, Vec<Disposition>),
    /// Waits for the confirm of the retries.
    Delaying(Vec<Handed>, Vec<Disposition>, Task<Result<(), PublishError>>),
    /// To be settled: true for what goes back to the queue.
    Settling(Vec<(Handed, bool)>),
}

impl Worker {
    pub(crate) fn start(site: &Site<'_>, job: Job, number: usize) -> Result<Self> {
        let name = match job {
            Job::Queue(queue) => format!("{} {number}", queue.worker()),
            Job::DeadLetters => "dead letters".to_owned(),
        };
        let mut worker = Self {
            process: Process::new(&name, &site.trace),
            name,
            job,
            publisher: ModelPublisher::new(&site.broker),
            consumer: None,
            handler: None,
            alive: false,
            state: State::Idle,
        };
        worker.restart(site)?;
        Ok(worker)
    }

    /// Begins anew, from nothing but the configuration.
    pub(crate) fn restart(&mut self, site: &Site<'_>) -> Result<()> {
        self.process = Process::new(&self.name, &site.trace);
        self.alive = true;
        self.handler = match self.job {
            Job::Queue(queue) => Some(handler(site, queue, &self.process)?),
            Job::DeadLetters => None,
        };
        self.connect(site);
        Ok(())
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(crate) fn is_connected(&self) -> bool {
        let subscribed = self.consumer.as_ref().is_some_and(ModelConsumer::is_subscribed);
        subscribed && self.publisher.connection().is_some()
    }

    /// Connects and subscribes where it is not.
    pub(crate) fn connect(&mut self, site: &Site<'_>) {
        self.publisher.connect();
        if !self.consumer.as_ref().is_some_and(ModelConsumer::is_subscribed) {
            let queue = match self.job {
                Job::Queue(queue) => queue.name(),
                Job::DeadLetters => DEAD_LETTER_QUEUE,
            };
            let connection = site.broker.connect();
            self.consumer =
                ModelConsumer::subscribe(&site.broker, connection, queue, site.conditions.prefetch);
        }
    }

    /// Dies; what it had not settled goes back to the queue.
    pub(crate) fn crash(&mut self, site: &Site<'_>) {
        for connection in self.connections() {
            site.broker.abandon(connection);
        }
        (self.handler, self.consumer, self.alive, self.state) = (None, None, false, State::Idle);
    }

    /// Those that stand.
    pub(crate) fn connections(&self) -> Vec<matchpurse_testkit::model_broker::ConnectionId> {
        let consuming = self.consumer.as_ref().and_then(ModelConsumer::connection);
        consuming.into_iter().chain(self.publisher.connection()).collect()
    }

    /// True when it could begin a batch, or go on with one.
    pub(crate) fn can_work(&self, site: &Site<'_>) -> bool {
        self.alive
            && match &self.state {
                State::Idle => self.consumer.as_ref().is_some_and(|consumer| consumer.waiting() > 0),
                State::Handled(..) | State::Settling(_) => true,
                State::Delaying(.., task) => task.is_answered(&site.broker),
            }
    }

    /// What it waits for.
    pub(crate) fn batches(&self) -> Vec<matchpurse_testkit::model_broker::BatchId> {
        match &self.state {
            State::Delaying(.., task) => task.batches().to_vec(),
            _ => Vec::new(),
        }
    }

    pub(crate) async fn work(&mut self, site: &Site<'_>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => self.begin(site).await,
            State::Handled(batch, dispositions) => self.delay(site, batch, dispositions).await,
            State::Delaying(batch, dispositions, task) => {
                self.drive_delay(site, batch, dispositions, task).await;
            }
            State::Settling(batch) => self.settle(site, batch),
        }
    }

    /// Takes a batch and handles it, to its end or to its own.
    async fn begin(&mut self, site: &Site<'_>) {
        let Some(consumer) = &self.consumer else { return };
        let batch = consumer.batch(site.chance.between(1, site.conditions.batch_max));
        let deliveries: Vec<Delivery> = batch.iter().map(|handed| handed.delivery.clone()).collect();
        let again = deliveries.iter().filter(|delivery| delivery.redelivered).count();
        self.process.note(format_args!("begins {} deliveries, {again} of them again", batch.len()));
        let log: Arc<dyn FailureLog> =
            Arc::new(Log { process: self.process.clone(), inner: Arc::new(site.lab.store.clone()) });
        let (job, handler, parked) = (self.job, self.handler.clone(), batch.clone());
        let handling = async move {
            match (job, handler) {
                (Job::Queue(queue), Some(handler)) => {
                    process(queue, handler.as_ref(), log.as_ref(), &deliveries).await
                }
                _ => match ModelConsumer::park(&parked, log.as_ref()).await {
                    Ok(()) => vec![Disposition::Ack; parked.len()],
                    Err(_) => vec![Disposition::Retry(Duration::ZERO); parked.len()],
                },
            }
        };
        let task = Task::new(site.number(), handling.boxed_local());
        site.doom(&self.process, if self.job == Job::DeadLetters { 3 } else { 1 });
        let rest = task.drive(&self.process, &site.broker, &self.publisher).await;
        self.process.doom(None);
        match rest {
            Rest::Done(dispositions) => {
                let count =
                    |wanted: fn(&Disposition) -> bool| dispositions.iter().filter(|d| wanted(d)).count();
                let retries = count(|disposition| matches!(disposition, Disposition::Retry(_)));
                let parks = count(|disposition| matches!(disposition, Disposition::Park(_)));
                self.process
                    .note(format_args!("has handled {}: {retries} retries, {parks} parked", batch.len()));
                self.state = State::Handled(batch, dispositions);
            }
            Rest::Publishing(_) | Rest::Died => self.crash(site),
        }
    }

    async fn delay(&mut self, site: &Site<'_>, batch: Vec<Handed>, dispositions: Vec<Disposition>) {
        let Job::Queue(queue) = self.job else {
            // The drain keeps its batch until it is parked; here the broker keeps it.
            let settling = batch.into_iter().zip(dispositions);
            let settling = settling.map(|(handed, disposition)| (handed, disposition != Disposition::Ack));
            self.state = State::Settling(settling.collect());
            return;
        };
        let (publisher, handed, decided) = (self.publisher.clone(), batch.clone(), dispositions.clone());
        let delaying = async move { ModelConsumer::delay(&publisher, queue, &handed, &decided).await };
        let task = Task::new(site.number(), delaying.boxed_local());
        self.drive_delay(site, batch, dispositions, task).await;
    }

    async fn drive_delay(
        &mut self,
        site: &Site<'_>,
        batch: Vec<Handed>,
        dispositions: Vec<Disposition>,
        task: Task<Result<(), PublishError>>,
    ) {
        self.state = match task.drive(&self.process, &site.broker, &self.publisher).await {
            Rest::Publishing(task) => State::Delaying(batch, dispositions, task),
            Rest::Done(delayed) => {
                if let Err(error) = &delayed {
                    self.process.note(format_args!("could not delay retries: {}", error.name()));
                }
                let back = |disposition| delayed.is_err() && matches!(disposition, Disposition::Retry(_));
                let settling = batch.into_iter().zip(dispositions);
                State::Settling(settling.map(|(handed, disposition)| (handed, back(disposition))).collect())
            }
            Rest::Died => return self.crash(site),
        };
    }

    /// Tells the broker, about one after the other; it may die in between.
    fn settle(&mut self, site: &Site<'_>, batch: Vec<(Handed, bool)>) {
        let Some(consumer) = &self.consumer else { return };
        let dies = site.dies().then(|| site.chance.below(batch.len()));
        let mut unknown = 0;
        for (number, (handed, back)) in batch.iter().enumerate() {
            if dies == Some(number) {
                self.process.note(format_args!("dies when it has settled {number}"));
                return self.crash(site);
            }
            let known = if *back { consumer.requeue(handed) } else { consumer.ack(handed) };
            unknown += usize::from(!known);
        }
        self.process.note(format_args!("has settled {}, of which {unknown} in vain", batch.len()));
    }

    /// For a defect that keeps something back: what it had kept is applied.
    pub(crate) async fn flush(&self) {
        if let Some(handler) = &self.handler {
            handler.process_batch(&[]).await;
        }
    }
}

fn handler(site: &Site<'_>, queue: Queue, process: &Process) -> Result<Arc<dyn Handler>> {
    let handler = match queue {
        Queue::MatchEscrow => real(site, process, MatchEscrow::new(&site.settings)),
        Queue::RewardFulfillment => real(site, process, RewardFulfillment::new(&site.settings)?),
        Queue::PlayerStats => real(site, process, PlayerStats),
        Queue::OfferRemoval => real(site, process, OfferRemoval),
        Queue::EventArchive => real(site, process, EventArchive),
    };
    Ok(match site.defect {
        Defect::AckBeforeCommit => Arc::new(AckFirst { inner: handler, held: Mutex::default() }),
        _ => handler,
    })
}

fn real<E: Effects>(site: &Site<'_>, process: &Process, effects: E) -> Arc<dyn Handler> {
    // It does not wait for the database in place: that would be a wait for the clock.
    let options = WorkerOptions { attempts_max: 3, hold_max: Duration::ZERO, ..WorkerOptions::default() };
    let (process, chance) = (process.clone(), site.chance.clone());
    let effects = Mortal { process, inner: effects, chance, failures: site.conditions.failures };
    Arc::new(RealWorker::new(site.lab.store.clone(), effects, options))
}

/// The handler of a worker with nothing around it, for what is replayed.
pub(crate) fn plain(site: &Site<'_>, queue: Queue) -> Result<Arc<dyn Handler>> {
    let store = || site.lab.store.clone();
    let options = WorkerOptions::default;
    Ok(match queue {
        Queue::MatchEscrow => Arc::new(RealWorker::new(store(), MatchEscrow::new(&site.settings), options())),
        Queue::RewardFulfillment => {
            Arc::new(RealWorker::new(store(), RewardFulfillment::new(&site.settings)?, options()))
        }
        Queue::PlayerStats => Arc::new(RealWorker::new(store(), PlayerStats, options())),
        Queue::OfferRemoval => Arc::new(RealWorker::new(store(), OfferRemoval, options())),
        Queue::EventArchive => Arc::new(RealWorker::new(store(), EventArchive, options())),
    })
}
