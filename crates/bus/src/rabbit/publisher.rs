//! Publishing with confirms: many in flight on a few channels, and success only when the broker has said that
//! the messages are on disk and routed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use matchpurse_contracts::wire::Message;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::address::Address;
use super::connection::{Link, LinkGuard};
use super::convert::Outgoing;
use super::error::RabbitError;
use super::gather::group_key;
use super::lane::{Batch, Lane, Letter};
use super::ticket::Ticket;
use crate::{BusOptions, PublishError, Publisher, Status, metric};

/// A lane answers at its deadline; this is for a lane that is itself held up, by opening a channel.
const GRACE: Duration = Duration::from_millis(250);

/// In bytes; AMQP's limit.
const ROUTING_KEY_MAX: usize = 255;

/// Publishes to RabbitMQ, over one connection that is kept for ever.
///
/// A message counts as published when the broker has confirmed it, persistent and mandatory, and has not
/// returned it. Everything else is an error, and nothing is tried again here: the caller knows what to do, and
/// the same message may be published twice.
pub struct RabbitPublisher {
    lanes: Vec<mpsc::UnboundedSender<Batch>>,
    next: AtomicUsize,
    /// Among how many shards' events groups are made; none where every event is a message.
    groups_of_shards: Option<u16>,
    status: Status,
    /// One permit for each message that waits; the lanes' channels are unbounded because this bounds them.
    messages: Arc<Semaphore>,
    messages_max: usize,
    /// One permit for each byte of body that waits.
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    confirm_timeout: Duration,
    link: Link,
    guard: Mutex<Option<LinkGuard>>,
}

impl RabbitPublisher {
    /// Starts connecting, on the current tokio runtime, and returns at once.
    ///
    /// # Errors
    /// [`RabbitError::Url`].
    pub fn start(url: &str, options: &BusOptions) -> Result<Arc<Self>, RabbitError> {
        let address = Address::new(url, options)?;
        let status = Status::new();
        let (link, guard) = Link::start(address, "publisher", options, status.clone());
        let lanes =
            (0..options.publish_channels.max(1)).map(|_| Lane::start(link.clone(), options)).collect();
        let messages_max = options.waiting_max.clamp(1, Semaphore::MAX_PERMITS);
        let bytes_max = options.waiting_bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Arc::new(Self {
            lanes,
            next: AtomicUsize::new(0),
            groups_of_shards: (options.group_max_events > 1).then_some(options.shards),
            status,
            messages: Arc::new(Semaphore::new(messages_max)),
            messages_max,
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            confirm_timeout: options.confirm_timeout,
            link,
            guard: Mutex::new(Some(guard)),
        }))
    }

    /// What the connection is doing.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// How many events wait for their confirm.
    pub fn waiting(&self) -> usize {
        self.messages_max - self.messages.available_permits()
    }

    /// Closes the connection; every later publish fails. To be called when nobody publishes any more.
    pub async fn close(&self) {
        if let Some(guard) = self.guard.lock().await.take() {
            guard.close().await;
        }
    }

    /// Publishes what is addressed to somebody; see [`Publisher::publish`].
    pub(crate) async fn publish_outgoing(&self, messages: Vec<Outgoing>) -> Result<(), PublishError> {
        self.publish_letters(messages.into_iter().map(Box::new).map(Letter::Addressed).collect()).await
    }

    async fn publish_letters(&self, letters: Vec<Letter>) -> Result<(), PublishError> {
        let (count, begun) = (letters.len(), Instant::now());
        let published = self.confirm(letters, begun).await;
        if let Err(PublishError::Unroutable | PublishError::Broken(_)) = &published {
            self.link.suspect_topology();
        }
        let outcome = published.as_ref().map_or_else(PublishError::name, |()| "confirmed");
        metrics::counter!(metric::PUBLISHED, "outcome" => outcome).increment(count as u64);
        metrics::histogram!(metric::CONFIRM_SECONDS).record(begun.elapsed());
        metrics::gauge!(metric::WAITING).set(self.waiting() as f64);
        published
    }

    async fn confirm(&self, letters: Vec<Letter>, begun: Instant) -> Result<(), PublishError> {
        if letters.is_empty() {
            return Ok(());
        }
        let state = self.status.state();
        if !state.connected {
            return Err(PublishError::NotConnected);
        }
        if state.blocked {
            return Err(PublishError::Blocked);
        }
        let permits = self.permits(&letters)?;
        let (reply, replied) = oneshot::channel();
        let deadline = begun + self.confirm_timeout;
        let ticket = Ticket::new(letters.len(), deadline, reply, permits);
        let batch = Batch { letters, ticket };
        let lane = self.lane_of(&batch).ok_or(PublishError::NotConnected)?;
        lane.send(batch).map_err(|_| PublishError::NotConnected)?;
        match tokio::time::timeout_at(deadline + GRACE, replied).await {
            Ok(Ok(result)) => result,
            // The lane has ended with its link.
            Ok(Err(_)) => Err(PublishError::NotConnected),
            Err(_) => Err(PublishError::TimedOut),
        }
    }

    /// Where events may travel together, those of a kind take one channel, so that more of them do; else all take turns.
    fn lane_of(&self, batch: &Batch) -> Option<&mpsc::UnboundedSender<Batch>> {
        let place = match (self.groups_of_shards, batch.letters.first()) {
            (Some(shards), Some(Letter::Event(message))) => {
                let mut hasher = DefaultHasher::new();
                group_key(message, shards).hash(&mut hasher);
                usize::try_from(hasher.finish() >> 33).unwrap_or_default()
            }
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        self.lanes.get(place.checked_rem(self.lanes.len())?)
    }

    /// Room for the messages. They keep it until they are confirmed or given up, even when their publisher
    /// has stopped waiting: they are in memory for so long.
    fn permits(&self, letters: &[Letter]) -> Result<[OwnedSemaphorePermit; 2], PublishError> {
        let bytes: usize = letters.iter().map(Letter::bytes).sum();
        // What is larger than all the room there is may pass alone.
        let take = |room: &Arc<Semaphore>, wanted: usize, max: usize| {
            let wanted = u32::try_from(wanted.min(max)).unwrap_or(u32::MAX);
            room.clone().try_acquire_many_owned(wanted).map_err(|_| PublishError::Overloaded)
        };
        Ok([
            take(&self.messages, letters.len(), self.messages_max)?,
            take(&self.bytes, bytes, self.bytes_max)?,
        ])
    }
}

#[async_trait]
impl Publisher for RabbitPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        // Before it gathers with others, to which it must do no harm.
        if messages.iter().any(|message| message.routing_key.len() > ROUTING_KEY_MAX) {
            return Err(PublishError::Broken("a routing key is too long for AMQP".into()));
        }
        self.publish_letters(messages.into_iter().map(Letter::Event).collect()).await
    }

    fn is_ready(&self) -> bool {
        self.status.can_publish()
    }
}
