//! The names on the broker, and which queue wants which payload.

use matchpurse_domain::event::PayloadName;

/// The topic exchange that every event is published to.
pub const EVENTS_EXCHANGE: &str = "matchpurse.events";

/// Where a queue sends what it gives up; at least once.
pub const DEAD_LETTER_EXCHANGE: &str = "matchpurse.dead-letter";

/// The one queue of dead letters; drained into the parked events.
pub const DEAD_LETTER_QUEUE: &str = "matchpurse.dead-letter";

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

    /// The queues that want a payload; what a topic exchange does, for the transport without one.
    pub fn wanting(payload: PayloadName) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |queue| queue.payloads().contains(&payload))
    }
}

/// An event's routing key: `{payload}.{provider}.{source}`.
pub fn routing_key(payload: PayloadName, provider: &str, source: &str) -> String {
    format!("{}.{provider}.{source}", payload.as_str())
}
