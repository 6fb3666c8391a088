use super::OfferState;

/// Whether a player may see an offer, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eligibility {
    /// Yes: the offer is open to everybody.
    Active,
    /// Yes: it is closed to new players, and this one started it before that.
    Started,
    /// No: it is closed to new players.
    Removed,
    /// No: nobody has told of such an offer.
    Unknown,
    /// No: the player is banned from the offerwall.
    PlayerBanned,
}

impl Eligibility {
    /// Every answer that there is.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Started, Self::Removed, Self::Unknown, Self::PlayerBanned];

    /// Judges one offer for one player: `state` is none for an offer of which nothing is known, and `started` counts
    /// only where the offer is removed.
    pub const fn judge(banned: bool, state: Option<OfferState>, started: bool) -> Self {
        match (banned, state, started) {
            (true, _, _) => Self::PlayerBanned,
            (false, None, _) => Self::Unknown,
            (false, Some(OfferState::Active), _) => Self::Active,
            (false, Some(OfferState::Removed), true) => Self::Started,
            (false, Some(OfferState::Removed), false) => Self::Removed,
        }
    }

    /// Whether the player may see and work on the offer.
    pub const fn is_eligible(self) -> bool {
        matches!(self, Self::Active | Self::Started)
    }

    /// The word that stands for it in answers; it never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Started => "started",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
            Self::PlayerBanned => "player_banned",
        }
    }
}
