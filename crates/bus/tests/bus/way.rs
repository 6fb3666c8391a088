//! The way of the events in a test: one of our transports, or the model of a broker.

use std::sync::Arc;

use matchpurse_bus::{BusOptions, FailureLog, Handler, Publisher, Status, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_testkit::model_broker::{ModelBroker, ModelPublisher, run_dead_letters, run_worker};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub(crate) enum Way {
    Ours(Box<Transport>),
    Model(Model),
}

/// The model with somebody who gives it its steps.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) broker: ModelBroker,
    publisher: ModelPublisher,
    batch_max: usize,
    _driver: Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Model {
    pub(crate) fn start(options: &BusOptions) -> Self {
        let (broker, batch_max) = (ModelBroker::new(), options.batch_max);
        broker.set_groups(options.group_max_events);
        let publisher = ModelPublisher::new(&broker);
        let driver = tokio::spawn(drive(broker.clone(), publisher.clone()));
        Self { broker, publisher, batch_max, _driver: Arc::new(Driver(driver)) }
    }
}

/// Performs the first step that is possible, for ever, by the wall clock; and connects the publisher again, as ours does
/// by itself.
async fn drive(broker: ModelBroker, publisher: ModelPublisher) {
    let begun = Instant::now();
    loop {
        let connection = publisher.connect();
        while let Some(step) = broker.possible().first() {
            broker.advance(begun.elapsed());
            broker.perform(step);
        }
        let due = broker.next_due();
        let elapses = async {
            match due {
                Some(due) => sleep_until(begun + due).await,
                None => broker.busy().await,
            }
        };
        tokio::select! {
            () = broker.has_work() => {}
            () = broker.disconnected(connection) => {}
            () = elapses => {}
        }
        broker.advance(begun.elapsed());
    }
}

impl From<&Transport> for Way {
    fn from(transport: &Transport) -> Self {
        Self::Ours(Box::new(transport.clone()))
    }
}

impl From<&Self> for Way {
    fn from(way: &Self) -> Self {
        way.clone()
    }
}

impl Way {
    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Ours(transport) => transport.publisher(),
            Self::Model(model) => Arc::new(model.publisher.clone()),
        }
    }

    pub(crate) async fn run_worker(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Ours(transport) => transport.run_worker(queue, handler, log, status, shutdown).await,
            Self::Model(model) => {
                run_worker(model.broker.clone(), queue, model.batch_max, handler, log, shutdown).await;
            }
        }
    }

    pub(crate) async fn drain_dead_letters(
        &self,
        log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Ours(transport) => transport.drain_dead_letters(log, status, shutdown).await,
            Self::Model(model) => run_dead_letters(model.broker.clone(), log, shutdown).await,
        }
    }

    /// True when a queue has a consumer, as far as its worker knows.
    pub(crate) fn is_consuming(&self, queue: Queue, status: &Status) -> bool {
        match self {
            Self::Ours(_) => status.is_consuming(),
            Self::Model(model) => model.broker.consumers(queue.name()) > 0,
        }
    }
}
