//! Offers of offerwalls, and who is banned from them.
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_offers_in_tx`] | `offer` by source and id, as bytes |
//! | [`load_standings_in_tx`] | `player_standing` by player |
//! | the decision, in `domain` | none |
//! | [`save_offers_in_tx`], [`save_standings_in_tx`] | the same rows |

mod catalog;
mod standings;

use matchpurse_domain::ids::{PlayerId, SourceName};

pub use catalog::{load_offers_in_tx, save_offers_in_tx};
pub use standings::{load_standings_in_tx, save_standings_in_tx};

/// What names an offer: its source, and the provider's id.
pub type OfferKey = (SourceName, String);

/// Whose standing it is.
pub type PlayerKey = (SourceName, PlayerId);
