//! The names on the broker, and which queue wants which payload.

use matchpurse_domain::event::PayloadName;

/// The topic exchange that every event is published to.
pub const EVENTS_EXCHANGE: &str = "matchpurse.events";

/// Where a queue sends what it gives up; at least once.
pub const DEAD_LETTER_EXCHANGE: &str = "matchpurse.dead-letter";

/// The one queue of dead letters; drained into the parked events.
pub const DEAD_LETTER_QUEUE: &str = "matchpurse.dead-letter";

/// Into how many slots the subjects of all events fall. A worker with several shards has a queue for each range of
/// slots, so this is the most shards that there can be. It never changes: what waits in a queue has its slot in its
/// routing key.
pub const SLOTS: u16 = 64;

/// A worker's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Match life cycle and ledger.
    MatchEscrow,
    /// Grants.
    RewardFulfillment,
    /// Counters and totals.
    PlayerStats,
    /// Offers and players' standing.
    OfferRemoval,
    /// Everything.
    EventArchive,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::MatchEscrow,
        Self::RewardFulfillment,
        Self::PlayerStats,
        Self::OfferRemoval,
        Self::EventArchive,
    ];

    /// The worker's name.
    pub const fn worker(self) -> &'static str {
        match self {
            Self::MatchEscrow => "match-escrow",
            Self::RewardFulfillment => "reward-fulfillment",
            Self::PlayerStats => "player-stats",
            Self::OfferRemoval => "offer-removal",
            Self::EventArchive => "event-archive",
        }
    }

    /// The queue's name on the broker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MatchEscrow => "matchpurse.match-escrow",
            Self::RewardFulfillment => "matchpurse.reward-fulfillment",
            Self::PlayerStats => "matchpurse.player-stats",
            Self::OfferRemoval => "matchpurse.offer-removal",
            Self::EventArchive => "matchpurse.event-archive",
        }
    }

    /// The queue with this name on the broker.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.name() == name)
    }

    /// The payloads that the worker needs.
    pub const fn payloads(self) -> &'static [PayloadName] {
        match self {
            Self::MatchEscrow => {
                &[PayloadName::MatchSnapshot, PayloadName::ContestOutcome, PayloadName::ProviderFailure]
            }
            Self::RewardFulfillment => &[
                PayloadName::MatchSnapshot,
                PayloadName::ContestOutcome,
                PayloadName::RewardPostback,
                PayloadName::CreditConversion,
            ],
            Self::PlayerStats => &[PayloadName::MatchStatsSnapshot, PayloadName::PlayerKicked],
            Self::OfferRemoval => &[PayloadName::OfferChanged, PayloadName::PlayerStanding],
            Self::EventArchive => &PayloadName::ALL,
        }
    }

    /// The binding keys of the queue on [`EVENTS_EXCHANGE`].
    pub fn binding_keys(self) -> Vec<String> {
        match self {
            Self::EventArchive => vec!["#".to_owned()],
            _ => self.payloads().iter().map(|name| format!("{}.#", name.as_str())).collect(),
        }
    }

    /// Whether the worker can have several queues. The archive has one: each event's hash covers the one before it.
    pub const fn can_be_sharded(self) -> bool {
        !matches!(self, Self::EventArchive)
    }

    /// The queue of one shard on the broker, counted from 0.
    pub fn shard_name(self, shard: u16) -> String {
        format!("{}.{shard}", self.name())
    }

    /// The exchange that spreads the worker's events over its shards by their slots.
    pub fn shards_exchange(self) -> String {
        format!("{}.shards", self.name())
    }

    /// Where an event goes whose slot no shard has, while bindings are being changed: to the queue without a number.
    pub fn rest_exchange(self) -> String {
        format!("{}.rest", self.name())
    }

    /// The worker whose queue this is on the broker, that of a shard too.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::by_name(name).or_else(|| {
            let (name, shard) = name.rsplit_once('.')?;
            shard.parse::<u16>().ok().and(Self::by_name(name))
        })
    }

    /// The queues that want a payload; what a topic exchange does, for the transport without one.
    pub fn wanting(payload: PayloadName) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |queue| queue.payloads().contains(&payload))
    }
}

/// An event's routing key: `{payload}.{provider}.{source}.{slot}`.
pub fn routing_key(payload: PayloadName, provider: &str, source: &str, subject: &str) -> String {
    format!("{}.{provider}.{source}.{}", payload.as_str(), slot(source, subject))
}

/// The slot of a subject: the same for all its events, in every process and every release, below [`SLOTS`].
///
/// FNV-1a over the source, a zero byte and the subject, its halves folded.
pub fn slot(source: &str, subject: &str) -> u16 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = source.bytes().chain([0]).chain(subject.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let slot = (hash ^ (hash >> 32)) % u64::from(SLOTS);
    u16::try_from(slot).unwrap_or_default()
}

/// Which of so many shards has a slot: each has a range of them, and the ranges differ by one slot at most.
pub const fn shard_of(slot: u16, shards: u16) -> u16 {
    slot % SLOTS * shards / SLOTS
}
