//! Offers of offerwalls, who may see them, and who is banned from them.
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_offers_in_tx`] | `offer` by source and id, as bytes |
//! | [`load_standings_in_tx`] | `player_standing` by player |
//! | the decision, in `domain` | none |
//! | [`save_offers_in_tx`], [`save_standings_in_tx`] | the same rows |
//! | [`record_changes_in_tx`] | none; what changed is told in the order of these locks |
//!
//! A start of an offer takes a share of the same lock of `offer`, so it is made before a removal, or refused after it.

mod catalog;
mod changes;
mod eligible;
mod list;
mod position;
mod standings;
mod starts;

use matchpurse_domain::ids::{PlayerId, SourceName};

pub use catalog::{load_offers_in_tx, save_offers_in_tx};
pub use changes::{
    Change, ChangeKind, NewChange, Slice, State, changes_after, listen, position, prune_changes,
    record_changes_in_tx,
};
pub use eligible::{Question, eligible};
pub use list::{OfferRecord, find, list};
pub use position::Position;
pub use standings::{load_standings_in_tx, save_standings_in_tx};
pub use starts::{Start, Started, start, withdraw_start};

/// What names an offer: its source, and the provider's id.
pub type OfferKey = (SourceName, String);

/// Whose standing it is.
pub type PlayerKey = (SourceName, PlayerId);
