//! The relay from the spool to the broker, turn by turn.

use std::sync::Arc;

use futures_util::FutureExt as _;
use matchpurse_bus::{BusOptions, Publisher as _, Relay as RealRelay, Spool, Status};
use matchpurse_testkit::model_broker::{BatchId, ModelPublisher};

use crate::defects::{Defect, Forgetful};
use crate::process::{Process, Rest, Task};
use crate::world::Site;

pub(crate) struct Relay {
    name: String,
    pub(crate) process: Process,
    pub(crate) publisher: ModelPublisher,
    alive: bool,
    task: Option<Task<Result<bool, String>>>,
}

impl Relay {
    pub(crate) fn start(site: &Site<'_>, number: usize) -> Self {
        let name = format!("relay {number}");
        let process = Process::new(&name, &site.trace);
        Self { name, process, publisher: ModelPublisher::new(&site.broker), alive: true, task: None }
    }

    pub(crate) fn restart(&mut self, site: &Site<'_>) {
        self.process = Process::new(&self.name, &site.trace);
        self.publisher.connect();
        self.alive = true;
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(crate) fn crash(&mut self, site: &Site<'_>) {
        if let Some(connection) = self.publisher.connection() {
            site.broker.abandon(connection);
        }
        (self.alive, self.task) = (false, None);
    }

    pub(crate) fn batches(&self) -> Vec<BatchId> {
        self.task.as_ref().map(|task| task.batches().to_vec()).unwrap_or_default()
    }

    /// True when it could begin a turn, or go on with one.
    pub(crate) fn can_work(&self, site: &Site<'_>) -> bool {
        self.alive
            && match &self.task {
                Some(task) => task.is_answered(&site.broker),
                None => site.may_be_spooled() && self.publisher.is_ready(),
            }
    }

    pub(crate) async fn work(&mut self, site: &Site<'_>) {
        let task = self.task.take().unwrap_or_else(|| {
            let mut spool: Arc<dyn Spool> = site.spool(&self.process);
            if site.defect == Defect::ForgetBeforeRelayed {
                spool = Arc::new(Forgetful(spool));
            }
            let publisher = Arc::new(self.publisher.clone());
            let options = BusOptions { batch_max: site.conditions.batch_max, ..BusOptions::default() };
            let relay = RealRelay::new(spool, publisher, options, Status::new());
            Task::new(site.number(), async move { relay.once().await }.boxed_local())
        });
        site.doom(&self.process, 3);
        let rest = task.drive(&self.process, &site.broker, &self.publisher).await;
        self.process.doom(None);
        match rest {
            Rest::Publishing(task) => self.task = Some(task),
            Rest::Done(Ok(_)) => {}
            Rest::Done(Err(problem)) => self.process.note(problem),
            Rest::Died => self.crash(site),
        }
    }
}
