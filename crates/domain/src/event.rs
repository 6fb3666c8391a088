//! What happened at a provider, in our words: the envelope and its payloads.

mod matches;
mod offers;
mod payload;
mod players;
mod rewards;
mod statistics;

use bytes::Bytes;

pub use matches::{Disposition, Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Participant};
pub use offers::{OfferChange, OfferChanged, PlayerStanding, Standing};
pub use payload::{Payload, PayloadName, Unrecognized, UnrecognizedKind};
pub use players::{Activity, PlayerActivity, ProviderFailure};
pub use rewards::{
    ContestOutcome, ConversionKind, CreditConversion, Outcome, PlayerOutcome, Reward, RewardKind,
    RewardPostback,
};
pub use statistics::{
    COUNTER_NAMES, Counters, HistoryEntry, MatchStatsSnapshot, PlayerKicked, PlayerStats, Side, TeamScore,
};

use crate::ids::{EventId, SourceName};
use crate::time::Timestamp;

/// One thing that happened, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Content-addressed: the same for every redelivery of the same bytes.
    pub id: EventId,
    /// The id of the first event of the delivery that brought this one; equal to `id` when it brought one.
    pub delivery_id: EventId,
    /// The source that it came by; every id inside means something only together with it.
    pub source: SourceName,
    /// The provider's id.
    pub provider: String,
    /// The provider's own name for what happened; empty when it sends none.
    pub provider_type: String,
    /// What it is about: the match, contest, player or offer. Events of one subject keep together when a
    /// deployment is sharded.
    pub subject: String,
    /// When the provider says that it happened, if it says so.
    pub occurred_at: Option<Timestamp>,
    /// When the delivery reached us.
    pub received_at: Timestamp,
    /// How far the body can be trusted.
    pub provenance: Provenance,
    /// The delivery's body, secrets in it redacted; only on the first event of a delivery.
    pub raw: Bytes,
    /// What happened.
    pub payload: Payload,
}

/// How an event came to us, and how far its body can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// True when a signature covered the body; false when only the caller was authenticated.
    pub body_authenticated: bool,
    /// True when an amount was within a millionth of a minor unit but not exact.
    pub amount_rounded: bool,
}
