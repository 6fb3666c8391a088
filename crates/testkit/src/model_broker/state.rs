//! What the broker knows, and what each step does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use matchpurse_bus::PublishError;
use matchpurse_contracts::topology::{
    DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue as Worker,
};
use tokio::sync::oneshot;

use super::queue::{Letter, Queue};
use super::{BatchId, ConnectionId, ConsumerId, FlightId, Step};

/// The delays that `bus` declares: each a fanout exchange and a queue of this name.
pub(super) const DELAYS: [(&str, Duration); 4] = [
    ("matchpurse.delay.1s", Duration::from_secs(1)),
    ("matchpurse.delay.5s", Duration::from_secs(5)),
    ("matchpurse.delay.30s", Duration::from_secs(30)),
    ("matchpurse.delay.5m", Duration::from_secs(300)),
];

/// As `bus` declares it.
const DELIVERY_LIMIT: u32 = 1000;

pub(super) type Answer = Result<(), PublishError>;
type Place = Box<dyn FnMut(usize) -> usize + Send>;

pub(crate) struct State {
    pub(super) now: Duration,
    pub(super) queues: BTreeMap<String, Queue>,
    /// By exchange: binding key and queue. A fanout exchange looks at no key.
    bindings: BTreeMap<&'static str, BTreeSet<(String, String)>>,
    pub(super) connections: BTreeSet<ConnectionId>,
    pub(super) consumers: BTreeMap<ConsumerId, Consumer>,
    pub(super) flights: BTreeMap<FlightId, Flight>,
    batches: BTreeMap<BatchId, Batch>,
    /// By connection, for ever.
    pub(super) published: BTreeMap<ConnectionId, u64>,
    /// Whoever waits for these waits for ever: their process is no more.
    forgotten: Vec<oneshot::Sender<Answer>>,
    pub(super) alarm: bool,
    pub(super) disorder: Option<Place>,
    /// How many events may travel as one message.
    pub(super) group_max: usize,
    next: u64,
}

pub(super) struct Consumer {
    pub(super) connection: ConnectionId,
    pub(super) queue: String,
    prefetch: usize,
    /// Handed out, and not yet looked at by the client: each event with its place in its message.
    pub(super) inbox: VecDeque<(u64, usize)>,
    /// Messages of which an event that was dealt with goes back.
    going_back: BTreeSet<u64>,
    /// The last that it was handed: consumers take turns.
    last: u64,
}

/// A message between its publisher and the broker.
pub(super) struct Flight {
    connection: ConnectionId,
    /// Whose it is: one for each event.
    pub(super) batches: Vec<BatchId>,
    exchange: String,
    letter: Letter,
    /// What became of it, when it was taken.
    taken: Option<Answer>,
}

struct Batch {
    connection: ConnectionId,
    unsettled: usize,
    error: Option<PublishError>,
    reply: oneshot::Sender<Answer>,
}

impl State {
    pub(super) fn new() -> Self {
        let mut state = Self {
            now: Duration::ZERO,
            queues: BTreeMap::new(),
            bindings: BTreeMap::new(),
            connections: BTreeSet::new(),
            consumers: BTreeMap::new(),
            flights: BTreeMap::new(),
            batches: BTreeMap::new(),
            published: BTreeMap::new(),
            forgotten: Vec::new(),
            alarm: false,
            disorder: None,
            group_max: 1,
            next: 0,
        };
        state.declare();
        state
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    // The topology.

    pub(super) fn declare(&mut self) {
        self.queues.entry(DEAD_LETTER_QUEUE.to_owned()).or_default();
        self.bind(DEAD_LETTER_EXCHANGE, "#", DEAD_LETTER_QUEUE);
        for (name, delay) in DELAYS {
            self.queues
                .entry(name.to_owned())
                .or_insert_with(|| Queue { delay: Some(delay), ..Queue::default() });
            self.bind(name, "#", name);
        }
        for worker in Worker::ALL {
            self.queues.entry(worker.name().to_owned()).or_insert_with(|| Queue {
                dead_letters_to: Some(DEAD_LETTER_EXCHANGE),
                delivery_limit: Some(DELIVERY_LIMIT),
                ..Queue::default()
            });
            for key in worker.binding_keys() {
                self.bind(EVENTS_EXCHANGE, &key, worker.name());
            }
        }
    }

    fn bind(&mut self, exchange: &'static str, key: &str, queue: &str) {
        self.bindings.entry(exchange).or_default().insert((key.to_owned(), queue.to_owned()));
    }

    pub(super) fn unbind_dead_letters(&mut self) {
        self.bindings.remove(DEAD_LETTER_EXCHANGE);
    }

    pub(super) fn delete_queue(&mut self, name: &str) {
        self.queues.remove(name);
        self.bindings.values_mut().for_each(|bindings| bindings.retain(|(_, queue)| queue != name));
        self.consumers.retain(|_, consumer| consumer.queue != name);
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(super) fn queue_mut(&mut self, name: &str) -> Option<&mut Queue> {
        self.queues.get_mut(name)
    }

    /// The queues that an exchange brings a message to, each once. The exchange without a name goes by queue.
    fn route(&self, exchange: &str, key: &str) -> BTreeSet<String> {
        if exchange.is_empty() {
            return self.queues.keys().filter(|name| *name == key).cloned().collect();
        }
        let topic = exchange == EVENTS_EXCHANGE;
        let bindings = self.bindings.get(exchange).into_iter().flatten();
        let matching = bindings.filter(|(pattern, _)| !topic || matches(pattern, key));
        matching.map(|(_, queue)| queue.clone()).filter(|queue| self.queues.contains_key(queue)).collect()
    }

    // Connections.

    pub(super) fn connect(&mut self) -> ConnectionId {
        let connection = ConnectionId(self.number());
        self.connections.insert(connection);
        connection
    }

    pub(super) fn disconnect(&mut self, connection: ConnectionId, tell: bool) {
        self.connections.remove(&connection);
        let gone: Vec<ConsumerId> =
            self.consumers.iter().filter(|(_, c)| c.connection == connection).map(|(id, _)| *id).collect();
        for consumer in gone {
            self.cancel(consumer);
        }
        self.flights.retain(|_, flight| flight.connection != connection);
        for batch in self.unanswered(connection) {
            if tell {
                self.answer(batch, Err(PublishError::Broken("the connection is gone".into())));
            } else if let Some(batch) = self.batches.remove(&batch) {
                self.forgotten.push(batch.reply);
            }
        }
    }

    pub(super) fn restart(&mut self) {
        for connection in self.connections.clone() {
            self.disconnect(connection, true);
        }
    }

    pub(super) fn set_alarm(&mut self, alarm: bool) {
        self.alarm = alarm;
        if alarm {
            for batch in self.batches.keys().copied().collect::<Vec<_>>() {
                self.answer(batch, Err(PublishError::Blocked));
            }
        }
    }

    // Publishing.

    /// Puts messages on their way, each with its exchange.
    pub(super) fn send(
        &mut self,
        connection: Option<ConnectionId>,
        letters: Vec<(String, Letter)>,
    ) -> Result<oneshot::Receiver<Answer>, PublishError> {
        let connected = connection.filter(|connection| self.connections.contains(connection));
        let Some(connection) = connected else { return Err(PublishError::NotConnected) };
        if self.alarm {
            return Err(PublishError::Blocked);
        }
        let (reply, replied) = oneshot::channel();
        let batch = BatchId(self.number());
        self.batches.insert(batch, Batch { connection, unsettled: letters.len(), error: None, reply });
        for (exchange, letter) in letters {
            if exchange == EVENTS_EXCHANGE
                && let Some(flight) = self.gathering(connection, &letter)
            {
                flight.batches.push(batch);
                flight.letter.others.push(letter);
                continue;
            }
            let (id, batches) = (FlightId(self.number()), vec![batch]);
            self.flights.insert(id, Flight { connection, batches, exchange, letter, taken: None });
        }
        *self.published.entry(connection).or_default() += 1;
        Ok(replied)
    }

    /// A message that an event may travel with: it has not been taken yet, and has room.
    fn gathering(&mut self, connection: ConnectionId, letter: &Letter) -> Option<&mut Flight> {
        let max = self.group_max;
        self.flights.values_mut().find(|flight| {
            flight.connection == connection
                && flight.taken.is_none()
                && flight.exchange == EVENTS_EXCHANGE
                && flight.batches.len() < max
                && flight.letter.may_travel_with(letter)
        })
    }

    pub(super) fn unanswered(&self, connection: ConnectionId) -> Vec<BatchId> {
        let of = self.batches.iter().filter(|(_, batch)| batch.connection == connection);
        of.map(|(id, _)| *id).collect()
    }

    pub(super) fn is_unanswered(&self, batch: BatchId) -> bool {
        self.batches.contains_key(&batch)
    }

    pub(super) fn answer(&mut self, batch: BatchId, answer: Answer) {
        if let Some(batch) = self.batches.remove(&batch) {
            // The publisher may have stopped waiting.
            batch.reply.send(answer).ok();
        }
    }

    fn take(&mut self, id: FlightId) -> String {
        let Some(flight) = self.flights.get(&id) else { return "nothing to take".to_owned() };
        let queues = self.route(&flight.exchange, &flight.letter.key);
        let letter = flight.letter.clone();
        let mut answer = if queues.is_empty() { Err(PublishError::Unroutable) } else { Ok(()) };
        let mut into = Vec::new();
        for name in queues {
            let now = self.now;
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            if queue.is_full() {
                answer = Err(PublishError::Refused);
            } else {
                let due = queue.delay.map(|delay| now + delay);
                queue.ready.push_back(Letter { due, ..letter.clone() });
                into.push(name);
            }
        }
        let told = match &answer {
            Ok(()) => format!("into {}", into.join(", ")),
            Err(error) => format!("{}; into {into:?}", error.name()),
        };
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.taken = Some(answer);
        }
        told
    }

    fn confirm(&mut self, id: FlightId) -> String {
        let Some(Flight { batches, taken: Some(answer), .. }) = self.flights.remove(&id) else {
            return "nothing to confirm".to_owned();
        };
        let told = answer.as_ref().map_or_else(PublishError::name, |()| "confirmed").to_owned();
        let mut unheard = 0;
        for id in batches {
            // Nobody waits any more after a time limit or an alarm.
            let Some(batch) = self.batches.get_mut(&id) else {
                unheard += 1;
                continue;
            };
            batch.unsettled -= 1;
            if let Err(error) = &answer {
                batch.error.get_or_insert_with(|| again(error));
            }
            if batch.unsettled == 0 {
                let answer = batch.error.take().map_or(Ok(()), Err);
                self.answer(id, answer);
            }
        }
        if unheard == 0 { told } else { format!("{told}, of which {unheard} hear nothing") }
    }

    // Consuming.

    pub(super) fn consume(
        &mut self,
        connection: ConnectionId,
        queue: &str,
        prefetch: usize,
    ) -> Option<ConsumerId> {
        if !self.connections.contains(&connection) || !self.queues.contains_key(queue) {
            return None;
        }
        let id = ConsumerId(self.number());
        let (queue, inbox, going_back) = (queue.to_owned(), VecDeque::new(), BTreeSet::new());
        self.consumers.insert(id, Consumer { connection, queue, prefetch, inbox, going_back, last: 0 });
        Some(id)
    }

    /// Ends a subscription; what it had not settled goes back, in its order.
    pub(super) fn cancel(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        let Some(queue) = self.queues.get_mut(&consumer.queue) else { return };
        let held: Vec<u64> =
            queue.unsettled.iter().filter(|(_, (of, _))| *of == id).map(|(tag, _)| *tag).collect();
        for tag in held {
            let Some((_, letter)) = queue.unsettled.remove(&tag) else { continue };
            let waiting = queue.ready.len();
            let at = self.disorder.as_mut().map(|at| at(waiting));
            queue.give_back(&consumer.queue, letter, at);
        }
    }

    fn unsettled(&self, id: ConsumerId, queue: &str) -> usize {
        self.queue(queue).map_or(0, |queue| queue.unsettled.values().filter(|(of, _)| *of == id).count())
    }

    fn deliver(&mut self, id: ConsumerId) -> String {
        let tag = self.number();
        let Some(consumer) = self.consumers.get_mut(&id) else { return "no consumer".to_owned() };
        let Some(queue) = self.queues.get_mut(&consumer.queue) else { return "no queue".to_owned() };
        let Some(letter) = queue.ready.pop_front() else { return "nothing to deliver".to_owned() };
        let again = if letter.returned > 0 {
            format!(", for the {}. time", letter.returned + 1)
        } else {
            String::new()
        };
        consumer.inbox.extend((0..=letter.others.len()).map(|at| (tag, at)));
        queue.unsettled.insert(tag, (id, letter));
        consumer.last = tag;
        format!("from {}{again}", consumer.queue)
    }

    /// Settles an event that was handed out; false when the broker does not know of it any more. It hears of the message
    /// with its last event, and takes it back when any of them goes back.
    pub(super) fn settle(&mut self, id: ConsumerId, tag: u64, last: bool, requeue: bool) -> bool {
        let Some(consumer) = self.consumers.get_mut(&id) else { return false };
        let Some(queue) = self.queues.get_mut(&consumer.queue) else { return false };
        if !last {
            if requeue {
                consumer.going_back.insert(tag);
            }
            return queue.unsettled.contains_key(&tag);
        }
        let requeue = consumer.going_back.remove(&tag) || requeue;
        let Some((_, letter)) = queue.unsettled.remove(&tag) else { return false };
        if requeue {
            let waiting = queue.ready.len();
            let at = self.disorder.as_mut().map(|at| at(waiting));
            queue.give_back(&consumer.queue, letter, at);
        }
        true
    }

    // Steps.

    /// When the next delay is over that is not over yet.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.queues.values().filter_map(|queue| queue.ready.front()?.due).filter(|due| *due > self.now).min()
    }

    pub(super) fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.alarm {
            let flights = self.flights.iter().filter(|(_, flight)| flight.taken.is_none());
            steps.extend(flights.map(|(id, _)| Step::Take(*id)));
        }
        let taken = self.flights.iter().filter(|(_, flight)| flight.taken.is_some());
        steps.extend(taken.map(|(id, _)| Step::Confirm(*id)));
        for (name, queue) in &self.queues {
            if queue.delay.is_some() && self.returns_to(queue).is_some() {
                steps.push(Step::Return(name.clone()));
            }
            if !queue.dead.is_empty() && self.grave(queue).is_some() {
                steps.push(Step::Bury(name.clone()));
            }
        }
        // Who was served longest ago comes first.
        let mut consumers: Vec<(u64, ConsumerId)> = Vec::new();
        for (id, consumer) in &self.consumers {
            let unsettled = self.unsettled(*id, &consumer.queue);
            let some = self.queue(&consumer.queue).is_some_and(|queue| !queue.ready.is_empty());
            if some && unsettled < consumer.prefetch {
                consumers.push((consumer.last, *id));
            }
        }
        consumers.sort_unstable();
        steps.extend(consumers.into_iter().map(|(_, id)| Step::Deliver(id)));
        steps
    }

    /// Where the first of a delay goes, when its time is over and there is room.
    fn returns_to(&self, queue: &Queue) -> Option<String> {
        let first = queue.ready.front().filter(|letter| letter.due.is_some_and(|due| due <= self.now))?;
        self.open(self.route("", &first.key))
    }

    /// Where what a queue has given up goes, when there is such a place with room.
    fn grave(&self, queue: &Queue) -> Option<String> {
        self.open(self.route(queue.dead_letters_to?, ""))
    }

    fn open(&self, queues: BTreeSet<String>) -> Option<String> {
        queues.into_iter().find(|name| self.queue(name).is_some_and(|queue| !queue.is_full()))
    }

    pub(super) fn perform(&mut self, step: &Step) -> String {
        match step {
            Step::Take(flight) => self.take(*flight),
            Step::Confirm(flight) => self.confirm(*flight),
            Step::Deliver(consumer) => self.deliver(*consumer),
            Step::Return(name) => {
                let to = self.queue(name).and_then(|queue| self.returns_to(queue));
                let first =
                    self.queue_mut(name).filter(|_| to.is_some()).and_then(|queue| queue.ready.pop_front());
                self.hand_over(name, to, first, "expired")
            }
            Step::Bury(name) => {
                let to = self.queue(name).and_then(|queue| self.grave(queue));
                let first =
                    self.queue_mut(name).filter(|_| to.is_some()).and_then(|queue| queue.dead.pop_front());
                let why = first.as_ref().and_then(|letter| letter.death.as_ref()).map_or("", |(_, why)| *why);
                self.hand_over(name, to, first, why)
            }
        }
    }

    /// From one queue to another: it is never in none.
    fn hand_over(
        &mut self,
        from: &str,
        to: Option<String>,
        letter: Option<Letter>,
        why: &'static str,
    ) -> String {
        let (Some(to), Some(mut letter)) = (to, letter) else { return "nothing to hand over".to_owned() };
        letter.death = Some((from.to_owned(), why));
        letter.due = None;
        letter.returned = 0;
        if let Some(queue) = self.queue_mut(&to) {
            queue.ready.push_back(letter);
        }
        format!("{why}: from {from} to {to}")
    }
}

/// The same error, for another one who waits.
fn again(error: &PublishError) -> PublishError {
    match error {
        PublishError::Unroutable => PublishError::Unroutable,
        _ => PublishError::Refused,
    }
}

/// Whether a topic's pattern fits a key: `*` stands for one word, `#` for any number.
fn matches(pattern: &str, key: &str) -> bool {
    fn words(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => {
                words(rest, key) || key.split_first().is_some_and(|(_, k)| words(pattern, k))
            }
            (Some((word, pattern)), Some((first, key))) => {
                (*word == "*" || word == first) && words(pattern, key)
            }
            _ => false,
        }
    }
    let split = |text: &'_ str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
    let (pattern, key) = (split(pattern), split(key));
    let [pattern, key] = [&pattern, &key].map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    words(&pattern, &key)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_topic_s_pattern_fits_words() {
        for (pattern, key, fits) in [
            ("#", "a.b.c", true),
            ("a.#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "b.a", false),
            ("*.b", "a.b", true),
            ("*.b", "a.c.b", false),
            ("#.b", "a.c.b", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(matches(pattern, key), fits, "{pattern} {key}");
        }
    }
}
