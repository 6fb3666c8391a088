use crate::ids::PlayerId;
use crate::money::Money;

/// What a provider names as a player's reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reward {
    /// Who gives it.
    pub kind: RewardKind,
    /// The amount, where it is money.
    pub amount: Option<Money>,
    /// The value as the provider wrote it, where it is no money.
    pub value: Option<String>,
    /// What tells this reward from others of the same player and contest; the studio's own id where the
    /// provider hands one through.
    pub reference: Option<String>,
    /// What the client sent along, as a text that may hold JSON. A player can influence it: it is parsed
    /// later, and may fail to.
    pub metadata: Option<String>,
}

/// Who gives a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewardKind {
    /// The provider pays money; we only record it.
    Cash,
    /// The studio gives something.
    Studio,
}

/// How a contest ended, for everybody in it. One copy comes for each participant, each with all outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContestOutcome {
    /// The provider's id of the contest.
    pub contest_id: String,
    /// Whose copy this is.
    pub addressed_to: PlayerId,
    /// How it ended for each.
    pub outcomes: Vec<PlayerOutcome>,
}

/// How a contest ended for one player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerOutcome {
    /// The player.
    pub player_id: PlayerId,
    /// Won, lost or tied.
    pub outcome: Outcome,
    /// What the player gets.
    pub reward: Option<Reward>,
}

/// Won, lost or tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Won.
    Win,
    /// Lost.
    Loss,
    /// Neither.
    Tie,
}

/// A conversion on an offerwall. `conversion_id` is the key of the money, `request_id` only of the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardPostback {
    /// The key of what is credited.
    pub conversion_id: String,
    /// The delivery's own id.
    pub request_id: Option<String>,
    /// Who earned it.
    pub player_id: PlayerId,
    /// On which offer.
    pub offer_id: Option<String>,
    /// For reaching which goal.
    pub goal_id: Option<String>,
    /// The goal's name.
    pub goal_name: Option<String>,
    /// Reward, install or reversal; an install earns nothing.
    pub kind: ConversionKind,
    /// What the player gets, in the source's currency; none or zero credits nothing. Of a reversal what is taken
    /// back, above zero, where the provider says so.
    pub amount: Option<Money>,
    /// What the studio earns.
    pub payout: Option<Money>,
}

/// What a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversionKind {
    /// It earns the player something.
    Reward,
    /// An install was counted.
    Install,
    /// What an earlier one earned is taken back; it may come before that one.
    Reversal,
}

/// A player's wish to turn money into the studio's credit; the provider holds the money until we answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditConversion {
    /// The key of the wish.
    pub intent_id: String,
    /// The player.
    pub player_id: PlayerId,
    /// The money held.
    pub amount: Money,
    /// What it would be in the studio's credit, as the provider wrote it.
    pub converted_amount: String,
    /// What the client sent along.
    pub metadata: Option<String>,
    /// What we answer: the provider's word. Without a conversion policy it is the one that returns the money. It is
    /// the first answer that the wish ever got, whatever the policy is by now.
    pub answer: String,
}

impl RewardKind {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Studio => "studio",
        }
    }
}

impl Outcome {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Win => "WIN",
            Self::Loss => "LOSS",
            Self::Tie => "TIE",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Win, Self::Loss, Self::Tie].into_iter().find(|outcome| outcome.as_str() == text)
    }
}
