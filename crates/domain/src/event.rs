//! What happened at a provider, in our words: the envelope and its payloads.

mod kept;
mod matches;
mod offers;
mod payload;
mod players;
mod rewards;
mod statistics;
mod which_key;

use bytes::Bytes;

pub use kept::Kept;
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
pub use which_key::{KeyFingerprint, WhichKey};

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
    /// What vouched for the delivery; none in an event of a time when it was not noted.
    pub vouched: Option<Vouched>,
}

/// The request of a verified delivery, and the key that vouched for it: what is needed to read its body once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The request's method.
    pub method: Method,
    /// What the key is for.
    pub key: KeyRole,
    /// Which of the keys of that role; none in an event of a time when it was not noted. To read a body once more it is
    /// not needed.
    pub which: Option<WhichKey>,
}

/// The methods that any provider uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    /// The method's name, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Reads the method's name; methods that no provider uses give none.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Post, Self::Put, Self::Delete].into_iter().find(|method| method.as_str() == text)
    }
}

/// What a key is for. A source may have several sets, because a provider signs different things with
/// different keys, and a body signed with one must not pass as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// The key of the webhooks: `secrets` in the configuration.
    Webhook,
    /// The key of the deliveries that move money: `keys.postback` in the configuration.
    Postback,
    /// The key that we show when we ask the provider ourselves: `keys.api` in the configuration. No delivery is verified
    /// with it; it vouches for what we have fetched.
    Api,
}

impl KeyRole {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Postback => "postback",
            Self::Api => "api",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Webhook, Self::Postback, Self::Api].into_iter().find(|role| role.as_str() == text)
    }
}
