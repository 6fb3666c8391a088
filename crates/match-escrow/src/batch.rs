use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{
    Account, AnomalyKind, Funds, MatchState, Outcome, Transfer, Trust, apply, apply_contest,
    contest_tells_its_end, tells_its_end,
};
use matchpurse_domain::event::{ContestOutcome, Event, MatchKind, MatchSnapshot, Payload, ProviderFailure};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::source::{Custody, SourcePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::anomalies::NewAnomaly;
use matchpurse_store::escrow::{LoadedMatch, MatchChange, MatchKey, NewMatch, funds_in_tx, load_in_tx, tell};
use matchpurse_store::outbox::Notice;
use matchpurse_store::{Error, Result, Tx};
use serde_json::json;

/// What one event says, and about which match.
enum Step<'e> {
    Snapshot(MatchKey, &'e MatchSnapshot),
    Contest(MatchKey, &'e ContestOutcome),
    Failure(&'e ProviderFailure),
}

/// A batch on its way through the rules.
pub(crate) struct Batch<'e> {
    steps: Vec<(&'e Event, &'e SourcePolicy, Step<'e>)>,
    matches: BTreeMap<MatchKey, Current>,
    funds: BTreeMap<(SourceName, CurrencyCode), Funds>,
}

/// A match while the batch is folded.
struct Current {
    match_no: i64,
    before: Option<MatchState>,
    state: Option<MatchState>,
    transfers: Vec<(Transfer, EventId, Timestamp)>,
    last: Option<(EventId, Timestamp)>,
    /// When the match ended, as far as it is known, and as it was known before the batch.
    ended_at: Option<Timestamp>,
    ended_before: Option<Timestamp>,
}

impl Current {
    /// Of several that tell the end that stands, the earliest says when it was, in whatever order they come.
    fn end_told(&mut self, event: &Event) {
        let at = event.occurred_at.unwrap_or(event.received_at);
        self.ended_at = Some(self.ended_at.map_or(at, |known| known.min(at)));
    }
}

/// What a batch does.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) changes: Vec<MatchChange>,
    pub(crate) anomalies: Vec<NewAnomaly>,
    pub(crate) notices: Vec<Notice>,
    /// Events that came after their match's end.
    pub(crate) late: u64,
}

impl<'e> Batch<'e> {
    pub(crate) fn new(policies: &'e BTreeMap<SourceName, SourcePolicy>, events: &'e [Event]) -> Result<Self> {
        let mut steps = Vec::with_capacity(events.len());
        for event in events {
            let policy = policies.get(&event.source).ok_or_else(|| {
                Error::rejected(format!(
                    "source {} is not configured, so its rules are not known",
                    event.source
                ))
            })?;
            let key = |kind, match_id: &str| MatchKey {
                source: event.source.clone(),
                kind,
                match_id: match_id.to_owned(),
            };
            let step = match &event.payload {
                Payload::MatchSnapshot(snapshot) => {
                    Step::Snapshot(key(snapshot.kind, &snapshot.match_id), snapshot)
                }
                Payload::ContestOutcome(contest) => {
                    Step::Contest(key(MatchKind::FreeToPlay, &contest.contest_id), contest)
                }
                Payload::ProviderFailure(failure) => Step::Failure(failure),
                other => {
                    return Err(Error::rejected(format!("{} is not for this worker", other.name().as_str())));
                }
            };
            steps.push((event, policy, step));
        }
        Ok(Self { steps, matches: BTreeMap::new(), funds: BTreeMap::new() })
    }

    /// Locks and reads every match of the batch, and the funds that its holds may need.
    pub(crate) async fn load(&mut self, tx: &Tx<'_>) -> Result<()> {
        let wanted: Vec<NewMatch<'_>> = self
            .steps
            .iter()
            .filter_map(|(event, policy, step)| {
                let (Step::Snapshot(key, _) | Step::Contest(key, _)) = step else { return None };
                Some(NewMatch { key, policy, event_id: event.id })
            })
            .collect();
        let loaded = load_in_tx(tx, &wanted).await?;
        let current = |LoadedMatch { match_no, state, ended_at }| Current {
            match_no,
            before: state.clone(),
            state,
            transfers: Vec::new(),
            last: None,
            ended_at,
            ended_before: ended_at,
        };
        self.matches = loaded.into_iter().map(|(key, loaded)| (key, current(loaded))).collect();
        let players = self.studio_players();
        if !players.is_empty() {
            self.funds = funds_in_tx(tx, &players).await?;
        }
        Ok(())
    }

    /// Everybody whose stake the studio may have to hold.
    fn studio_players(&self) -> BTreeSet<(SourceName, CurrencyCode, PlayerId)> {
        let mut players = BTreeSet::new();
        for (event, policy, step) in &self.steps {
            let Step::Snapshot(key, snapshot) = step else { continue };
            let known = self.matches.get(key).and_then(|current| current.state.as_ref());
            let (custody, currency) = known
                .map_or((policy.custody, &policy.currency.code), |state| (state.custody, &state.currency));
            if custody == Custody::Studio {
                let seated = known.into_iter().flat_map(|state| state.seats.keys());
                let all = snapshot.players().chain(seated);
                players.extend(all.map(|player| (event.source.clone(), currency.clone(), player.clone())));
            }
        }
        players
    }

    /// Folds the events in the order of their arrival.
    pub(crate) fn decide(mut self) -> Result<Decided> {
        let mut decided = Decided::default();
        for (event, policy, step) in std::mem::take(&mut self.steps) {
            match step {
                Step::Failure(failure) => {
                    decided.anomalies.extend(given_up(event, failure));
                }
                Step::Snapshot(key, snapshot) => {
                    let current = current(&mut self.matches, &key)?;
                    let currency = match &current.state {
                        Some(state) => state.currency.clone(),
                        None => policy.currency.code.clone(),
                    };
                    same_currency(snapshot, &currency)?;
                    let funds = self.funds.entry((event.source.clone(), currency)).or_default();
                    let trust = Trust { body_authenticated: event.provenance.body_authenticated };
                    let outcome =
                        apply(current.state.take(), snapshot, policy, funds, trust, event.received_at);
                    receive(funds, &outcome.transfers);
                    if tells_its_end(&outcome.state, snapshot) {
                        current.end_told(event);
                    }
                    take(current, &mut decided, event, outcome);
                }
                Step::Contest(key, contest) => {
                    let current = current(&mut self.matches, &key)?;
                    let outcome = apply_contest(current.state.take(), contest, policy);
                    if contest_tells_its_end(&outcome.state, contest) {
                        current.end_told(event);
                    }
                    take(current, &mut decided, event, outcome);
                }
            }
        }
        let changed = self.matches.into_values().filter_map(|current| {
            let (last_event, at) = current.last?;
            let Current { match_no, before, transfers, ended_at, ended_before, .. } = current;
            let state = current.state?;
            // An event that says nothing new writes nothing.
            let changed = before.as_ref() != Some(&state) || ended_at != ended_before;
            changed.then_some(MatchChange {
                match_no,
                before,
                state,
                transfers,
                last_event,
                at,
                ended_at,
                ended_before,
            })
        });
        decided.changes = changed.collect();
        Ok(decided)
    }
}

fn current<'m>(matches: &'m mut BTreeMap<MatchKey, Current>, key: &MatchKey) -> Result<&'m mut Current> {
    matches.get_mut(key).ok_or_else(|| Error::Stored {
        what: "match",
        source: "it is not there although it was just made".into(),
    })
}

/// What players won or got back may be held again by the next event, as if it were of another batch. Whose balance was
/// not looked at is not held from.
fn receive(funds: &mut Funds, transfers: &[Transfer]) {
    for transfer in transfers {
        let Account::Player(player) = &transfer.credit else { continue };
        if let Some(has) = funds.0.get_mut(player) {
            *has = has.saturating_add(transfer.amount);
        }
    }
}

/// Takes an outcome into the match and the batch's result.
fn take(current: &mut Current, decided: &mut Decided, event: &Event, outcome: Outcome) {
    let at = event.received_at;
    decided.anomalies.extend(tell::anomalies(&outcome, event.id));
    let notices = tell::notices(&outcome, event.occurred_at.unwrap_or(event.received_at));
    decided.notices.extend(notices.map(|notice| notice.because_of(event.id)));
    decided.late += u64::from(outcome.late);
    current.transfers.extend(outcome.transfers.into_iter().map(|transfer| (transfer, event.id, at)));
    current.last = Some((event.id, at));
    if outcome.state.settlement.is_some() && current.ended_at.is_none() {
        // What ends it tells no end: the end was told before, and could not be settled then.
        current.ended_at = Some(event.occurred_at.unwrap_or(event.received_at));
    }
    current.state = Some(outcome.state);
}

/// The provider has given something up: nobody but a person can go on from there.
fn given_up(event: &Event, failure: &ProviderFailure) -> Option<NewAnomaly> {
    if failure.will_retry != Some(false) {
        return None;
    }
    let request = failure.request_id.as_deref().unwrap_or_default();
    Some(NewAnomaly {
        key: format!("failure/{}/{}/{}/{request}", event.source, event.provider_type, failure.entity_id),
        kind: AnomalyKind::ProviderFailure.as_str(),
        source: event.source.clone(),
        subject: failure.entity_id.clone(),
        event_id: Some(event.id),
        detail: json!({ "event": event.provider_type, "code": failure.code, "what": failure.reason }),
    })
}

/// A match's currency is fixed: amounts of another one would be added to what is held.
fn same_currency(snapshot: &MatchSnapshot, currency: &CurrencyCode) -> Result<()> {
    snapshot.in_currency(currency).map_err(|other| {
        Error::rejected(format!("an amount is in {}, but the match's currency is {currency}", other.currency))
    })
}
