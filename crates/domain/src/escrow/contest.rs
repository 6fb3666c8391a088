use super::apply::Decision;
use super::state::{AnomalyKind, MatchState, Outcome, Seat, SeatState, Settlement};
use crate::event::{self, ContestOutcome, MatchKind, MatchStatus};
use crate::source::SourcePolicy;

use sha2::{Digest, Sha256};

/// Applies a contest's outcome to its free-to-play match: it ends, and no money moves. What the players are
/// given is the grants' business.
pub fn apply_contest(state: Option<MatchState>, contest: &ContestOutcome, policy: &SourcePolicy) -> Outcome {
    let state =
        state.unwrap_or_else(|| MatchState::empty(contest.contest_id.clone(), MatchKind::FreeToPlay, policy));
    let mut decision = Decision::new(state);
    let digest = digest(contest);
    let tie =
        !contest.outcomes.is_empty() && contest.outcomes.iter().all(|o| o.outcome == event::Outcome::Tie);
    let (status, settlement) = if tie {
        (MatchStatus::ClosedTie, Settlement::Tie)
    } else {
        (MatchStatus::Closed, Settlement::Payout)
    };
    if let Some(first) = decision.state.settlement {
        if first == Settlement::Refund {
            let detail = format!("a contest's outcome after {}", decision.state.status.as_str());
            decision.anomaly(AnomalyKind::TerminalConflict, "contest", detail);
        } else if decision.state.outcome_digest != Some(digest) {
            decision.anomaly(
                AnomalyKind::OutcomeConflict,
                "contest",
                "another outcome of the contest".to_owned(),
            );
        }
        let mut outcome = decision.outcome();
        outcome.late = true;
        return outcome;
    }
    for entry in &contest.outcomes {
        let seat = decision
            .state
            .seats
            .entry(entry.player_id.clone())
            .or_insert_with(|| Seat::joined(String::new()));
        seat.state = SeatState::Settled;
        seat.outcome = Some(entry.outcome);
    }
    decision.state.status = status;
    decision.state.settlement = Some(settlement);
    decision.state.outcome_digest = Some(digest);
    decision.notice("match.settled", "end".to_owned());
    decision.outcome()
}

/// As [`super::tells_its_end`], of a contest's outcome: each participant has a copy of it, with a time of its own.
pub fn contest_tells_its_end(state: &MatchState, contest: &ContestOutcome) -> bool {
    state.settlement.is_some() && state.outcome_digest == Some(digest(contest))
}

/// Who won, lost and tied; every participant's copy says the same.
fn digest(contest: &ContestOutcome) -> [u8; 32] {
    let mut entries: Vec<(&str, &str)> =
        contest.outcomes.iter().map(|o| (o.player_id.as_str(), o.outcome.as_str())).collect();
    entries.sort_unstable();
    let mut hash = Sha256::new();
    for (player, outcome) in entries {
        hash.update(player);
        hash.update([0]);
        hash.update(outcome);
        hash.update([0]);
    }
    hash.finalize().into()
}
