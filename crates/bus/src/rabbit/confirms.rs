//! The confirms that one channel waits for.
//!
//! An unroutable message is *returned* and then confirmed like any other. lapin hands the returned message to
//! whichever confirm it resolves next, and it resolves the confirms of one `multiple` acknowledgement in no
//! order: among several in flight, a message that went nowhere may look confirmed while a neighbour's confirm
//! carries it. Two things make this safe. A confirm that carries any message counts as a failure, and so does
//! the confirm of the message that it carries. And no success is told before every confirm that was resolved by
//! then has been looked at: the one that carries the message was resolved no later than the one that misses it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::time::Instant;

use super::connection::RELEASE_PATIENCE;
use super::convert::Outgoing;
use super::gather::Parcel;
use super::lane::until;
use super::ticket::Ticket;
use crate::PublishError;

const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Confirms {
    channel: Arc<Channel>,
    unsettled: FuturesUnordered<BoxFuture<'static, Settled>>,
    /// Who waits for something on this channel, by deadline. Who waits no more is skipped.
    waiting: VecDeque<Arc<Ticket>>,
    ids: HashMap<ShortString, InFlight>,
    /// How many unconfirmed messages there are of a kind.
    keys: HashMap<String, u32>,
    /// Of the last message.
    number: u64,
    /// A message without an id was returned: any message before this number may be the one.
    distrusted_before: u64,
    broken: Option<lapin::Error>,
}

/// The messages of one id on the channel.
#[derive(Default)]
struct InFlight {
    unsettled: u32,
    returned: u32,
}

/// What became of one message.
struct Settled {
    /// Whoever waits for it: one for each event of a group.
    tickets: Vec<Arc<Ticket>>,
    number: u64,
    key: Option<String>,
    id: Option<ShortString>,
    result: Result<Confirmation, lapin::Error>,
}

impl Confirms {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel: Arc::new(channel),
            unsettled: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            ids: HashMap::new(),
            keys: HashMap::new(),
            number: 0,
            distrusted_before: 0,
            broken: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.unsettled.len()
    }

    /// True while a message of this kind is unconfirmed.
    pub(super) fn waits_for(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Queues a message; it is sent when [`Confirms::settle`] is awaited.
    pub(super) fn publish(&mut self, parcel: Parcel) {
        let Parcel { key, outgoing, tickets, .. } = parcel;
        for ticket in &tickets {
            // Nearly always the last: all have the same time, and came in this order but for the groups.
            let at = self.waiting.partition_point(|other| other.deadline() <= ticket.deadline());
            self.waiting.insert(at, Arc::clone(ticket));
        }
        if let Some(id) = outgoing.id() {
            self.ids.entry(id.clone()).or_default().unsettled += 1;
        }
        if let Some(key) = &key {
            *self.keys.entry(key.clone()).or_default() += 1;
        }
        self.number += 1;
        let (channel, number) = (Arc::clone(&self.channel), self.number);
        let id = outgoing.id().cloned();
        let sending = send(channel, outgoing);
        let confirm = async move { Settled { tickets, number, key, id, result: sending.await } };
        self.unsettled.push(confirm.boxed());
    }

    /// Sends what was queued, and waits until something is confirmed or refused; for ever when nothing is in flight. False
    /// when the channel is gone.
    pub(super) async fn settle(&mut self) -> bool {
        let Some(first) = self.unsettled.next().await else { return std::future::pending().await };
        let mut settled = vec![first];
        // All that is resolved by now, before any of it is told: see the module.
        while let Some(Some(next)) = self.unsettled.next().now_or_never() {
            settled.push(next);
        }
        for message in &mut settled {
            self.note_returned(message);
        }
        for message in settled {
            self.tell(message);
        }
        self.broken.is_none()
    }

    fn note_returned(&mut self, carrier: &Settled) {
        let Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) = &carrier.result
        else {
            return;
        };
        let id = returned.properties.message_id();
        tracing::error!(
            exchange = returned.exchange.as_str(),
            routing_key = returned.routing_key.as_str(),
            message_id = id.as_ref().map_or("", ShortString::as_str),
            "the broker returned a message: no queue takes it"
        );
        if *id == carrier.id {
            return;
        }
        match id {
            Some(id) => {
                // It is gone from here when its own confirm carried another message: it has failed already.
                if let Some(messages) = self.ids.get_mut(id) {
                    messages.returned += 1;
                }
            }
            None => self.distrusted_before = self.number + 1,
        }
    }

    fn tell(&mut self, message: Settled) {
        self.free(message.key.as_deref());
        let returned = self.take_returned(message.id.as_ref()) || message.number < self.distrusted_before;
        let result: Result<(), &dyn Fn() -> PublishError> = match &message.result {
            Ok(Confirmation::Ack(None)) if !returned => Ok(()),
            Ok(Confirmation::Ack(_)) => Err(&|| PublishError::Unroutable),
            Ok(Confirmation::Nack(_)) => Err(&|| PublishError::Refused),
            Ok(Confirmation::NotRequested) => {
                Err(&|| PublishError::Broken("the channel has no confirms".into()))
            }
            Err(error) => {
                self.broken = Some(error.clone());
                Err(&|| PublishError::Broken(Box::new(error.clone())))
            }
        };
        // What became of a group became of each of its events.
        for ticket in message.tickets {
            ticket.settle(result.map_err(|error| error()));
        }
    }

    /// Forgets one message of this kind.
    fn free(&mut self, key: Option<&str>) {
        let Some(key) = key else { return };
        let Some(count) = self.keys.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            self.keys.remove(key);
        }
    }

    /// Forgets one message of this id; true when one of them was returned.
    fn take_returned(&mut self, id: Option<&ShortString>) -> bool {
        let Some(id) = id else { return false };
        let Some(messages) = self.ids.get_mut(id) else { return false };
        messages.unsettled -= 1;
        let returned = messages.returned > 0;
        messages.returned = messages.returned.saturating_sub(1);
        if messages.unsettled == 0 {
            self.ids.remove(id);
        }
        returned
    }

    /// When the next of those who wait has waited long enough.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        while let Some(ticket) = self.waiting.front() {
            if ticket.is_open() {
                return Some(ticket.deadline());
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Gives up who has waited long enough; what the broker says of their messages later is ignored.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            if let Some(ticket) = self.waiting.pop_front() {
                ticket.give_up(PublishError::TimedOut);
            }
        }
    }

    /// Gives up everybody.
    pub(super) fn give_up(&mut self, error: impl Fn() -> PublishError) {
        for ticket in self.waiting.drain(..) {
            ticket.give_up(error());
        }
    }

    /// Gives up everybody, because the channel is gone.
    pub(super) fn give_up_broken(mut self) {
        let broken = self.broken.take();
        self.give_up(|| {
            PublishError::Broken(match &broken {
                Some(error) => Box::new(error.clone()),
                None => "the connection is gone".into(),
            })
        });
    }

    /// Gives up everybody and closes the channel, if there still is one: the supervisor waits for that before it
    /// closes the connection.
    pub(super) async fn leave(self) {
        let channel = Arc::clone(&self.channel);
        self.give_up_broken();
        if channel.status().connected() {
            close(&channel, "shut down", RELEASE_PATIENCE).await;
        }
    }

    /// Waits for what is in flight, for each publisher until its deadline, and closes the channel.
    pub(super) async fn finish(mut self) {
        // Who waits may still wait for an event that gathers, and that will leave on another channel.
        while self.in_flight() > 0
            && let Some(deadline) = self.deadline()
        {
            tokio::select! {
                open = self.settle() => if !open {
                    return self.give_up_broken();
                },
                () = until(Some(deadline)) => self.expire(),
            }
        }
        close(&self.channel, "replaced", CLOSE_PATIENCE).await;
    }
}

async fn close(channel: &Channel, why: &str, patience: Duration) {
    let closing = tokio::time::timeout(patience, channel.close(200, why.into()));
    if !matches!(closing.await, Ok(Ok(()))) {
        tracing::debug!("a publishing channel was gone before it was closed");
    }
}

async fn send(channel: Arc<Channel>, message: Outgoing) -> Result<Confirmation, lapin::Error> {
    let Outgoing { exchange, routing_key, properties, body } = message;
    // Mandatory: a message that no queue takes is returned instead of being dropped and confirmed.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
}
