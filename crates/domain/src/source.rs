//! What a studio has configured for one source, as far as it decides anything.

use crate::ids::SourceName;
use crate::money::Currency;

/// Who holds the players' stakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Custody {
    /// The provider does: our ledger records what it did and never refuses; its figures win.
    Provider,
    /// The studio does: our ledger authorizes; a player without the money makes the hold fail.
    Studio,
}

/// What happens to the stakes when a match ends in a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TiePolicy {
    /// Every hold goes back whole.
    #[default]
    RefundFull,
    /// Every hold goes back less the player's share of the fee.
    RefundMinusFee,
    /// The prize is split among all who hold.
    Split,
}

/// What happens to a match that has held money for too long, when nobody has told how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDeadline {
    /// Every hold goes back.
    #[default]
    Refund,
    /// The money stays, and a person is asked.
    Arbitrate,
}

/// The rules of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePolicy {
    /// The source's name.
    pub source: SourceName,
    /// The provider's id, as its adapter names it; data to everybody but the adapter.
    pub provider: String,
    /// The currency of the source's amounts.
    pub currency: Currency,
    /// Who holds the stakes.
    pub custody: Custody,
    /// Our fee on a pot, in basis points (1/100 of a percent); 0 to 10,000.
    pub fee_bps: u16,
    /// What a tie does.
    pub tie_policy: TiePolicy,
    /// The stake of a player in minor units, for providers that send none; without it such a match is
    /// membership only and moves no money.
    pub stake: Option<i64>,
    /// How long a match may hold money before it needs attention, in seconds.
    pub hold_deadline_s: i64,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

impl Custody {
    /// The word for it in the configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Studio => "studio",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Provider, Self::Studio].into_iter().find(|c| c.as_str() == text)
    }
}

impl TiePolicy {
    /// The word for it in the configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefundFull => "refund_full",
            Self::RefundMinusFee => "refund_minus_fee",
            Self::Split => "split",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::RefundFull, Self::RefundMinusFee, Self::Split].into_iter().find(|p| p.as_str() == text)
    }
}

impl OnDeadline {
    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Arbitrate => "arbitrate",
        }
    }
}
