use super::apply::Decision;
use super::state::{AnomalyKind, MatchState, Outcome};
use crate::event::MatchStatus;
use crate::source::OnDeadline;

/// What becomes of a match whose deadline has passed.
///
/// The stakes go back, or a person is asked. A person is asked whatever `rule` says where somebody knows how the
/// match ended and we do not: an end came that could not be settled, or its result is disputed. No money moves on
/// a guess. A match that holds nothing, or about which a person was asked already, stays as it is.
pub fn expire(state: MatchState, rule: OnDeadline) -> Outcome {
    let mut decision = Decision::new(state);
    let state = &mut decision.state;
    if state.settlement.is_some() || state.deadline.is_none() || state.arbitration_asked {
        return decision.outcome();
    }
    let claimed = state.claimed_end || state.status == MatchStatus::Dispute;
    if claimed || rule == OnDeadline::Arbitrate {
        state.arbitration_asked = true;
        let why = match (state.claimed_end, state.status) {
            (true, _) => "an end came that could not be settled",
            (false, MatchStatus::Dispute) => "its result is disputed",
            (false, _) => "nobody has told how it ended",
        };
        let detail = format!("the match still holds {} after its deadline: {why}", state.escrowed());
        decision.anomaly(AnomalyKind::DeadlinePassed, &decision.state.generation.to_string(), detail);
    } else {
        state.status = MatchStatus::VoidedTimeout;
        decision.refund_all();
        decision.forget_deadline();
    }
    decision.outcome()
}
