//! A broker that is a value: a topic exchange with confirms in front of durable quorum queues, as RabbitMQ does it and
//! as `bus` uses it.
//!
//! Nothing happens by itself. What a client sends lies in front of the broker until somebody performs a [`Step`]: take a
//! message, tell its publisher, hand one out, let one come back from its delay, bury a dead one. Which step is next
//! decides who runs the broker, a test's scheduler from a seed or a driver that always takes the first. There are no
//! threads, no timers and no randomness in it; the clock is moved by [`ModelBroker::advance`].
//!
//! | promised, as by RabbitMQ | not promised |
//! | --- | --- |
//! | a confirmed message is in every queue that wants it, whatever is cut off or restarted | that what was not confirmed is in none |
//! | unroutable is returned; a full queue refuses | that a refused message is in no other queue |
//! | handed out again, and marked, until it is acknowledged | that it comes once |
//! | what comes back comes before what is new, unless [`ModelBroker::set_disorder`] | an order among several consumers |
//! | what travels as one message is confirmed as one, and handed out event by event | that a confirmed event was alone |
//! | past the limit of deliveries it goes to the dead letters, when these can take it | |
//!
//! The conformance suite of `crates/bus/tests` asks this model and a real RabbitMQ the same questions.

mod consumer;
mod publisher;
mod queue;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use matchpurse_bus::PublishError;
use tokio::sync::Notify;

pub use consumer::{Handed, ModelConsumer, run_dead_letters, run_worker};
pub use publisher::ModelPublisher;
use state::State;

/// The broker. Clones are the same one.
#[derive(Clone)]
pub struct ModelBroker {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

/// A client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// A message on its way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub(crate) u64);

/// Messages that were published together; their publisher waits for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(crate) u64);

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub(crate) u64);

/// One thing that the broker can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take a message: store it in the queues that want it, or find that it must be returned or refused.
    Take(FlightId),
    /// Tell the publisher what became of a message that was taken.
    Confirm(FlightId),
    /// Hand the next message of its queue to a consumer.
    Deliver(ConsumerId),
    /// Bring the message whose delay is over back to the queue that it came from.
    Return(String),
    /// Bring a message that a queue has given up to the dead letters.
    Bury(String),
}

impl Default for ModelBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelBroker {
    /// A broker on which our topology is declared.
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())), changed: Arc::new(Notify::new()) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_waiters();
        changed
    }

    /// Waits until `found` finds something, looking after every change.
    pub(crate) async fn until<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking, so that no change is missed.
            changed.as_mut().enable();
            if let Some(found) = found(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Declares what is missing of our topology, with its bindings.
    pub fn declare(&self) {
        self.change(State::declare);
    }

    /// What the broker could do now, in a fixed order: a driver that always performs the first is fair to all consumers.
    pub fn possible(&self) -> Vec<Step> {
        self.state().possible()
    }

    /// Does it; in words, what came of it. Nothing when it is not possible any more.
    pub fn perform(&self, step: &Step) -> String {
        self.change(|state| state.perform(step))
    }

    /// Waits for something that the broker could do, or for something that will come due by its clock.
    pub async fn busy(&self) {
        self.until(|state| (!state.possible().is_empty() || state.next_due().is_some()).then_some(())).await;
    }

    /// Waits for something that the broker could do now.
    pub async fn has_work(&self) {
        self.until(|state| (!state.possible().is_empty()).then_some(())).await;
    }

    /// When the next delay is over, by the broker's clock; none when nobody waits for the clock.
    pub fn next_due(&self) -> Option<Duration> {
        self.state().next_due()
    }

    /// Moves the clock on; it never goes back.
    pub fn advance(&self, now: Duration) {
        self.change(|state| state.now = state.now.max(now));
    }

    /// A new connection.
    pub fn connect(&self) -> ConnectionId {
        self.change(State::connect)
    }

    /// True while the connection stands.
    pub fn is_connected(&self, connection: ConnectionId) -> bool {
        self.state().connections.contains(&connection)
    }

    /// Waits for the end of a connection.
    pub async fn disconnected(&self, connection: ConnectionId) {
        self.until(|state| (!state.connections.contains(&connection)).then_some(())).await;
    }

    /// Ends a connection. What it published and was not taken is gone, and its publishers are told so of everything
    /// unanswered; what its consumers had not settled goes back to the queues.
    pub fn disconnect(&self, connection: ConnectionId) {
        self.change(|state| state.disconnect(connection, true));
    }

    /// Ends a connection whose client is no more: as [`ModelBroker::disconnect`], but nobody is told. A future that waits
    /// for an answer waits for ever; drop it.
    pub fn abandon(&self, connection: ConnectionId) {
        self.change(|state| state.disconnect(connection, false));
    }

    /// Ends every connection, as a restart does. What is in queues stays.
    pub fn restart(&self) {
        self.change(State::restart);
    }

    /// Blocks publishers, for want of memory or disk, or lets them go on. What is on its way waits meanwhile.
    pub fn set_alarm(&self, alarm: bool) {
        self.change(|state| state.set_alarm(alarm));
    }

    /// True while publishers are blocked.
    pub fn has_alarm(&self) -> bool {
        self.state().alarm
    }

    /// With disorder, what comes back to a queue comes back at a place that `at` chooses: given how many wait, a number
    /// up to that. That is less than RabbitMQ promises.
    pub fn set_disorder(&self, at: impl FnMut(usize) -> usize + Send + 'static) {
        self.change(|state| state.disorder = Some(Box::new(at)));
    }

    /// Ends the disorder.
    pub fn set_order(&self) {
        self.change(|state| state.disorder = None);
    }

    /// Lets so many events travel as one message, as `bus` does: what is published joins what the broker has not taken yet.
    /// 1, as it is at first: a message an event.
    pub fn set_groups(&self, max: usize) {
        self.change(|state| state.group_max = max);
    }

    /// Deletes a queue with what it has; its consumers are cancelled.
    pub fn delete_queue(&self, name: &str) {
        self.change(|state| state.delete_queue(name));
    }

    /// Takes the queue of dead letters from its exchange, until [`ModelBroker::declare`].
    pub fn unbind_dead_letters(&self) {
        self.change(State::unbind_dead_letters);
    }

    /// Bounds how many messages a queue may hold; none for no bound.
    pub fn limit_length(&self, queue: &str, max: Option<usize>) {
        self.change(|state| state.queue_mut(queue).map(|queue| queue.length_max = max));
    }

    /// The queues that are bounded.
    pub fn bounded(&self) -> Vec<String> {
        let state = self.state();
        let bounded = state.queues.iter().filter(|(_, queue)| queue.length_max.is_some());
        bounded.map(|(name, _)| name.clone()).collect()
    }

    /// Bounds how often a message of a queue may come back.
    pub fn limit_deliveries(&self, queue: &str, max: u32) {
        self.change(|state| state.queue_mut(queue).map(|queue| queue.delivery_limit = Some(max)));
    }

    /// Takes the first message of a queue and rejects it for good, as an operator may; false when there is none.
    pub fn reject_first(&self, queue: &str) -> bool {
        self.change(|state| state.queue_mut(queue).is_some_and(queue::Queue::reject_first))
    }

    /// How many messages a queue could hand out now.
    pub fn ready(&self, queue: &str) -> usize {
        self.state().queue(queue).map_or(0, |queue| queue.ready.len())
    }

    /// How many messages a queue holds in all: also those that were handed out, and those to be buried.
    pub fn held(&self, queue: &str) -> usize {
        self.state().queue(queue).map_or(0, queue::Queue::held)
    }

    /// How many messages all queues hold.
    pub fn held_in_all(&self) -> usize {
        self.state().queues.values().map(queue::Queue::held).sum()
    }

    /// How many consumers a queue has.
    pub fn consumers(&self, queue: &str) -> usize {
        self.state().consumers.values().filter(|consumer| consumer.queue == queue).count()
    }

    /// The unanswered batches of a connection.
    pub fn unanswered(&self, connection: ConnectionId) -> Vec<BatchId> {
        self.state().unanswered(connection)
    }

    /// True while nobody has told the publisher what became of a batch.
    pub fn is_unanswered(&self, batch: BatchId) -> bool {
        self.state().is_unanswered(batch)
    }

    /// How many batches a connection has ever published.
    pub fn published(&self, connection: ConnectionId) -> u64 {
        self.state().published.get(&connection).copied().unwrap_or(0)
    }

    /// Waits until a connection has published more batches than this.
    pub async fn published_more_than(&self, connection: ConnectionId, count: u64) {
        self.until(|state| {
            let published = state.published.get(&connection).copied().unwrap_or(0);
            (published > count).then_some(())
        })
        .await;
    }

    /// The batch to which a message belongs, the first where several have events in it.
    pub fn batch_of(&self, flight: FlightId) -> Option<BatchId> {
        self.state().flights.get(&flight)?.batches.first().copied()
    }

    /// Tells a publisher that it has waited long enough. The broker may take the messages all the same, later.
    pub fn time_out(&self, batch: BatchId) {
        self.change(|state| state.answer(batch, Err(PublishError::TimedOut)));
    }
}
