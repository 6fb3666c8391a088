use std::collections::btree_map::Entry as MapEntry;

use super::claim::{Claim, ConversionWish, Reversal, Statement, Verdict};
use super::contest::{Contest, ContestKind, Decision, Ending};
use super::grant::{Grant, GrantState, Objection, Slot};

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
    /// The grant in this slot, of which the studio was told, is taken back.
    Reversed(Slot),
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
    /// A conversion is taken back whose points the studio has given.
    ReversedTooLate,
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
                    MapEntry::Occupied(mut place) => {
                        let reconsidered = place.get_mut().complete_by_promise(grant);
                        outcome.notices.extend(reconsidered.then(|| Notice::Granted(slot.clone())));
                    }
                    MapEntry::Vacant(place) => {
                        place.insert(grant.clone().promised(state));
                    }
                }
            }
        }
        Statement::Reversal(reversal) => outcome.reverse(reversal),
        Statement::End(verdict) => match compare(claim.contest.kind, contest, verdict) {
            Step::Settle => {
                outcome.settle(verdict);
                outcome.wish.clone_from(&verdict.wish);
            }
            Step::Extend => outcome.settle(verdict),
            Step::Bury => outcome.bury(verdict),
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
    Bury,
    Nothing,
    Contradiction(AnomalyKind, &'a Decision),
}

fn compare<'a>(kind: ContestKind, contest: &'a Contest, verdict: &Verdict) -> Step<'a> {
    let Some(first) = &contest.decision else {
        return Step::Settle;
    };
    let other = &verdict.decision;
    if (first.ending, other.ending) == (Ending::Reversed, Ending::Credited) {
        // It was taken back before it came. That the two speak of one conversion shows in the player and, where
        // the reversal had one, in the amount.
        let fits = |(slot, grant): (&Slot, &Grant)| {
            contest.grants.get(slot).is_some_and(|tombstone| same_amount(tombstone, grant))
        };
        return if verdict.grants.iter().all(fits) {
            Step::Bury
        } else {
            Step::Contradiction(AnomalyKind::PostbackConflict, first)
        };
    }
    if first.ending != other.ending {
        return Step::Contradiction(AnomalyKind::TerminalConflict, first);
    }
    if first.entries == other.entries {
        return Step::Nothing;
    }
    // A longer list of a free contest adds the missing players, and a shorter one that came late adds
    // nothing. So it is with an end that names no winners, as a tournament's does: it is a list of rewards. Any
    // other match names its rewards all at once or not yet.
    let is_list = |decision: &Decision| decision.entries.iter().all(|entry| entry.outcome.is_none());
    let may_grow = match kind {
        ContestKind::Contest => true,
        ContestKind::Match => {
            first.entries.is_empty() || other.entries.is_empty() || is_list(first) && is_list(other)
        }
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

/// True when two grants do not speak of different amounts.
fn same_amount(one: &Grant, other: &Grant) -> bool {
    one.amount.is_none() || other.amount.is_none() || one.amount == other.amount
}

impl Outcome {
    /// Takes a conversion's points back, whether they came before or not.
    fn reverse(&mut self, reversal: &Reversal) {
        let Some(first) = self.state.decision.clone() else {
            self.state.decision = Some(reversal.decision.clone());
            self.state.grants.insert(reversal.slot.clone(), reversal.tombstone.clone());
            return;
        };
        let contradiction = |kind| Some(Anomaly { kind, first, other: reversal.decision.clone() });
        match self.state.grants.get_mut(&reversal.slot) {
            Some(grant) if same_amount(grant, &reversal.tombstone) => {
                if grant.state.is_revocable() {
                    *grant =
                        Grant { state: GrantState::Reversed, reason: None, detail: None, ..grant.clone() };
                    self.notices.push(Notice::Reversed(reversal.slot.clone()));
                } else if grant.state == GrantState::Fulfilled {
                    self.anomaly = contradiction(AnomalyKind::ReversedTooLate);
                }
            }
            _ => self.anomaly = contradiction(AnomalyKind::PostbackConflict),
        }
    }

    /// Keeps what a conversion says that was taken back before it came; it gives nothing.
    fn bury(&mut self, verdict: &Verdict) {
        self.state.decision = Some(verdict.decision.clone());
        for (slot, grant) in &verdict.grants {
            if let Some(tombstone) = self.state.grants.get_mut(slot) {
                tombstone.complete(grant);
                tombstone.amount = tombstone.amount.take().or_else(|| grant.amount.clone());
            }
        }
    }

    /// Holds what would be given, for every grant to which there is an objection: the studio's own demands, which
    /// are asked once the grant has what its promise says of it.
    pub fn withhold(
        &mut self,
        before: &Contest,
        mut objection: impl FnMut(&Slot, &Grant) -> Option<Objection>,
    ) {
        let mut told = Vec::new();
        for notice in std::mem::take(&mut self.notices) {
            let Notice::Granted(slot) = &notice else {
                told.push(notice);
                continue;
            };
            let Some(grant) = self.state.grants.get_mut(slot) else { continue };
            match objection(slot, grant) {
                None => told.push(notice),
                Some(objection) => {
                    *grant = grant.clone().held_for(Some(objection));
                    // Of one that was held before the studio knows.
                    let known = before.grants.get(slot).map(|grant| grant.state);
                    if known != Some(GrantState::NeedsReview) {
                        told.push(Notice::Held(slot.clone()));
                    }
                }
            }
        }
        self.notices = told;
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
            Self::ReversedTooLate => "reversed_too_late",
        }
    }
}
