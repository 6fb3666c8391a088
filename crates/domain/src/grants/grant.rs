use uuid::Uuid;

use super::contest::ContestKey;
use super::payload;
use crate::event::{Reward, RewardKind};
use crate::ids::{PlayerId, derived_uuid};
use crate::money::Money;

/// Where in a contest a grant stands: whose it is, and which of the player's rewards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The player.
    pub player_id: PlayerId,
    /// What tells this reward from others of the same player and contest; empty when the provider named
    /// nothing.
    pub reward_ref: String,
}

/// The permanent id of the grant in `slot` of `contest`: a UUIDv5 of both. Every notice of the grant carries
/// it, so that the studio gives it once, however often it is told.
pub fn grant_id(contest: &ContestKey, slot: &Slot) -> Uuid {
    let kind = contest.kind.as_str();
    let player = slot.player_id.as_str();
    derived_uuid("grant", &[contest.source.as_str(), kind, &contest.contest_id, player, &slot.reward_ref])
}

/// A reward for one player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is given.
    pub kind: GrantKind,
    /// Where it is on its way.
    pub state: GrantState,
    /// Why it is in review; none in every other state.
    pub reason: Option<ReviewReason>,
    /// The same in words, where there is more to say: what the studio's schema objects to, which limit is reached.
    pub detail: Option<String>,
    /// The amount, where it is money or points.
    pub amount: Option<Money>,
    /// The value as the provider wrote it, where it is no money: for a reward of a free contest, the
    /// provider's id of it. Only the promise names it, so it may follow after the grant is given.
    pub value: Option<String>,
    /// What came along, as a JSON text that the database can keep.
    pub payload: Option<String>,
}

/// What is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantKind {
    /// Money that the provider pays.
    Cash,
    /// Something that the studio gives.
    Studio,
    /// The source's currency, earned on an offerwall.
    Points,
    /// The studio's credit, for money that the provider has taken.
    Credit,
}

/// Where a grant is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// Promised while the contest runs.
    Reserved,
    /// Given; the studio is to be told.
    Granted,
    /// Not given before somebody has looked at it.
    NeedsReview,
    /// The provider gives it; we only keep it in mind.
    Recorded,
    /// Promised, and not won.
    Released,
    /// The studio is being told.
    Delivering,
    /// The studio has answered that it was given.
    Fulfilled,
    /// The studio could not be told.
    Failed,
    /// Taken back by somebody.
    Reversed,
}

/// Why a grant is not given before somebody has looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewReason {
    /// The provider named nothing that would tell this reward from another.
    NoReference,
    /// What came along is longer than we keep.
    PayloadTooLarge,
    /// What came along is no JSON.
    PayloadNotJson,
    /// What came along is JSON with something that cannot be kept exactly: a NUL, a number without end.
    PayloadNotStorable,
    /// Money without an amount.
    NoAmount,
    /// The match says that the player has not won.
    NotAWinner,
    /// Two different rewards of one player have the same reference.
    AmbiguousReference,
    /// The provider was answered neither yes nor no: somebody has to complete the conversion.
    AnswerPending,
    /// No signature covers the body that says so: who has the caller's token could have written it.
    Unauthenticated,
    /// What came along is not what the studio's schema for such rewards wants.
    PayloadRefused,
    /// The player has got as much on this day as the source's limit allows.
    LimitPlayerDay,
    /// The source has given as much in this hour as its limit allows.
    LimitSourceHour,
}

/// Why a grant must not be given before somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Why.
    pub reason: ReviewReason,
    /// The same in words, for who reviews; of bounded length.
    pub detail: Option<String>,
}

impl Grant {
    /// What `reward` gives, and under which reference. `unnamed` is the reference of a reward without one,
    /// where one reward a player is all that there can be; without it the grant waits for review.
    pub(super) fn of_reward(reward: &Reward, unnamed: Option<&str>) -> (String, Self) {
        let named = reward.reference.as_deref().filter(|reference| !reference.is_empty()).or(unnamed);
        let (payload, flaw) = match (reward.kind, payload::judge(reward.metadata.as_deref())) {
            // The provider pays whatever a client sent along, so that must neither hold it nor tell two
            // copies of one end apart.
            (RewardKind::Cash, _) => (None, None),
            (RewardKind::Studio, Ok(payload)) => (payload, None),
            (RewardKind::Studio, Err(reason)) => (None, Some(reason)),
        };
        let no_amount = reward.kind == RewardKind::Cash && reward.amount.is_none();
        let objection = (named.is_none().then_some(ReviewReason::NoReference))
            .or(no_amount.then_some(ReviewReason::NoAmount))
            .map(Objection::from)
            .or(flaw);
        let (kind, state) = match reward.kind {
            RewardKind::Cash => (GrantKind::Cash, GrantState::Recorded),
            RewardKind::Studio => (GrantKind::Studio, GrantState::Granted),
        };
        let grant = Self {
            kind,
            state,
            reason: None,
            detail: None,
            amount: reward.amount.clone(),
            value: reward.value.clone(),
            payload,
        };
        (named.unwrap_or_default().to_owned(), grant.held_for(objection))
    }

    /// Takes from `other`, which is said of the same reward, what this grant does not say itself. What it says
    /// stays, so a value is filled in once.
    pub(super) fn complete(&mut self, other: &Self) {
        if self.kind == other.kind {
            self.value = self.value.take().or_else(|| other.value.clone());
            self.payload = self.payload.take().or_else(|| other.payload.clone());
        }
    }

    /// Takes from the promise of the same reward what this grant does not say itself. True when the grant was held
    /// for want of a payload and the promise brings one: then it is to be given, if nobody objects to that.
    pub(super) fn complete_by_promise(&mut self, promise: &Self) -> bool {
        let lacked = self.payload.is_none();
        self.complete(promise);
        let reconsidered = self.state == GrantState::NeedsReview
            && self.reason == Some(ReviewReason::PayloadRefused)
            && lacked
            && self.payload.is_some()
            // One that nobody vouches for may say what a reward is, but gives nothing.
            && promise.reason != Some(ReviewReason::Unauthenticated);
        if reconsidered {
            (self.state, self.reason, self.detail) = (GrantState::Granted, None, None);
        }
        reconsidered
    }

    /// This grant, in review when there is an objection; the first one stays.
    pub(super) fn held_for(mut self, objection: Option<Objection>) -> Self {
        if let (None, Some(Objection { reason, detail })) = (self.reason, objection) {
            self.state = GrantState::NeedsReview;
            self.reason = Some(reason);
            self.detail = detail;
        }
        self
    }

    /// This grant as a promise: `state` is reserved or released, and what is wrong with it does not matter
    /// before the outcome gives it.
    pub(super) fn promised(self, state: GrantState) -> Self {
        Self { state, reason: None, detail: None, ..self }
    }
}

impl GrantKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cash, Self::Studio, Self::Points, Self::Credit];

    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Studio => "studio",
            Self::Points => "points",
            Self::Credit => "credit",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl GrantState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reserved,
        Self::Granted,
        Self::NeedsReview,
        Self::Recorded,
        Self::Released,
        Self::Delivering,
        Self::Fulfilled,
        Self::Failed,
        Self::Reversed,
    ];

    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Granted => "granted",
            Self::NeedsReview => "needs_review",
            Self::Recorded => "recorded",
            Self::Released => "released",
            Self::Delivering => "delivering",
            Self::Fulfilled => "fulfilled",
            Self::Failed => "failed",
            Self::Reversed => "reversed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// True for a promise: an outcome may still give it. Nothing else is ever overwritten by an event.
    pub const fn is_promise(self) -> bool {
        matches!(self, Self::Reserved | Self::Released)
    }

    /// True while it can be taken back without asking the studio for something that it has given: it is held, on its
    /// way, or could not be delivered.
    pub const fn is_revocable(self) -> bool {
        matches!(self, Self::Granted | Self::NeedsReview | Self::Delivering | Self::Failed)
    }
}

impl ReviewReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoReference,
        Self::PayloadTooLarge,
        Self::PayloadNotJson,
        Self::PayloadNotStorable,
        Self::NoAmount,
        Self::NotAWinner,
        Self::AmbiguousReference,
        Self::AnswerPending,
        Self::Unauthenticated,
        Self::PayloadRefused,
        Self::LimitPlayerDay,
        Self::LimitSourceHour,
    ];

    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoReference => "no_reference",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PayloadNotJson => "payload_not_json",
            Self::PayloadNotStorable => "payload_not_storable",
            Self::NoAmount => "no_amount",
            Self::NotAWinner => "not_a_winner",
            Self::AmbiguousReference => "ambiguous_reference",
            Self::AnswerPending => "answer_pending",
            Self::Unauthenticated => "unauthenticated",
            Self::PayloadRefused => "payload_refused",
            Self::LimitPlayerDay => "limit_player_day",
            Self::LimitSourceHour => "limit_source_hour",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl From<ReviewReason> for Objection {
    fn from(reason: ReviewReason) -> Self {
        Self { reason, detail: None }
    }
}
