use std::collections::BTreeMap;

use super::state::{MatchStats, Totals, roster, totals};
use crate::event::{MatchStatsSnapshot, PlayerStats};
use crate::ids::PlayerId;

/// What a snapshot changes. Its history is kept in any case, line by line: a line is the same in every
/// delivery that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'s> {
    /// The match afterwards.
    pub state: MatchStats,
    /// The players' lines, which replace those of the match; none when the match keeps what it has.
    pub lines: Option<BTreeMap<&'s PlayerId, &'s PlayerStats>>,
    /// What the totals gain: not empty once in a match's life, when its final comes.
    pub totals: BTreeMap<PlayerId, Totals>,
    /// True when this is the final: the studio is to be told.
    pub is_final: bool,
    /// What contradicts the match's first end.
    pub anomaly: Option<Anomaly>,
}

/// An end that contradicts the first one; the first one stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// How it contradicts.
    pub kind: AnomalyKind,
    /// The match as it is said to be now.
    pub other: MatchStats,
}

/// How two ends of one match contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyKind {
    /// Another final, with other numbers.
    StatsCorrected,
    /// A final after a cancellation, or the other way round.
    TerminalConflict,
}

/// What `snapshot` changes in its match, of which `first` is what is known.
pub fn apply<'s>(first: Option<&MatchStats>, snapshot: &'s MatchStatsSnapshot) -> Outcome<'s> {
    let new = MatchStats::of(snapshot);
    let Some(old) = first else {
        return replaced(new, snapshot);
    };
    match (old.has_ended(), new.has_ended()) {
        (false, false) if new.progress() > old.progress() => replaced(new, snapshot),
        (false | true, false) => kept(old),
        // An end counts even when its rounds are fewer.
        (false, true) => replaced(new, snapshot),
        (true, true) if old.canceled != new.canceled => contradicted(old, new, AnomalyKind::TerminalConflict),
        (true, true) if old.canceled => canceled_again(old, new, snapshot),
        (true, true) if old.numbers == new.numbers => kept(old),
        (true, true) => contradicted(old, new, AnomalyKind::StatsCorrected),
    }
}

/// The match becomes what the snapshot says.
fn replaced(mut state: MatchStats, snapshot: &MatchStatsSnapshot) -> Outcome<'_> {
    let is_final = state.finished && !state.canceled;
    let totals = if is_final { totals(&state, snapshot) } else { BTreeMap::new() };
    state.counted = is_final;
    Outcome { state, lines: Some(roster(snapshot)), totals, is_final, anomaly: None }
}

/// The match stays as it is.
fn kept<'s>(state: &MatchStats) -> Outcome<'s> {
    Outcome { state: state.clone(), lines: None, totals: BTreeMap::new(), is_final: false, anomaly: None }
}

fn contradicted<'s>(first: &MatchStats, other: MatchStats, kind: AnomalyKind) -> Outcome<'s> {
    Outcome { anomaly: Some(Anomaly { kind, other }), ..kept(first) }
}

/// A cancellation counts for nothing, so its furthest snapshot may be shown; a reason is not lost.
fn canceled_again<'s>(old: &MatchStats, new: MatchStats, snapshot: &'s MatchStatsSnapshot) -> Outcome<'s> {
    if new.progress() > old.progress() {
        let reason = new.cancel_reason.clone().or_else(|| old.cancel_reason.clone());
        replaced(MatchStats { cancel_reason: reason, ..new }, snapshot)
    } else {
        let reason = old.cancel_reason.clone().or(new.cancel_reason);
        Outcome { state: MatchStats { cancel_reason: reason, ..old.clone() }, ..kept(old) }
    }
}

impl AnomalyKind {
    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatsCorrected => "stats_corrected",
            Self::TerminalConflict => "terminal_conflict",
        }
    }
}
