use super::{
    ContestOutcome, CreditConversion, MatchSnapshot, MatchStatsSnapshot, OfferChanged, PlayerActivity,
    PlayerKicked, PlayerStanding, ProviderFailure, RewardPostback,
};

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A match as the provider sees it at this moment.
    MatchSnapshot(MatchSnapshot),
    /// How a contest ended for everybody in it.
    ContestOutcome(ContestOutcome),
    /// A game server's counters of a match.
    MatchStatsSnapshot(MatchStatsSnapshot),
    /// A player was voted out of a match.
    PlayerKicked(PlayerKicked),
    /// An offer appeared, changed or went.
    OfferChanged(OfferChanged),
    /// A player was banned from an offerwall, or let in again.
    PlayerStanding(PlayerStanding),
    /// A conversion on an offerwall that earns the player something.
    RewardPostback(RewardPostback),
    /// A player wants money turned into the studio's credit.
    CreditConversion(CreditConversion),
    /// A player signed up, was identified or paid in.
    PlayerActivity(PlayerActivity),
    /// The provider could not do something.
    ProviderFailure(ProviderFailure),
    /// Verified, but not something that we can read.
    Unrecognized(Unrecognized),
}

/// A delivery that was verified but is not understood; kept, visible and replayable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecognized {
    /// Why it is not understood.
    pub kind: UnrecognizedKind,
    /// The reason in words, naming the field.
    pub reason: String,
}

/// Why a delivery is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnrecognizedKind {
    /// Well-formed, but an event type we do not know.
    UnknownType,
    /// Well-formed, but a status we do not know.
    UnknownStatus,
    /// Well-formed, but it contradicts itself: a participant's team that is not among the teams.
    Inconsistent,
    /// Not parseable: not JSON, another shape, an amount that is no amount.
    Malformed,
}

/// The name of a payload: the first word of a routing key, and the AMQP `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PayloadName {
    /// [`Payload::MatchSnapshot`]
    MatchSnapshot,
    /// [`Payload::ContestOutcome`]
    ContestOutcome,
    /// [`Payload::MatchStatsSnapshot`]
    MatchStatsSnapshot,
    /// [`Payload::PlayerKicked`]
    PlayerKicked,
    /// [`Payload::OfferChanged`]
    OfferChanged,
    /// [`Payload::PlayerStanding`]
    PlayerStanding,
    /// [`Payload::RewardPostback`]
    RewardPostback,
    /// [`Payload::CreditConversion`]
    CreditConversion,
    /// [`Payload::PlayerActivity`]
    PlayerActivity,
    /// [`Payload::ProviderFailure`]
    ProviderFailure,
    /// [`Payload::Unrecognized`]
    Unrecognized,
}

impl PayloadName {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::MatchSnapshot,
        Self::ContestOutcome,
        Self::MatchStatsSnapshot,
        Self::PlayerKicked,
        Self::OfferChanged,
        Self::PlayerStanding,
        Self::RewardPostback,
        Self::CreditConversion,
        Self::PlayerActivity,
        Self::ProviderFailure,
        Self::Unrecognized,
    ];

    /// The name as it stands in routing keys: snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MatchSnapshot => "match_snapshot",
            Self::ContestOutcome => "contest_outcome",
            Self::MatchStatsSnapshot => "match_stats_snapshot",
            Self::PlayerKicked => "player_kicked",
            Self::OfferChanged => "offer_changed",
            Self::PlayerStanding => "player_standing",
            Self::RewardPostback => "reward_postback",
            Self::CreditConversion => "credit_conversion",
            Self::PlayerActivity => "player_activity",
            Self::ProviderFailure => "provider_failure",
            Self::Unrecognized => "unrecognized",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

impl Payload {
    /// Which payload it is.
    pub const fn name(&self) -> PayloadName {
        match self {
            Self::MatchSnapshot(_) => PayloadName::MatchSnapshot,
            Self::ContestOutcome(_) => PayloadName::ContestOutcome,
            Self::MatchStatsSnapshot(_) => PayloadName::MatchStatsSnapshot,
            Self::PlayerKicked(_) => PayloadName::PlayerKicked,
            Self::OfferChanged(_) => PayloadName::OfferChanged,
            Self::PlayerStanding(_) => PayloadName::PlayerStanding,
            Self::RewardPostback(_) => PayloadName::RewardPostback,
            Self::CreditConversion(_) => PayloadName::CreditConversion,
            Self::PlayerActivity(_) => PayloadName::PlayerActivity,
            Self::ProviderFailure(_) => PayloadName::ProviderFailure,
            Self::Unrecognized(_) => PayloadName::Unrecognized,
        }
    }
}

impl UnrecognizedKind {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::UnknownStatus => "unknown_status",
            Self::Inconsistent => "inconsistent",
            Self::Malformed => "malformed",
        }
    }
}
