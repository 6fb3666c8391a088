use std::collections::BTreeMap;

use crate::event::{self, MatchFormat, MatchKind, MatchSnapshot, MatchStatus};
use crate::ids::{PlayerId, SourceName};
use crate::money::CurrencyCode;
use crate::source::{Custody, SourcePolicy, TiePolicy};
use crate::time::Timestamp;

/// The most other ends of one match that are remembered.
const OTHER_ENDS_MAX: usize = 32;

/// A match as we know it. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchState {
    /// The source; the match's id means something only together with it.
    pub source: SourceName,
    /// The provider's id of the match.
    pub match_id: String,
    /// What kind of match it is.
    pub kind: MatchKind,
    /// Where it is in its life.
    pub status: MatchStatus,
    /// The provider's word for that status.
    pub provider_status: String,
    /// How winners are named.
    pub format: Option<MatchFormat>,
    /// The studio's game.
    pub game_id: Option<String>,
    /// Who made the match.
    pub created_by: Option<PlayerId>,
    /// Who holds the stakes; fixed when we first hear of the match.
    pub custody: Custody,
    /// The currency of all amounts; fixed when we first hear of the match.
    pub currency: CurrencyCode,
    /// Our fee in basis points; fixed when we first hear of the match.
    pub fee_bps: u16,
    /// What a tie does; fixed when we first hear of the match.
    pub tie_policy: TiePolicy,
    /// What each player stakes; none or zero: membership only, no money moves.
    pub buy_in: Option<i64>,
    /// The players.
    pub seats: BTreeMap<PlayerId, Seat>,
    /// All that ever came into escrow.
    pub pot: i64,
    /// What went to players as winnings.
    pub paid: i64,
    /// What went back to players.
    pub refunded: i64,
    /// What was kept as the fee.
    pub fee: i64,
    /// How it ended; written once.
    pub settlement: Option<Settlement>,
    /// SHA-256 of what the end said of winners and payouts; tells a repeat from a contradiction.
    pub outcome_digest: Option<[u8; 32]>,
    /// Until when it may hold money; set at the first hold, gone at the end.
    pub deadline: Option<Timestamp>,
    /// True when the deadline has passed and a person was asked to decide.
    pub arbitration_asked: bool,
    /// True when an end came that could not be settled: somebody knows the outcome, we do not.
    pub claimed_end: bool,
    /// How often a person set the end anew. All amounts are those of this generation, and it is a part of the
    /// transfers' permanent keys.
    pub generation: i16,
    /// Digests of other ends than the present one: those that a person overruled, and those that contradicted it.
    /// A person knows of them, so told again they are no news.
    pub other_ends: Vec<[u8; 32]>,
}

/// A player's place in a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The side; empty when the provider names none.
    pub group_id: String,
    /// Where the player's stake is.
    pub state: SeatState,
    /// The stake held.
    pub hold: i64,
    /// What the player was paid.
    pub payout: i64,
    /// What the player got back.
    pub refund: i64,
    /// How it ended for the player.
    pub outcome: Option<event::Outcome>,
}

/// Where a player's stake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeatState {
    /// Nothing is held.
    Joined,
    /// The stake is in escrow.
    Held,
    /// The match has ended and the stake was played for.
    Settled,
    /// The stake went back.
    Refunded,
}

/// How a match ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The winners were paid.
    Payout,
    /// The tie policy decided.
    Tie,
    /// Every stake went back.
    Refund,
}

/// An account of the ledger, as far as one match sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// The player's own.
    Player(PlayerId),
    /// The match's escrow account; it must reach zero.
    Escrow,
    /// The studio's fees.
    House,
    /// The provider's side: its fees and promotions.
    External,
}

/// What a transfer is for; part of its permanent key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferKind {
    /// Player to escrow.
    Hold,
    /// Escrow to a winner.
    Payout,
    /// Escrow back to the player.
    Refund,
    /// Escrow to who keeps the fee.
    Fee,
    /// The provider's promotional money into escrow.
    TopUp,
    /// Undoes what a generation moved for its subject, in one sum.
    Reversal,
}

/// One movement of money. Its permanent key is (match, subject, kind, generation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What it is for.
    pub kind: TransferKind,
    /// Whom it concerns: a player, the house or the provider.
    pub subject: Account,
    /// The match's generation.
    pub generation: i16,
    /// Where it comes from.
    pub debit: Account,
    /// Where it goes.
    pub credit: Account,
    /// Minor units, above zero.
    pub amount: i64,
}

/// Something that a person must look at; the money stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// In words, with the figures.
    pub detail: String,
    /// Tells this one from others of its kind and match; the same contradiction again opens no second one.
    pub discriminator: String,
}

/// What can be wrong with a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnomalyKind {
    /// Another stake than the first one.
    BuyInConflict,
    /// A player with a hold is not in the end's list; the hold went back.
    ParticipantVanished,
    /// A player in the end's list has no hold, and the studio holds the stakes.
    HoldMissing,
    /// A player has not the money to be held.
    HoldFailed,
    /// Ended, but nobody says who won.
    WinnerUnknown,
    /// Ended with winners, but how the pot is divided cannot be known.
    PayoutUnknown,
    /// A payout claimed by a body that no signature covers.
    PayoutUnauthenticated,
    /// The same end with another outcome.
    OutcomeConflict,
    /// Another end than the first one.
    TerminalConflict,
    /// The provider has given up something.
    ProviderFailure,
    /// The amounts do not fit into 64 bits; nothing was moved.
    AmountOverflow,
    /// The match held money for too long, and how it ended must be decided by a person.
    DeadlinePassed,
}

/// Something that the studio is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `match.held`, `match.hold_failed`, `match.settled`, `match.refunded`, `match.corrected`
    pub kind: &'static str,
    /// Tells this one from others of its kind and match; the same one again is not sent twice.
    pub discriminator: String,
}

/// What an event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The match as it is now.
    pub state: MatchState,
    /// The movements, in order.
    pub transfers: Vec<Transfer>,
    /// What a person must look at.
    pub anomalies: Vec<Anomaly>,
    /// What the studio is told.
    pub notices: Vec<Notice>,
    /// True when the event came after the match's end and said nothing new.
    pub late: bool,
}

impl MatchState {
    /// A match that we hear of for the first time; still open, nothing held.
    pub(super) fn first(snapshot: &MatchSnapshot, policy: &SourcePolicy) -> Self {
        Self::empty(snapshot.match_id.clone(), snapshot.kind, policy)
    }

    /// The same for a match of which only the id and kind are known.
    pub(super) fn empty(match_id: String, kind: MatchKind, policy: &SourcePolicy) -> Self {
        Self {
            source: policy.source.clone(),
            match_id,
            kind,
            status: MatchStatus::Open,
            provider_status: String::new(),
            format: None,
            game_id: None,
            created_by: None,
            custody: policy.custody,
            currency: policy.currency.code.clone(),
            fee_bps: policy.fee_bps,
            tie_policy: policy.tie_policy,
            buy_in: None,
            seats: BTreeMap::new(),
            pot: 0,
            paid: 0,
            refunded: 0,
            fee: 0,
            settlement: None,
            outcome_digest: None,
            deadline: None,
            arbitration_asked: false,
            claimed_end: false,
            generation: 0,
            other_ends: Vec::new(),
        }
    }

    /// True when the kind of match can hold money here. Free-to-play contests stake nothing; a tournament's
    /// pool is the provider's own, and its figures come too incomplete to be kept as holds.
    pub(super) const fn stakes_money(&self) -> bool {
        matches!(self.kind, MatchKind::Recreational | MatchKind::Platform)
    }

    /// Who keeps the fee: the studio where it holds the stakes, else the provider.
    pub(super) const fn fee_account(&self) -> Account {
        match self.custody {
            Custody::Studio => Account::House,
            Custody::Provider => Account::External,
        }
    }

    /// Remembers an end that is not the present one. What a provider can say without end is not kept without end.
    pub(super) fn remember_end(&mut self, digest: [u8; 32]) {
        if !self.other_ends.contains(&digest) && self.other_ends.len() < OTHER_ENDS_MAX {
            self.other_ends.push(digest);
        }
    }

    /// What is in escrow now.
    pub const fn escrowed(&self) -> i64 {
        self.pot.saturating_sub(self.paid).saturating_sub(self.refunded).saturating_sub(self.fee)
    }
}

impl Seat {
    pub(super) const fn joined(group_id: String) -> Self {
        Self { group_id, state: SeatState::Joined, hold: 0, payout: 0, refund: 0, outcome: None }
    }
}

impl Settlement {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payout => "payout",
            Self::Tie => "tie",
            Self::Refund => "refund",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Payout, Self::Tie, Self::Refund].into_iter().find(|settlement| settlement.as_str() == text)
    }
}

impl SeatState {
    /// The number for it in the database.
    pub const fn code(self) -> i16 {
        match self {
            Self::Joined => 0,
            Self::Held => 1,
            Self::Settled => 2,
            Self::Refunded => 3,
        }
    }

    /// Reads the number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Joined, Self::Held, Self::Settled, Self::Refunded]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

impl TransferKind {
    /// The number for it in the database; part of the permanent key, so it never changes.
    pub const fn code(self) -> i16 {
        match self {
            Self::Hold => 1,
            Self::Payout => 2,
            Self::Refund => 3,
            Self::Fee => 4,
            Self::TopUp => 6,
            Self::Reversal => 7,
        }
    }
}

impl AnomalyKind {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuyInConflict => "buy_in_conflict",
            Self::ParticipantVanished => "participant_vanished",
            Self::HoldMissing => "hold_missing",
            Self::HoldFailed => "hold_failed",
            Self::WinnerUnknown => "winner_unknown",
            Self::PayoutUnknown => "payout_unknown",
            Self::PayoutUnauthenticated => "payout_unauthenticated",
            Self::OutcomeConflict => "outcome_conflict",
            Self::TerminalConflict => "terminal_conflict",
            Self::ProviderFailure => "provider_failure",
            Self::AmountOverflow => "amount_overflow",
            Self::DeadlinePassed => "deadline_passed",
        }
    }
}
