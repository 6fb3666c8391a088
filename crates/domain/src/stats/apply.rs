use std::collections::BTreeMap;

use super::state::{MatchStats, Totals, roster, totals};
use crate::event::{Counters, MatchStatsSnapshot, PlayerStats, Side};
use crate::ids::PlayerId;
use crate::time::Timestamp;

/// What a snapshot changes. Its history is kept in any case, line by line: a line is the same in every
/// delivery that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'s> {
    /// The match afterwards.
    pub state: MatchStats,
    /// The players' lines, which replace those of the match; none when the match keeps what it has.
    pub lines: Option<BTreeMap<&'s PlayerId, &'s PlayerStats>>,
    /// What the totals gain: when the match's final comes, once in its life, and with a correction.
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

/// What `snapshot` changes in its match, of which `first` is what is known. `at` is when the snapshot was taken
/// or, if nobody knows, when it came.
pub fn apply<'s>(first: Option<&MatchStats>, snapshot: &'s MatchStatsSnapshot, at: Timestamp) -> Outcome<'s> {
    let new = MatchStats::of(snapshot, at);
    let Some(old) = first else {
        return replaced(new, snapshot);
    };
    match (old.has_ended(), new.has_ended()) {
        (false, false) if new.progress() > old.progress() => replaced(new, snapshot),
        (false | true, false) => kept(old),
        // An end counts even when its rounds are fewer.
        (false, true) => replaced(new, snapshot),
        (true, true) if old.end() == new.end() => told_again(old, new, snapshot),
        (true, true) if new.end().is_some_and(|end| old.overruled.contains(&end)) => kept(old),
        (true, true) if old.canceled != new.canceled => contradicted(old, new, AnomalyKind::TerminalConflict),
        (true, true) => contradicted(old, new, AnomalyKind::StatsCorrected),
    }
}

/// Why an operator's correction is no correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The match runs, so its end is still to come.
    #[error("the match has not ended")]
    NotEnded,
    /// The snapshot is of a match that runs.
    #[error("the event is no end of the match")]
    NoEnd,
    /// The match ended so.
    #[error("the match counts so already")]
    Same,
}

/// Puts the end that `snapshot` tells in the place of the first one, because an operator says so. The totals
/// gain the difference; `lines` are all that the match has now.
///
/// # Errors
/// [`Refusal`].
pub fn correct<'s, 'l>(
    first: &MatchStats,
    lines: impl IntoIterator<Item = (&'l PlayerId, Side, &'l Counters)>,
    snapshot: &'s MatchStatsSnapshot,
    at: Timestamp,
) -> Result<Outcome<'s>, Refusal> {
    let Some(overruled) = first.end() else { return Err(Refusal::NotEnded) };
    let new = MatchStats::of(snapshot, at);
    let Some(end) = new.end() else { return Err(Refusal::NoEnd) };
    if end == overruled {
        return Err(Refusal::Same);
    }
    let mut outcome = replaced(new, snapshot);
    outcome.state.corrections = first.corrections.saturating_add(1);
    outcome.state.overruled.clone_from(&first.overruled);
    outcome.state.overruled.insert(overruled);
    outcome.state.overruled.remove(&end);
    for (player, counted) in totals(first, lines) {
        outcome.totals.entry(player).or_default().add(&counted.negated());
    }
    outcome.totals.retain(|_, difference| *difference != Totals::default());
    outcome.is_final = false;
    Ok(outcome)
}

/// The match becomes what the snapshot says, its end included if it is one.
fn replaced(mut state: MatchStats, snapshot: &MatchStatsSnapshot) -> Outcome<'_> {
    state.counted = state.finished && !state.canceled;
    let lines = roster(snapshot);
    let totals = totals(&state, lines.iter().map(|(id, line)| (*id, line.side, &line.counters)));
    let is_final = state.counted;
    Outcome { state, lines: Some(lines), totals, is_final, anomaly: None }
}

/// The match stays as it is.
fn kept<'s>(state: &MatchStats) -> Outcome<'s> {
    Outcome { state: state.clone(), lines: None, totals: BTreeMap::new(), is_final: false, anomaly: None }
}

/// The same end again, of which there may be several deliveries. The one that is furthest is shown, whichever
/// came first; it adds nothing. The reason of a cancellation is not lost, and the earliest time counts.
fn told_again<'s>(old: &MatchStats, new: MatchStats, snapshot: &'s MatchStatsSnapshot) -> Outcome<'s> {
    let is_further = new.progress() > old.progress();
    let (shown, other) = if is_further { (&new, old) } else { (old, &new) };
    let state = MatchStats {
        cancel_reason: shown.cancel_reason.clone().or_else(|| other.cancel_reason.clone()),
        ended_at: old.ended_at.min(new.ended_at),
        counted: old.counted,
        corrections: old.corrections,
        overruled: old.overruled.clone(),
        ..shown.clone()
    };
    Outcome { lines: is_further.then(|| roster(snapshot)), ..kept(&state) }
}

fn contradicted<'s>(first: &MatchStats, other: MatchStats, kind: AnomalyKind) -> Outcome<'s> {
    Outcome { anomaly: Some(Anomaly { kind, other }), ..kept(first) }
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
