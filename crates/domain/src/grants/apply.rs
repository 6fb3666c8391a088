use std::collections::btree_map::Entry as MapEntry;

use super::claim::{Claim, ConversionWish, Statement, Verdict};
use super::contest::{Contest, ContestKind, Decision};
use super::grant::{GrantState, Slot};

/// What a claim changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The contest afterwards.
    pub state: Contest,
    /// What the studio is to be told, in order.
    pub notices: Vec<Notice>,
    /// What contradicts the first decision.
    pub anomaly: Option<Anomaly>,
    /// The wish for credit that was answered, when this claim is the first to say so.
    pub wish: Option<ConversionWish>,
}

/// What the studio is to be told; the grant itself stands in [`Outcome::state`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The grant in this slot is given.
    Granted(Slot),
    /// The grant in this slot is not given before somebody has looked at it.
    Held(Slot),
}

/// An end that contradicts the first one; the first one stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// How it contradicts.
    pub kind: AnomalyKind,
    /// What was decided first.
    pub first: Decision,
    /// What was said now; its digest tells one contradiction from another.
    pub other: Decision,
}

/// How two ends of one contest contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyKind {
    /// The same end, with other entries.
    OutcomeConflict,
    /// Another end.
    TerminalConflict,
    /// One conversion, with another player or amount.
    PostbackConflict,
    /// One wish for credit, with other values or another answer.
    ConversionConflict,
}

/// What `claim` changes in its contest.
pub fn apply(contest: &Contest, claim: &Claim) -> Outcome {
    let mut outcome = Outcome { state: contest.clone(), notices: Vec::new(), anomaly: None, wish: None };
    match &claim.statement {
        Statement::Promise(promised) => {
            let decided = outcome.state.decision.is_some();
            for (slot, grant) in promised {
                // After the outcome, what it did not give is not won.
                let state = if decided { GrantState::Released } else { GrantState::Reserved };
                match outcome.state.grants.entry(slot.clone()) {
                    // The outcome names the reward and the promise what it is: whichever comes first.
                    MapEntry::Occupied(mut place) => place.get_mut().complete(grant),
                    MapEntry::Vacant(place) => {
                        place.insert(grant.clone().promised(state));
                    }
                }
            }
        }
        Statement::End(verdict) => match compare(claim.contest.kind, contest.decision.as_ref(), verdict) {
            Step::Settle => {
                outcome.settle(verdict);
                outcome.wish.clone_from(&verdict.wish);
            }
            Step::Extend => outcome.settle(verdict),
            Step::Nothing => {}
            Step::Contradiction(kind, first) => {
                let other = verdict.decision.clone();
                outcome.anomaly = Some(Anomaly { kind, first: first.clone(), other });
            }
        },
    }
    outcome
}

/// How an end relates to the first one.
enum Step<'a> {
    Settle,
    Extend,
    Nothing,
    Contradiction(AnomalyKind, &'a Decision),
}

fn compare<'a>(kind: ContestKind, first: Option<&'a Decision>, verdict: &Verdict) -> Step<'a> {
    let Some(first) = first else {
        return Step::Settle;
    };
    let other = &verdict.decision;
    if first.ending != other.ending {
        return Step::Contradiction(AnomalyKind::TerminalConflict, first);
    }
    if first.entries == other.entries {
        return Step::Nothing;
    }
    // A longer list of a free contest adds the missing players, and a shorter one that came late adds
    // nothing. A match names its rewards all at once or not yet.
    let may_grow = match kind {
        ContestKind::Contest => true,
        ContestKind::Match => first.entries.is_empty() || other.entries.is_empty(),
        ContestKind::Postback | ContestKind::Conversion => false,
    };
    if may_grow && other.extends(first) {
        return Step::Extend;
    }
    if may_grow && first.extends(other) {
        return Step::Nothing;
    }
    let kind = match kind {
        ContestKind::Contest | ContestKind::Match => AnomalyKind::OutcomeConflict,
        ContestKind::Postback => AnomalyKind::PostbackConflict,
        ContestKind::Conversion => AnomalyKind::ConversionConflict,
    };
    Step::Contradiction(kind, first)
}

impl Outcome {
    /// Gives what the verdict gives, and releases what it leaves.
    fn settle(&mut self, verdict: &Verdict) {
        self.state.decision = Some(verdict.decision.clone());
        for (slot, grant) in &verdict.grants {
            match self.state.grants.entry(slot.clone()) {
                MapEntry::Occupied(place) if !place.get().state.is_promise() => continue,
                MapEntry::Occupied(mut place) => {
                    let promise = place.insert(grant.clone());
                    place.get_mut().complete(&promise);
                }
                MapEntry::Vacant(place) => {
                    place.insert(grant.clone());
                }
            }
            match grant.state {
                GrantState::Granted => self.notices.push(Notice::Granted(slot.clone())),
                GrantState::NeedsReview => self.notices.push(Notice::Held(slot.clone())),
                _ => {}
            }
        }
        for grant in self.state.grants.values_mut().filter(|grant| grant.state == GrantState::Reserved) {
            grant.state = GrantState::Released;
        }
    }
}

impl AnomalyKind {
    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutcomeConflict => "outcome_conflict",
            Self::TerminalConflict => "terminal_conflict",
            Self::PostbackConflict => "postback_conflict",
            Self::ConversionConflict => "conversion_conflict",
        }
    }
}
