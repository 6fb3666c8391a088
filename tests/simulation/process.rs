//! A process that can die at any of its points, and how what it does is driven from rest to rest.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_util::future::LocalBoxFuture;
use matchpurse_testkit::model_broker::{BatchId, ModelBroker, ModelPublisher};
use tokio::sync::Notify;

use crate::trace::Trace;

/// One life of a process. Clones are the same one; what comes after a restart is another.
#[derive(Clone)]
pub(crate) struct Process(Arc<Inner>);

struct Inner {
    name: String,
    trace: Trace,
    fate: Mutex<Fate>,
    turns: Notify,
}

#[derive(Default)]
struct Fate {
    /// How many points it passes before it dies.
    points: Option<usize>,
    dead: bool,
    /// The task whose turn it is.
    turn: Option<u64>,
    /// Who drives it.
    driver: Option<Waker>,
}

impl Process {
    pub(crate) fn new(name: &str, trace: &Trace) -> Self {
        let (name, trace) = (name.to_owned(), trace.clone());
        Self(Arc::new(Inner { name, trace, fate: Mutex::default(), turns: Notify::new() }))
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        self.0.trace.note(&self.0.name, what);
    }

    /// It dies at the point after so many; none: it lives.
    pub(crate) fn doom(&self, points: Option<usize>) {
        self.fate().points = points;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.fate().dead
    }

    /// A point of what it does: it may die here, and then nothing more is done.
    pub(crate) async fn point(&self, what: &str) {
        if self.dies(what) {
            std::future::pending::<()>().await;
        }
    }

    /// A point at which what is begun next still leaves the process: a statement that is sent, and nobody waits for its
    /// answer.
    pub(crate) fn last_words(&self, what: &str) {
        self.dies(what);
    }

    fn dies(&self, what: &str) -> bool {
        let mut fate = self.fate();
        if fate.dead {
            return true;
        }
        match fate.points.as_mut() {
            Some(0) => {
                fate.dead = true;
                self.note(format_args!("dies {what}"));
                if let Some(driver) = fate.driver.take() {
                    driver.wake();
                }
                true
            }
            Some(points) => {
                *points -= 1;
                false
            }
            None => false,
        }
    }

    /// The task whose turn it is, for what it starts.
    pub(crate) fn task(&self) -> Option<u64> {
        self.fate().turn
    }

    /// Waits until it is a task's turn: what was started goes on with it, and never beside another step.
    pub(crate) async fn turn_of(&self, task: Option<u64>) {
        loop {
            let mut turns = pin!(self.0.turns.notified());
            turns.as_mut().enable();
            if task.is_some() && self.fate().turn == task {
                return;
            }
            turns.await;
        }
    }

    fn set_turn(&self, task: Option<u64>) {
        self.fate().turn = task;
        self.0.turns.notify_waiters();
    }
}

/// Something that a process does, at rest or being driven.
pub(crate) struct Task<T> {
    number: u64,
    future: LocalBoxFuture<'static, T>,
    /// What it has published and waits for.
    batches: Vec<BatchId>,
}

/// Where a task has come to.
pub(crate) enum Rest<T, W = Task<T>> {
    Done(T),
    /// It waits for the broker.
    Publishing(W),
    /// Its process has died.
    Died,
}

impl<T> Task<T> {
    pub(crate) fn new(number: u64, future: LocalBoxFuture<'static, T>) -> Self {
        Self { number, future, batches: Vec::new() }
    }

    /// What it waits for.
    pub(crate) fn batches(&self) -> &[BatchId] {
        &self.batches
    }

    /// True when it has heard of all that it waits for.
    pub(crate) fn is_answered(&self, broker: &ModelBroker) -> bool {
        !self.batches.iter().any(|batch| broker.is_unanswered(*batch))
    }

    /// Drives it until it is done, waits for the broker, or has died.
    pub(crate) async fn drive(
        mut self,
        process: &Process,
        broker: &ModelBroker,
        publisher: &ModelPublisher,
    ) -> Rest<T> {
        let connection = publisher.connection();
        let published = connection.map_or(0, |connection| broker.published(connection));
        let known = connection.map(|connection| broker.unanswered(connection)).unwrap_or_default();
        let mut publishes = pin!(async {
            match connection {
                Some(connection) => broker.published_more_than(connection, published).await,
                None => std::future::pending().await,
            }
        });
        process.set_turn(Some(self.number));
        let ended = std::future::poll_fn(|context| {
            process.fate().driver = Some(context.waker().clone());
            let polled = self.future.as_mut().poll(context);
            if process.is_dead() {
                return Poll::Ready(Rest::Died);
            }
            if let Poll::Ready(done) = polled {
                return Poll::Ready(Rest::Done(done));
            }
            publishes.as_mut().poll(context).map(|()| Rest::<T, ()>::Publishing(()))
        })
        .await;
        process.set_turn(None);
        match ended {
            Rest::Done(done) => Rest::Done(done),
            Rest::Died => Rest::Died,
            Rest::Publishing(()) => {
                let now = connection.map(|connection| broker.unanswered(connection)).unwrap_or_default();
                self.batches = now.into_iter().filter(|batch| !known.contains(batch)).collect();
                Rest::Publishing(self)
            }
        }
    }
}
