use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use matchpurse_bus::Delivery;
use matchpurse_contracts::wire::Message;
use uuid::Uuid;

use super::ConsumerId;

/// A message in the broker.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) id: Option<Uuid>,
    /// The key that it is routed by.
    pub(super) key: String,
    /// The key that it was published with first, when a retry gave it another.
    pub(super) original_key: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) body: Bytes,
    /// How often it has come back.
    pub(super) returned: u32,
    /// The queue that gave it up last, and why.
    pub(super) death: Option<(String, &'static str)>,
    /// When its delay is over.
    pub(super) due: Option<Duration>,
    /// The events that travel with it, each as it would have come alone.
    pub(super) others: Vec<Letter>,
}

impl Letter {
    pub(super) fn event(message: Message) -> Self {
        let traceparent = message.headers.into_iter().find(|(name, _)| name == "traceparent");
        Self {
            id: Some(message.id),
            key: message.routing_key,
            original_key: None,
            traceparent: traceparent.map(|(_, value)| value),
            body: message.body,
            returned: 0,
            death: None,
            due: None,
            others: Vec::new(),
        }
    }

    /// One of its events as a message of its own, and whether that is the last one.
    pub(super) fn event_at(&self, at: usize) -> (Self, bool) {
        let own = match at.checked_sub(1).and_then(|at| self.others.get(at)) {
            Some(other) => other.clone(),
            None => Self { others: Vec::new(), ..self.clone() },
        };
        let (returned, death) = (self.returned, self.death.clone());
        (Self { returned, death, ..own }, at >= self.others.len())
    }

    /// Events that may be one message: what stands before the slot is the same.
    pub(super) fn may_travel_with(&self, other: &Self) -> bool {
        let kind = |letter: &Self| letter.key.rsplit_once('.').map(|(kind, _)| kind.to_owned());
        kind(self).is_some() && kind(self) == kind(other)
    }

    /// The same again, addressed to a queue by way of a delay.
    pub(super) fn retry(&self, queue: &str) -> Self {
        let original = self.original_key.clone().unwrap_or_else(|| self.key.clone());
        Self {
            key: queue.to_owned(),
            original_key: Some(original),
            returned: 0,
            death: None,
            due: None,
            ..self.clone()
        }
    }

    /// As a handler is given it.
    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            id: self.id,
            body: self.body.clone(),
            routing_key: self.original_key.clone().unwrap_or_else(|| self.key.clone()),
            traceparent: self.traceparent.clone(),
            redelivered: self.returned > 0 || self.original_key.is_some(),
            replay: None,
        }
    }
}

/// A durable queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What can be handed out, the next first.
    pub(super) ready: VecDeque<Letter>,
    /// What was handed out and is not settled.
    pub(super) unsettled: BTreeMap<u64, (ConsumerId, Letter)>,
    /// What was given up and has not reached the dead letters.
    pub(super) dead: VecDeque<Letter>,
    /// How long a message waits here before it goes where its key says; none where they are consumed.
    pub(super) delay: Option<Duration>,
    /// The exchange of what is given up; none: it is gone for good.
    pub(super) dead_letters_to: Option<&'static str>,
    pub(super) delivery_limit: Option<u32>,
    pub(super) length_max: Option<usize>,
}

impl Queue {
    pub(super) fn held(&self) -> usize {
        self.ready.len() + self.unsettled.len() + self.dead.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.length_max.is_some_and(|max| self.ready.len() + self.unsettled.len() >= max)
    }

    /// Brings a message back that was handed out. `at` chooses its place; without, it comes before what is new and after
    /// what came back before it.
    pub(super) fn give_back(&mut self, name: &str, mut letter: Letter, at: Option<usize>) {
        letter.returned += 1;
        if self.delivery_limit.is_some_and(|limit| letter.returned > limit) {
            self.give_up(name, letter, "delivery_limit");
            return;
        }
        let first_new = self.ready.iter().position(|letter| letter.returned == 0);
        let place = at.or(first_new).unwrap_or(self.ready.len()).min(self.ready.len());
        self.ready.insert(place, letter);
    }

    pub(super) fn give_up(&mut self, name: &str, mut letter: Letter, why: &'static str) {
        letter.death = Some((name.to_owned(), why));
        self.dead.push_back(letter);
    }

    pub(super) fn reject_first(&mut self) -> bool {
        let Some(mut letter) = self.ready.pop_front() else { return false };
        // The queue's own name is put in when it is buried.
        letter.death = Some((String::new(), "rejected"));
        self.dead.push_back(letter);
        true
    }
}
