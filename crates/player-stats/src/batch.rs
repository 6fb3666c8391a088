use std::collections::BTreeMap;

use matchpurse_domain::event::{Event, MatchStatsSnapshot, Payload};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::stats::{Anomaly, MatchStats, Outcome, Totals, apply};
use matchpurse_store::anomalies::NewAnomaly;
use matchpurse_store::outbox::Notice;
use matchpurse_store::stats::{HistoryLine, Kick, StatsChange, StatsKey};
use serde_json::{Value, json};

use crate::notices;

/// A batch by what its events say, in the order of their arrival.
pub(crate) struct Batch<'e> {
    snapshots: Vec<(&'e Event, StatsKey, &'e MatchStatsSnapshot)>,
    kicks: Vec<Kick>,
    matches: BTreeMap<StatsKey, EventId>,
}

/// What a batch does.
#[derive(Default)]
pub(crate) struct Decided<'e> {
    pub(crate) changes: BTreeMap<StatsKey, StatsChange<'e>>,
    pub(crate) totals: BTreeMap<(SourceName, PlayerId), Totals>,
    pub(crate) anomalies: Vec<NewAnomaly>,
    pub(crate) notices: Vec<Notice>,
}

impl<'e> Batch<'e> {
    pub(crate) fn read(events: &'e [Event]) -> Self {
        let mut batch = Self { snapshots: Vec::new(), kicks: Vec::new(), matches: BTreeMap::new() };
        for event in events {
            let key =
                |match_id: &str| StatsKey { source: event.source.clone(), match_id: match_id.to_owned() };
            match &event.payload {
                Payload::MatchStatsSnapshot(snapshot) => {
                    let key = key(&snapshot.match_id);
                    batch.matches.entry(key.clone()).or_insert(event.id);
                    batch.snapshots.push((event, key, snapshot));
                }
                Payload::PlayerKicked(kick) => batch.kicks.push(Kick {
                    key: key(&kick.match_id),
                    player_id: kick.player_id.clone(),
                    event_id: event.id,
                    at: event.occurred_at.unwrap_or(event.received_at),
                }),
                _ => {}
            }
        }
        batch
    }

    /// The matches that snapshots speak of, each with the first event that does.
    pub(crate) const fn matches(&self) -> &BTreeMap<StatsKey, EventId> {
        &self.matches
    }

    pub(crate) fn kicks(&self) -> &[Kick] {
        &self.kicks
    }

    /// Everybody whom the batch names.
    pub(crate) fn players(&self) -> Vec<(SourceName, PlayerId)> {
        let mut players: Vec<_> =
            self.kicks.iter().map(|kick| (kick.key.source.clone(), kick.player_id.clone())).collect();
        for (event, _, snapshot) in &self.snapshots {
            let listed = snapshot.players.iter().map(|player| &player.player_id);
            let told_of = snapshot.history.iter().filter_map(|entry| entry.player_id.as_ref());
            players.extend(listed.chain(told_of).map(|player| (event.source.clone(), player.clone())));
        }
        players.sort_unstable();
        players.dedup();
        players
    }

    /// The lines of history that may be new: a snapshot that was taken brought all of its own.
    pub(crate) fn new_history(&self, known: &BTreeMap<StatsKey, Option<MatchStats>>) -> Vec<HistoryLine<'_>> {
        let mut lines = Vec::new();
        for (_, key, snapshot) in &self.snapshots {
            let kept = known.get(key).and_then(Option::as_ref).map_or(0, |state| state.history_len);
            let new = snapshot.history.iter().filter(|entry| entry.index >= kept);
            lines.extend(new.map(|entry| HistoryLine { key, entry }));
        }
        lines
    }

    /// Folds the snapshots, match by match.
    pub(crate) fn decide(&self, known: &BTreeMap<StatsKey, Option<MatchStats>>) -> Decided<'e> {
        let mut decided = Decided::default();
        let mut states: BTreeMap<&StatsKey, MatchStats> = BTreeMap::new();
        for (event, key, snapshot) in &self.snapshots {
            let loaded = known.get(key).and_then(Option::as_ref);
            let before = states.get(key).or(loaded);
            let outcome = apply(before, snapshot, event.occurred_at.unwrap_or(event.received_at));
            let changed = before != Some(&outcome.state);
            states.insert(key, decided.take(event, key, loaded, outcome, changed));
        }
        decided
    }
}

impl<'e> Decided<'e> {
    /// Takes what one snapshot does, and returns the match afterwards.
    fn take(
        &mut self,
        event: &Event,
        key: &StatsKey,
        loaded: Option<&MatchStats>,
        outcome: Outcome<'e>,
        changed: bool,
    ) -> MatchStats {
        if changed {
            let (state, event_id) = (outcome.state.clone(), event.id);
            let change = self.changes.entry(key.clone()).or_insert_with(|| StatsChange {
                state: state.clone(),
                lines: None,
                roster_changed: false,
                event_id,
                corrected_by: None,
            });
            // Players of an earlier snapshot of this batch were never written.
            change.roster_changed = loaded.is_some_and(|loaded| loaded.roster != state.roster);
            change.state = state;
            change.event_id = event_id;
            change.lines = outcome.lines.or_else(|| change.lines.take());
        }
        for (player, gain) in outcome.totals {
            self.totals.entry((event.source.clone(), player)).or_default().add(&gain);
        }
        if outcome.is_final {
            self.notices.push(notices::finished(event, key, &outcome.state));
        }
        self.anomalies.extend(outcome.anomaly.map(|anomaly| opened(event, key, &outcome.state, &anomaly)));
        outcome.state
    }
}

/// The anomaly's row. Its key has what was said now, so that each contradiction is opened once.
fn opened(event: &Event, key: &StatsKey, first: &MatchStats, anomaly: &Anomaly) -> NewAnomaly {
    let kind = anomaly.kind.as_str();
    let digest: String = anomaly.other.numbers.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    NewAnomaly {
        key: format!("stats/{}/{}/{kind}/{digest}", key.source, key.match_id),
        kind,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        event_id: Some(event.id),
        detail: json!({ "about": "statistics", "first": said(first), "other": said(&anomaly.other) }),
    }
}

fn said(state: &MatchStats) -> Value {
    json!({
        "rounds_played": state.rounds_played,
        "team1_score": state.team1.score,
        "team2_score": state.team2.score,
        "canceled": state.canceled,
        "cancel_reason": state.cancel_reason,
    })
}
