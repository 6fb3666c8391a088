use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::Event;
use matchpurse_domain::grants::{
    Allowance, Anomaly, Claim, Contest, ContestKey, ContestKind, Decision, GrantState, Outcome, Slot,
    Statement, Window, apply,
};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::anomalies::NewAnomaly;
use matchpurse_store::grants::{Cause, ContestChange, tell};
use matchpurse_store::outbox::Notice;
use serde_json::{Value, json};

use crate::rules::Rules;

/// What the events of a batch say about rewards, in the order of their arrival.
pub(crate) struct Batch<'e> {
    rules: &'e Rules,
    claims: Vec<(&'e Event, Claim)>,
}

/// What a batch does.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) changes: BTreeMap<ContestKey, ContestChange>,
    pub(crate) players: Vec<(SourceName, PlayerId)>,
    pub(crate) anomalies: Vec<NewAnomaly>,
    pub(crate) notices: Vec<Notice>,
}

impl<'e> Batch<'e> {
    pub(crate) fn read(rules: &'e Rules, events: &'e [Event]) -> Self {
        Self { rules, claims: events.iter().filter_map(|event| Some((event, Claim::of(event)?))).collect() }
    }

    /// The contests, each with the first event that speaks of it.
    pub(crate) fn contests(&self) -> BTreeMap<ContestKey, EventId> {
        let mut contests = BTreeMap::new();
        for (event, claim) in &self.claims {
            contests.entry(claim.contest.clone()).or_insert(event.id);
        }
        contests
    }

    /// The contests of which something that is given may be completed or taken back.
    pub(crate) fn reopened(&self) -> BTreeSet<ContestKey> {
        let reopens = |claim: &Claim| match claim.statement {
            Statement::Promise(_) | Statement::Reversal(_) => true,
            // What a conversion says that was taken back before it came completes the tombstone.
            Statement::End(_) => claim.contest.kind == ContestKind::Postback,
        };
        let claims = self.claims.iter().map(|(_, claim)| claim);
        claims.filter(|claim| reopens(claim)).map(|claim| claim.contest.clone()).collect()
    }

    /// The windows in which something may be given: of the grants that are not given yet, as far as it can be told
    /// before they are decided. A batch of repeats has none, and so makes nobody wait.
    pub(crate) fn windows(&self, contests: &BTreeMap<ContestKey, Contest>) -> BTreeSet<Window> {
        let mut windows = BTreeSet::new();
        for (event, claim) in &self.claims {
            let Some(limits) = self.rules.limits(&event.source) else { continue };
            let known = contests.get(&claim.contest);
            let open = |slot: &Slot| {
                let state = known.and_then(|contest| contest.grants.get(slot)).map(|grant| grant.state);
                state.is_none_or(|state| state.is_promise() || state == GrantState::NeedsReview)
            };
            let grants = match &claim.statement {
                Statement::Promise(grants) => grants,
                Statement::End(verdict) => &verdict.grants,
                Statement::Reversal(_) => continue,
            };
            for slot in grants.keys().filter(|slot| open(slot)) {
                windows.extend(
                    limits.windows(&event.source, &slot.player_id, when(event)).into_iter().flatten(),
                );
            }
        }
        windows
    }

    /// Folds the claims, contest by contest. `allowance` is what was given before, and what was given afterwards.
    pub(crate) fn decide(
        self,
        mut contests: BTreeMap<ContestKey, Contest>,
        allowance: &mut Allowance,
    ) -> Decided {
        let mut decided = Decided::default();
        for (event, claim) in self.claims {
            let before = contests.remove(&claim.contest).unwrap_or_default();
            let mut outcome = apply(&before, &claim);
            let change = decided.changes.entry(claim.contest.clone()).or_default();
            outcome.withhold(&before, |slot, grant| {
                let source = &event.source;
                self.rules.objection(source, grant).or_else(|| {
                    let limits = self.rules.limits(source)?;
                    match allowance.take(limits, source, &slot.player_id, grant, when(event)) {
                        Ok(taken) => {
                            change.counted.insert(slot.clone(), taken);
                            None
                        }
                        Err(objection) => Some(objection),
                    }
                })
            });
            let players = claim.players().map(|player| (event.source.clone(), player.clone()));
            decided.players.extend(players);
            let after = decided.take(event, &claim.contest, &before, outcome);
            contests.insert(claim.contest, after);
        }
        decided.changes.retain(|_, change| *change != ContestChange::default());
        decided
    }
}

/// When an event happened, else when it reached us: the same whenever it is applied.
fn when(event: &Event) -> Timestamp {
    event.occurred_at.unwrap_or(event.received_at)
}

impl Decided {
    /// Takes what one claim does, and returns the contest afterwards.
    fn take(&mut self, event: &Event, key: &ContestKey, before: &Contest, outcome: Outcome) -> Contest {
        let cause = Cause { event_id: event.id, at: when(event) };
        let change = self.changes.entry(key.clone()).or_default();
        if outcome.state.decision != before.decision {
            change.decision = outcome.state.decision.clone().map(|decision| (decision, cause));
        }
        for (slot, grant) in &outcome.state.grants {
            match before.grants.get(slot) {
                Some(same) if same == grant => {}
                // Given in an earlier batch. What this batch gives is written as it is in the end.
                Some(given) if !given.state.is_promise() && !change.grants.contains_key(slot) => {
                    change.take_given(slot, given.state, grant, cause);
                }
                _ => drop(change.grants.insert(slot.clone(), (grant.clone(), cause))),
            }
        }
        if let Some(wish) = outcome.wish {
            change.wish = Some((wish, cause));
        }
        self.anomalies.extend(outcome.anomaly.map(|anomaly| opened(event, key, &anomaly)));
        let told = |notice| {
            let notice = tell::of_outcome(key, &outcome.state, notice, when(event))?;
            Some(notice.because_of(event.id))
        };
        self.notices.extend(outcome.notices.iter().filter_map(told));
        outcome.state
    }
}

/// The anomaly's row. Its key has what was said now, so that each contradiction is opened once, however
/// often and in whatever copies it comes.
fn opened(event: &Event, key: &ContestKey, anomaly: &Anomaly) -> NewAnomaly {
    let (kind, contest_kind) = (anomaly.kind.as_str(), key.kind.as_str());
    let digest: String = anomaly.other.digest().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    NewAnomaly {
        key: format!("reward/{}/{contest_kind}/{}/{kind}/{digest}", key.source, key.contest_id),
        kind,
        source: key.source.clone(),
        subject: key.contest_id.clone(),
        event_id: Some(event.id),
        detail: json!({
            "about": "rewards",
            "contest_kind": contest_kind,
            "first": said(&anomaly.first),
            "other": said(&anomaly.other),
        }),
    }
}

fn said(decision: &Decision) -> Value {
    let entry = |entry: &matchpurse_domain::grants::Entry| {
        json!({
            "player_id": entry.player_id.as_str(),
            "outcome": entry.outcome.map(|outcome| outcome.as_str()),
            "reward_ref": entry.reward_ref,
        })
    };
    json!({
        "ending": decision.ending.as_str(),
        "entries": decision.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
