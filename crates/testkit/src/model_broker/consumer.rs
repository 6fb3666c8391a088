use std::sync::Arc;
use std::time::Duration;

use matchpurse_bus::{
    Delivery, Disposition, FailureLog, FailureLogError, Handler, ParkedDelivery, PublishError, process,
};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use tokio_util::sync::CancellationToken;

use super::queue::Letter;
use super::state::DELAYS;
use super::{ConnectionId, ConsumerId, ModelBroker, ModelPublisher};

/// As many as `bus` takes ahead by default.
const PREFETCH: usize = 1024;

/// A subscription to one queue, and what a worker does with what it is handed: each part apart, so that whoever drives
/// it can have it die in between.
#[derive(Clone)]
pub struct ModelConsumer {
    broker: ModelBroker,
    id: ConsumerId,
    queue: String,
}

/// An event that was handed out and has to be settled.
#[derive(Debug, Clone)]
pub struct Handed {
    /// What a handler is given.
    pub delivery: Delivery,
    tag: u64,
    /// With this one its message is dealt with.
    last: bool,
    letter: Letter,
}

impl ModelConsumer {
    /// Subscribes; none without connection or queue.
    pub fn subscribe(
        broker: &ModelBroker,
        connection: ConnectionId,
        queue: &str,
        prefetch: usize,
    ) -> Option<Self> {
        let id = broker.change(|state| state.consume(connection, queue, prefetch))?;
        Some(Self { broker: broker.clone(), id, queue: queue.to_owned() })
    }

    /// Which one it is, for [`super::Step::Deliver`].
    pub fn id(&self) -> ConsumerId {
        self.id
    }

    /// False when its connection is gone, or its queue.
    pub fn is_subscribed(&self) -> bool {
        self.broker.state().consumers.contains_key(&self.id)
    }

    /// Its connection, if it stands.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.broker.state().consumers.get(&self.id).map(|consumer| consumer.connection)
    }

    /// How many were handed out and wait to be looked at.
    pub fn waiting(&self) -> usize {
        self.broker.state().consumers.get(&self.id).map_or(0, |consumer| consumer.inbox.len())
    }

    /// Takes at most `max` of those.
    pub fn batch(&self, max: usize) -> Vec<Handed> {
        let mut state = self.broker.state();
        let Some(consumer) = state.consumers.get_mut(&self.id) else { return Vec::new() };
        let count = max.min(consumer.inbox.len());
        let events: Vec<(u64, usize)> = consumer.inbox.drain(..count).collect();
        let Some(queue) = state.queue(&self.queue) else { return Vec::new() };
        let handed = events.into_iter().filter_map(|(tag, at)| {
            let (letter, last) = queue.unsettled.get(&tag)?.1.event_at(at);
            Some(Handed { delivery: letter.delivery(), tag, last, letter })
        });
        handed.collect()
    }

    /// Waits for a batch; none when the subscription has ended.
    async fn next(&self, max: usize) -> Option<Vec<Handed>> {
        let waiting = self.broker.until(|state| {
            let Some(consumer) = state.consumers.get(&self.id) else { return Some(false) };
            (!consumer.inbox.is_empty()).then_some(true)
        });
        waiting.await.then(|| self.batch(max))
    }

    /// Brings those that are to be retried to a delay of their queue, and waits for the confirm.
    ///
    /// # Errors
    /// As of any publish: then they must go back to the queue.
    pub async fn delay(
        publisher: &ModelPublisher,
        queue: Queue,
        batch: &[Handed],
        dispositions: &[Disposition],
    ) -> Result<(), PublishError> {
        let retries = batch.iter().zip(dispositions).filter_map(|(handed, disposition)| match disposition {
            Disposition::Retry(after) => Some((delay(*after).to_owned(), handed.letter.retry(queue.name()))),
            Disposition::Ack | Disposition::Park(_) => None,
        });
        publisher.send(retries.collect()).await
    }

    /// Acknowledges; false when the broker had forgotten that it handed this out.
    pub fn ack(&self, handed: &Handed) -> bool {
        self.broker.change(|state| state.settle(self.id, handed.tag, handed.last, false))
    }

    /// Gives back.
    pub fn requeue(&self, handed: &Handed) -> bool {
        self.broker.change(|state| state.settle(self.id, handed.tag, handed.last, true))
    }

    /// Ends the subscription; what was not settled goes back.
    pub fn cancel(&self) {
        self.broker.change(|state| state.cancel(self.id));
    }

    /// Parks dead letters, as `bus` does.
    ///
    /// # Errors
    /// Those of the log: then they must not be acknowledged.
    pub async fn park(batch: &[Handed], log: &dyn FailureLog) -> Result<(), FailureLogError> {
        let told: Vec<(String, String)> = batch
            .iter()
            .map(|handed| {
                let unknown = || (DEAD_LETTER_QUEUE.to_owned(), "it does not say why");
                let (queue, why) = handed.letter.death.clone().unwrap_or_else(unknown);
                (queue, format!("given up by the broker: {why}"))
            })
            .collect();
        let parked = batch.iter().zip(&told).map(|(handed, (queue, reason))| ParkedDelivery {
            queue,
            delivery: &handed.delivery,
            reason,
            by_broker: true,
        });
        log.park(&parked.collect::<Vec<_>>()).await
    }
}

/// The shortest delay that is at least so long, or the longest.
fn delay(after: Duration) -> &'static str {
    let [.., (longest, _)] = DELAYS;
    DELAYS.iter().find(|(_, wait)| *wait >= after).map_or(longest, |(name, _)| name)
}

/// A worker on the model until `shutdown`, as [`matchpurse_bus::Transport::run_worker`]: each batch is handled, its
/// retries are delayed, and then it is settled. Dropping the future is a crash.
pub async fn run_worker(
    broker: ModelBroker,
    queue: Queue,
    batch_max: usize,
    handler: Arc<dyn Handler>,
    log: Arc<dyn FailureLog>,
    shutdown: CancellationToken,
) {
    let publisher = ModelPublisher::new(&broker);
    let mut line = Line::new(&broker, queue.name());
    while let Some((consumer, batch)) = line.next(batch_max, &shutdown).await {
        publisher.connect();
        let deliveries: Vec<Delivery> = batch.iter().map(|handed| handed.delivery.clone()).collect();
        let dispositions = process(queue, handler.as_ref(), log.as_ref(), &deliveries).await;
        let delayed = ModelConsumer::delay(&publisher, queue, &batch, &dispositions).await.is_ok();
        for (handed, disposition) in batch.iter().zip(&dispositions) {
            match disposition {
                Disposition::Retry(_) if !delayed => consumer.requeue(handed),
                _ => consumer.ack(handed),
            };
        }
    }
}

/// Parks what the model gives up until `shutdown`, as [`matchpurse_bus::Transport::drain_dead_letters`].
pub async fn run_dead_letters(broker: ModelBroker, log: Arc<dyn FailureLog>, shutdown: CancellationToken) {
    let mut line = Line::new(&broker, DEAD_LETTER_QUEUE);
    while let Some((consumer, batch)) = line.next(usize::MAX, &shutdown).await {
        while ModelConsumer::park(&batch, log.as_ref()).await.is_err() {
            if shutdown.is_cancelled() {
                return;
            }
            tokio::task::yield_now().await;
        }
        for handed in &batch {
            consumer.ack(handed);
        }
    }
}

/// A consumer that subscribes again whenever its subscription has ended. Its drop is the end of its connection.
struct Line<'b> {
    broker: &'b ModelBroker,
    queue: &'static str,
    current: Option<(ConnectionId, ModelConsumer)>,
}

impl<'b> Line<'b> {
    fn new(broker: &'b ModelBroker, queue: &'static str) -> Self {
        Self { broker, queue, current: None }
    }

    /// The next batch; none at shutdown.
    async fn next(
        &mut self,
        max: usize,
        shutdown: &CancellationToken,
    ) -> Option<(ModelConsumer, Vec<Handed>)> {
        loop {
            let consumer = self.subscribe();
            let batch = tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                batch = consumer.next(max) => batch,
            };
            if let Some(batch) = batch {
                return Some((consumer, batch));
            }
        }
    }

    fn subscribe(&mut self) -> ModelConsumer {
        loop {
            if let Some((_, consumer)) =
                self.current.as_ref().filter(|(_, consumer)| consumer.is_subscribed())
            {
                return consumer.clone();
            }
            self.leave();
            self.broker.declare();
            let connection = self.broker.connect();
            let consumer = ModelConsumer::subscribe(self.broker, connection, self.queue, PREFETCH);
            self.current = consumer.map(|consumer| (connection, consumer));
        }
    }

    fn leave(&mut self) {
        if let Some((connection, _)) = self.current.take() {
            self.broker.disconnect(connection);
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
