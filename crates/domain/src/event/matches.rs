use super::Reward;
use crate::ids::PlayerId;
use crate::money::{CurrencyCode, Money};

/// A match as the provider sees it at one moment. Snapshots come in any order and repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchSnapshot {
    /// The provider's id of the match.
    pub match_id: String,
    /// What kind of match it is; it decides whether the match can hold money.
    pub kind: MatchKind,
    /// Where the match is in its life.
    pub status: MatchStatus,
    /// The status as the provider wrote it; empty when it sends none.
    pub provider_status: String,
    /// How winners are named.
    pub format: Option<MatchFormat>,
    /// The studio's game, as the provider knows it.
    pub game_id: Option<String>,
    /// Who made the match.
    pub created_by: Option<PlayerId>,
    /// What each player stakes; none where the provider sends no amount.
    pub buy_in: Option<Money>,
    /// The sides, with their players. A player without a side stands in a group with an empty id.
    pub groups: Vec<Group>,
    /// The groups that won; several share the prize. Empty on a finished match means that the provider
    /// named no winner, which is no tie.
    pub winner_group_ids: Vec<String>,
}

/// One side of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The provider's id of the side.
    pub group_id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Who plays on it.
    pub players: Vec<Participant>,
}

/// One player in a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// The player.
    pub player_id: PlayerId,
    /// What the provider names as the player's reward. A reward on a match that has not ended is only a
    /// promise.
    pub reward: Option<Reward>,
}

/// What kind of match it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchKind {
    /// Players stake a buy-in against each other.
    Recreational,
    /// Free to enter, rewarded by the studio.
    FreeToPlay,
    /// A pool with many players and a reward list.
    Tournament,
    /// A match that a platform arranged; the stake is agreed elsewhere.
    Platform,
}

/// How winners are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchFormat {
    /// A side wins; its players share.
    GroupVsGroup,
    /// Everybody for himself.
    FreeForAll,
}

/// Where a match is in its life. See [`MatchStatus::rank`] for the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchStatus {
    /// Players may still join; nothing is held.
    Open,
    /// Enough have joined: stakes are held.
    Confirmed,
    /// Nobody may join any more.
    Locked,
    /// Played; the result is not known yet.
    PendingOutcomes,
    /// The result is disputed.
    Dispute,
    /// Ended with winners.
    Closed,
    /// Ended in a tie.
    ClosedTie,
    /// Called off by who made it.
    CanceledByOwner,
    /// Called off because too few came.
    CanceledNotAccepted,
    /// Called off through the provider's API.
    CanceledThroughApi,
    /// Called off by the provider's own deadline.
    CanceledTimeout,
    /// Called off for any other reason; the provider's word is in `provider_status`.
    CanceledOther,
    /// Given up by us, because the deadline of a match that holds money passed.
    VoidedTimeout,
}

/// What an ended match does with the money that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing is held yet.
    None,
    /// Stakes are held.
    Hold,
    /// The winners are paid.
    Payout,
    /// The tie policy decides.
    Tie,
    /// Everybody gets the stake back.
    Refund,
}

impl MatchSnapshot {
    /// Everybody in the snapshot.
    pub fn players(&self) -> impl Iterator<Item = &PlayerId> {
        self.groups.iter().flat_map(|group| &group.players).map(|player| &player.player_id)
    }

    /// That all amounts are of one currency.
    ///
    /// # Errors
    /// The first amount of another one.
    pub fn in_currency(&self, currency: &CurrencyCode) -> Result<(), &Money> {
        let players = self.groups.iter().flat_map(|group| &group.players);
        let rewards = players.filter_map(|player| player.reward.as_ref()?.amount.as_ref());
        rewards.chain(&self.buy_in).find(|money| money.currency != *currency).map_or(Ok(()), Err)
    }
}

impl MatchStatus {
    /// All of them, by rank.
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Confirmed,
        Self::Locked,
        Self::PendingOutcomes,
        Self::Dispute,
        Self::Closed,
        Self::ClosedTie,
        Self::CanceledByOwner,
        Self::CanceledNotAccepted,
        Self::CanceledThroughApi,
        Self::CanceledTimeout,
        Self::CanceledOther,
        Self::VoidedTimeout,
    ];

    /// The code in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Confirmed => "CONFIRMED",
            Self::Locked => "LOCKED",
            Self::PendingOutcomes => "PENDING_OUTCOMES",
            Self::Dispute => "DISPUTE",
            Self::Closed => "CLOSED",
            Self::ClosedTie => "CLOSED_TIE",
            Self::CanceledByOwner => "CANCELED_BY_OWNER",
            Self::CanceledNotAccepted => "CANCELED_NOT_ACCEPTED",
            Self::CanceledThroughApi => "CANCELED_THROUGH_API",
            Self::CanceledTimeout => "CANCELED_TIMEOUT",
            Self::CanceledOther => "CANCELED_OTHER",
            Self::VoidedTimeout => "VOIDED_TIMEOUT",
        }
    }

    /// Reads the code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// How far the match is; a status only ever climbs, and every end has the same rank, so that the first
    /// end stays.
    pub const fn rank(self) -> i16 {
        match self {
            Self::Open => 10,
            Self::Confirmed => 20,
            Self::Locked => 30,
            Self::PendingOutcomes => 40,
            Self::Dispute => 50,
            _ => 100,
        }
    }

    /// True when the match has ended.
    pub const fn is_terminal(self) -> bool {
        self.rank() == 100
    }

    /// What the status does with money.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::Open => Disposition::None,
            Self::Confirmed | Self::Locked | Self::PendingOutcomes | Self::Dispute => Disposition::Hold,
            Self::Closed => Disposition::Payout,
            Self::ClosedTie => Disposition::Tie,
            _ => Disposition::Refund,
        }
    }
}

impl MatchKind {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recreational => "recreational",
            Self::FreeToPlay => "free_to_play",
            Self::Tournament => "tournament",
            Self::Platform => "platform",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Recreational, Self::FreeToPlay, Self::Tournament, Self::Platform]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl MatchFormat {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GroupVsGroup => "group_vs_group",
            Self::FreeForAll => "free_for_all",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::GroupVsGroup, Self::FreeForAll].into_iter().find(|format| format.as_str() == text)
    }
}
