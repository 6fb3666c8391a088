use crate::ids::PlayerId;
use crate::time::Timestamp;

/// An offer appeared, changed or went. A removal is not the end: an offer may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferChanged {
    /// The provider's id of the offer, up to 19 digits, as text.
    pub offer_id: String,
    /// What happened to it.
    pub change: OfferChange,
    /// When, by the provider's clock; the last writer by this time wins.
    pub changed_at: Timestamp,
    /// The studio's app at the provider.
    pub app_id: Option<String>,
    /// The campaign behind the offer; it outlives an offer id.
    pub campaign_id: Option<String>,
    /// Everything that the provider said of the offer, as a JSON object.
    pub data: String,
}

/// What happened to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OfferChange {
    /// Closed to new players; who has started may finish.
    Removed,
    /// Open to players.
    Created,
    /// Its description changed; open or closed stays as it was.
    Updated,
}

/// A player was banned from an offerwall, or let in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerStanding {
    /// The player.
    pub player_id: PlayerId,
    /// Banned or not.
    pub standing: Standing,
    /// When, by the provider's clock; the last writer by this time wins.
    pub changed_at: Timestamp,
    /// The provider's reason.
    pub reason: Option<String>,
}

/// Banned or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Shown no offers.
    Banned,
    /// As everybody.
    Good,
}

impl OfferChange {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Created => "created",
            Self::Updated => "updated",
        }
    }
}

impl Standing {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::Good => "good",
        }
    }
}
