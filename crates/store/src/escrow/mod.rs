//! Matches, their stakes and the ledger.
//!
//! A batch takes these steps in one transaction, each one or two statements whatever its size:
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_in_tx`]: matches are made where they are new, then read with their seats | `match` by key |
//! | [`funds_in_tx`]: the players' balances, only where the studio holds the stakes | `account` by id |
//! | the decision, in `domain` | none |
//! | [`save_in_tx`]: matches, seats, deadlines, transfers and balances | `account` by id |
//!
//! Balances change only by transfers that were really inserted; one whose key is there already is refused, and the whole
//! transaction with it, whatever the caller believes.

mod find;
pub(crate) mod ledger;
mod list;
mod load;
mod read;
mod row;
mod save;
pub mod tell;

use matchpurse_domain::escrow::{MatchState, Transfer};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, SourceName, derived_uuid};
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

pub use find::{OVERDUE_MAX, Overdue, kinds_of, overdue};
pub use ledger::funds_in_tx;
pub use list::{LOOKED_AT_MAX, MatchFilter, MatchLine, MatchPage, MatchPlace, list_matches};
pub use load::{LoadedMatch, NewMatch, load_in_tx, lock_in_tx};
pub use read::{AccountOwner, MatchRecord, PlayerMoney, account_owner, find_matches, money_of};
pub use save::save_in_tx;

/// What names a match. Kinds are apart, because a provider's contest and its money match may share an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchKey {
    /// The source.
    pub source: SourceName,
    /// The kind.
    pub kind: MatchKind,
    /// The provider's id.
    pub match_id: String,
}

/// A match with everything that a batch did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchChange {
    /// Its number, from [`load_in_tx`].
    pub match_no: i64,
    /// As it was; none when the batch is the first to speak of it.
    pub before: Option<MatchState>,
    /// As it is now.
    pub state: MatchState,
    /// The transfers, with the event that each comes from.
    pub transfers: Vec<(Transfer, EventId, Timestamp)>,
    /// The last event that changed it.
    pub last_event: EventId,
    /// That event's time; the settlement's, if it settled.
    pub at: Timestamp,
    /// When the match ended, by the earliest of those that told this end; a correction of an end keeps what is known.
    pub ended_at: Option<Timestamp>,
    /// What was known of that before.
    pub ended_before: Option<Timestamp>,
}

impl MatchKey {
    /// The surrogate that owns the match's escrow account.
    pub fn uuid(&self) -> Uuid {
        derived_uuid("match", &[self.source.as_str(), self.kind.as_str(), &self.match_id])
    }
}
