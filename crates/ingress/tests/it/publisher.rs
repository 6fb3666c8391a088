//! A publisher that keeps what it is given, or fails in ways in which a broker only does by accident.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use matchpurse_bus::{PublishError, Publisher};
use matchpurse_contracts::wire::{self, Message};
use matchpurse_domain::event::Event;
use tokio::sync::{Semaphore, watch};

/// What a publish does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// It confirms.
    Keep,
    /// It fails at once, with this.
    Fail(fn() -> PublishError),
    /// It waits until it is released, then confirms.
    Hold,
    /// It panics, as no publisher should.
    Panic,
}

pub(crate) struct TestPublisher {
    mode: Mutex<Mode>,
    published: Mutex<Vec<Message>>,
    ready: AtomicBool,
    held: watch::Sender<usize>,
    releases: Semaphore,
}

impl TestPublisher {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mutex::new(Mode::Keep),
            published: Mutex::default(),
            ready: AtomicBool::new(true),
            held: watch::Sender::new(0),
            releases: Semaphore::new(0),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
    }

    /// Waits until so many publishes are held.
    pub(crate) async fn wait_for_held(&self, count: usize) {
        self.held.subscribe().wait_for(|held| *held == count).await.unwrap();
    }

    /// Lets so many held publishes go on.
    pub(crate) fn release(&self, count: usize) {
        self.releases.add_permits(count);
    }

    /// What was confirmed, in order.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.published.lock().unwrap().clone()
    }

    /// Forgets what was confirmed.
    pub(crate) fn forget(&self) {
        self.published.lock().unwrap().clear();
    }

    /// What was confirmed, decoded as a worker would.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.messages().iter().map(|message| wire::decode(&message.body).unwrap()).collect()
    }
}

#[async_trait]
impl Publisher for TestPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Keep => {}
            Mode::Fail(error) => return Err(error()),
            Mode::Panic => panic!("as the test wants"),
            Mode::Hold => {
                self.held.send_modify(|held| *held += 1);
                self.releases.acquire().await.unwrap().forget();
            }
        }
        self.published.lock().unwrap().extend(messages);
        if let Mode::Hold = mode {
            self.held.send_modify(|held| *held -= 1);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }
}
