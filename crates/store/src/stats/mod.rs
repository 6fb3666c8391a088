//! Matches' statistics, the players' lines and totals, and who was voted out.
//!
//! A batch takes these steps in one transaction, each one or two statements whatever its size:
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_in_tx`]: matches are made where they are new, then read | `stats_match` by key |
//! | the decision, in `domain` | none |
//! | [`save_in_tx`]: matches, lines, history | rows of the locked matches |
//! | … and the totals of matches that ended | `player_totals` by player |
//! | [`kick_in_tx`] | `player_kick` by key |

mod correct;
mod kicks;
mod lines;
mod load;
mod profile;
mod save;
mod show;

use std::collections::BTreeMap;

use matchpurse_domain::event::PlayerStats;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName, derived_uuid};
use matchpurse_domain::stats::MatchStats;
use uuid::Uuid;

pub use correct::{forget_empty_totals_in_tx, lines_in_tx, lock_in_tx, resolve_anomalies_in_tx};
pub use kicks::{Kick, kick_in_tx};
pub use lines::{HistoryLine, add_history_in_tx, add_totals_in_tx};
pub use load::load_in_tx;
pub use profile::{Record, form_of, kicks_of, record_form_of, records_of, totals_of};
pub use save::save_in_tx;
pub use show::{
    CorrectionRecord, HistoryRecord, Line, MatchRecord, Place, PlayedMatch, find_match, matches_of,
};

/// The season of all time.
pub const ALL_TIME: i32 = 0;

/// What names a match on a game server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatsKey {
    /// The source.
    pub source: SourceName,
    /// The provider's id.
    pub match_id: String,
}

/// A match that a batch changed.
#[derive(Debug, Clone)]
pub struct StatsChange<'b> {
    /// As it is now.
    pub state: MatchStats,
    /// The players' lines, all of them; none when they stay as they are.
    pub lines: Option<BTreeMap<&'b PlayerId, &'b PlayerStats>>,
    /// True when players of the match's earlier lines may be missing in the new ones.
    pub roster_changed: bool,
    /// The last event that changed it.
    pub event_id: EventId,
    /// The operation that changed it, if an operator did; it must have been recorded.
    pub corrected_by: Option<EventId>,
}

impl StatsKey {
    /// The key by which tables name this match: a UUIDv5 of it.
    pub fn uuid(&self) -> Uuid {
        derived_uuid("stats", &[self.source.as_str(), &self.match_id])
    }
}

/// A count as PostgreSQL's `integer`; no match has two thousand million rounds.
fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
