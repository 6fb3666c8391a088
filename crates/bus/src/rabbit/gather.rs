//! What waits for its turn on a channel: events gather in groups while earlier messages are unconfirmed.
//!
//! Nobody waits for a group to fill. An event leaves at once and alone, as if there were no groups, unless one of its kind is
//! unconfirmed on the channel, or very many of others are. What comes faster than the broker confirms leaves together as
//! soon as that one is confirmed, or when there is enough for a message. So a slower broker is given fewer and larger
//! messages, which is what it needs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use matchpurse_contracts::topology::shard_of;
use matchpurse_contracts::wire::Message;
use tokio::time::Instant;

use super::convert::Outgoing;
use super::lane::{Batch, Letter};
use super::ticket::Ticket;
use crate::PublishError;

/// A group that has so many bytes leaves. It bounds what a worker holds, because the broker counts messages and hands out
/// as many ahead as `prefetch` says; and beyond this the bytes cost more than the message.
const GROUP_BYTES_MAX: usize = 64 * 1024;

/// One message, with whom it is for.
pub(super) struct Parcel {
    /// Of an event: while this is unconfirmed, others with this key gather.
    pub(super) key: Option<String>,
    pub(super) outgoing: Outgoing,
    pub(super) events: usize,
    pub(super) tickets: Vec<Arc<Ticket>>,
}

type Member = (Message, Arc<Ticket>);

pub(super) struct Gathering {
    events_max: usize,
    shards: u16,
    /// What leaves without waiting: full groups, and what is for one queue alone.
    ready: VecDeque<Bundle>,
    groups: HashMap<String, Group>,
    /// The keys of the groups in the order of their first events.
    turns: VecDeque<String>,
}

#[derive(Default)]
struct Group {
    members: Vec<Member>,
    bytes: usize,
}

enum Bundle {
    Events(String, Vec<Member>),
    One(Box<Outgoing>, Arc<Ticket>),
}

impl Gathering {
    /// With at most so many events in a message; 1 for no groups. Events of one of so many shards may travel together.
    pub(super) fn new(events_max: usize, shards: u16) -> Self {
        let (ready, turns) = (VecDeque::new(), VecDeque::new());
        Self { events_max, shards, ready, groups: HashMap::new(), turns }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.turns.is_empty()
    }

    pub(super) fn add(&mut self, batch: Batch) {
        let Batch { letters, ticket } = batch;
        for letter in letters {
            match letter {
                Letter::Event(message) => self.add_event((message, Arc::clone(&ticket))),
                Letter::Addressed(outgoing) => {
                    self.ready.push_back(Bundle::One(outgoing, Arc::clone(&ticket)));
                }
            }
        }
    }

    fn add_event(&mut self, member: Member) {
        let (key, bytes) = (group_key(&member.0, self.shards), size(&member.0));
        if self.groups.get(&key).is_some_and(|group| group.bytes + bytes > GROUP_BYTES_MAX) {
            self.finish(&key);
        }
        let Some(group) = self.groups.get_mut(&key) else {
            let group = Group { members: vec![member], bytes };
            if self.events_max <= 1 || bytes > GROUP_BYTES_MAX {
                self.ready.push_back(Bundle::Events(key, group.members));
            } else {
                self.turns.push_back(key.clone());
                self.groups.insert(key, group);
            }
            return;
        };
        group.members.push(member);
        group.bytes += bytes;
        if group.members.len() >= self.events_max {
            self.finish(&key);
        }
    }

    /// The group leaves whatever waits for a confirm.
    fn finish(&mut self, key: &str) {
        if let Some(group) = self.groups.remove(key) {
            self.turns.retain(|turn| turn != key);
            self.ready.push_back(Bundle::Events(key.to_owned(), group.members));
        }
    }

    /// The next message: one that need not wait, or, of the groups whose key is `free`, the one that has waited longest.
    /// What nobody waits for any more is left out.
    pub(super) fn next(&mut self, free: impl Fn(&str) -> bool) -> Option<Parcel> {
        loop {
            let bundle = match self.ready.pop_front() {
                Some(bundle) => bundle,
                None => {
                    let turn = self.turns.iter().position(|key| free(key))?;
                    let key = self.turns.remove(turn)?;
                    let members = self.groups.remove(&key)?.members;
                    Bundle::Events(key, members)
                }
            };
            if let Some(parcel) = pack(bundle) {
                return Some(parcel);
            }
        }
    }

    /// When the next of those that wait here has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // Publishers have one time limit, so who came first is the first whose time is over. All but the waiting groups
        // leave at once.
        let group = self.groups.get(self.turns.front()?)?;
        group.members.first().map(|(_, ticket)| ticket.deadline())
    }

    /// Gives up who has waited long enough.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        self.groups.retain(|_, group| {
            group.members.retain(|(_, ticket)| {
                if ticket.deadline() <= now {
                    ticket.give_up(PublishError::TimedOut);
                }
                ticket.is_open()
            });
            group.bytes = group.members.iter().map(|(message, _)| size(message)).sum();
            !group.members.is_empty()
        });
        self.turns.retain(|turn| self.groups.contains_key(turn));
    }

    /// Gives up all.
    pub(super) fn give_up(&mut self, error: impl Fn() -> PublishError) {
        let waiting = self.groups.drain().map(|(key, group)| Bundle::Events(key, group.members));
        for bundle in self.ready.drain(..).chain(waiting) {
            match bundle {
                Bundle::Events(_, members) => members.iter().for_each(|(_, ticket)| ticket.give_up(error())),
                Bundle::One(_, ticket) => ticket.give_up(error()),
            }
        }
        self.turns.clear();
    }
}

/// Events with one key may be one message: the same queues want them, and in each of these they are for one shard.
pub(super) fn group_key(message: &Message, shards: u16) -> String {
    let whole = message.routing_key.as_str();
    let slot = whole.rsplit_once('.').and_then(|(key, slot)| Some((key, slot.parse::<u16>().ok()?)));
    slot.map_or_else(|| whole.to_owned(), |(key, slot)| format!("{key} {}", shard_of(slot, shards.max(1))))
}

fn size(message: &Message) -> usize {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    message.body.len() + headers
}

/// None when nobody waits for any of it.
fn pack(bundle: Bundle) -> Option<Parcel> {
    let (key, outgoing, tickets) = match bundle {
        Bundle::One(outgoing, ticket) => (None, Ok(*outgoing), vec![ticket]),
        Bundle::Events(key, members) => {
            let open = members.into_iter().filter(|(_, ticket)| ticket.is_open());
            let (mut messages, tickets): (Vec<_>, Vec<_>) = open.unzip();
            let outgoing = match messages.len() {
                0 => return None,
                1 => Outgoing::event(messages.remove(0)),
                _ => Outgoing::group(messages),
            };
            (Some(key), outgoing, tickets)
        }
    };
    match outgoing {
        Ok(outgoing) => Some(Parcel { key, outgoing, events: tickets.len(), tickets }),
        Err(_) => {
            // It was looked at before it came here.
            let strange = || PublishError::Broken("a routing key is too long".into());
            tickets.iter().for_each(|ticket| ticket.settle(Err(strange())));
            None
        }
    }
}
