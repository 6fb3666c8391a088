//! What a replay would do, told.

use std::collections::BTreeMap;

use matchpurse_domain::event::Event;
use matchpurse_store::rehearsal::{Effect, Rows};
use matchpurse_worker_kit::Rehearsed;
use serde_json::{Value, json};

use crate::member::set;
use crate::moment::printable;
use crate::money::Coins;

/// What a replay would do.
#[derive(Default)]
pub(super) struct Report {
    /// The events that were looked at.
    pub(super) events: u64,
    /// What each would do, by the worker; only those that would do something.
    effects: Vec<(Named, Effect)>,
    /// Those that could not be applied.
    failures: Vec<(Named, String)>,
}

/// An event, and the worker.
struct Named {
    event_id: String,
    source: String,
    subject: String,
    payload: &'static str,
    worker: &'static str,
}

impl Named {
    fn text(&self) -> String {
        let Self { event_id, source, subject, payload, worker } = self;
        format!("{event_id} {payload} {source}/{} by {worker}", printable(subject))
    }

    fn json(&self) -> Value {
        let Self { event_id, source, subject, payload, worker } = self;
        json!({ "event_id": event_id, "source": source, "subject": subject, "payload": payload, "worker": worker })
    }
}

impl Report {
    pub(super) fn add(&mut self, event: &Event, rehearsed: Rehearsed) {
        let named = Named {
            event_id: event.id.to_string(),
            source: event.source.as_str().to_owned(),
            subject: event.subject.clone(),
            payload: event.payload.name().as_str(),
            worker: rehearsed.queue.worker(),
        };
        match rehearsed.outcome {
            Ok(effect) if effect.is_empty() => {}
            Ok(effect) => self.effects.push((named, effect)),
            Err(reason) => self.failures.push((named, reason)),
        }
    }

    /// Minor units by currency and kind of transfer.
    fn money(&self) -> BTreeMap<(String, String), i64> {
        let mut money = BTreeMap::new();
        for transfer in self.effects.iter().flat_map(|(_, effect)| &effect.transfers) {
            let sum: &mut i64 = money.entry((transfer.currency.clone(), transfer.kind.clone())).or_default();
            *sum = sum.saturating_add(transfer.amount);
        }
        money
    }

    fn rows(&self) -> BTreeMap<String, Rows> {
        let mut rows: BTreeMap<String, Rows> = BTreeMap::new();
        for (table, more) in self.effects.iter().flat_map(|(_, effect)| &effect.rows) {
            let sum = rows.entry(table.clone()).or_default();
            sum.added = sum.added.saturating_add(more.added);
            sum.changed = sum.changed.saturating_add(more.changed);
        }
        rows
    }

    /// What would change, an effect after the other, and the sums.
    pub(super) fn text(&self, coins: Coins<'_>) -> String {
        let mut lines = Vec::new();
        for (named, effect) in &self.effects {
            lines.push(named.text());
            lines.extend(of_effect(effect, coins));
        }
        for (named, reason) in &self.failures {
            lines.push(format!("{}: it could not be applied: {}", named.text(), printable(reason)));
        }
        for ((currency, kind), sum) in self.money() {
            lines.push(format!("would move: {kind} {}", coins.shown(sum, &currency)));
        }
        let (effects, failures) = (self.effects.len(), self.failures.len());
        lines.push(if effects == 0 && failures == 0 {
            format!("{} events, and nothing would change", self.events)
        } else {
            format!(
                "{} events; {effects} effects, {failures} that could not be applied; rows: {}",
                self.events,
                rows_text(&self.rows())
            )
        });
        lines.join("\n")
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = |rows: &BTreeMap<String, Rows>| {
            let row = |(table, rows): (&String, &Rows)| {
                (table.clone(), json!({ "added": rows.added, "changed": rows.changed }))
            };
            Value::Object(rows.iter().map(row).collect())
        };
        let effect = |(named, effect): &(Named, Effect)| {
            let mut whole = named.json();
            let transfers = effect.transfers.iter().map(|t| {
                json!({ "kind": t.kind, "minor_units": t.amount, "currency": t.currency, "player_id": t.player_id })
            });
            let worth =
                |(minor, currency): &(i64, String)| json!({ "minor_units": minor, "currency": currency });
            let grants = effect.grants.iter().map(|g| {
                let amount = g.amount.as_ref().map(worth);
                json!({ "kind": g.kind, "state": g.state, "player_id": g.player_id, "amount": amount })
            });
            let notices = effect.notices.iter();
            let notices = notices.map(|(kind, subject)| json!({ "kind": kind, "subject": subject }));
            set(&mut whole, "transfers", transfers.collect::<Value>());
            set(&mut whole, "grants", grants.collect::<Value>());
            set(&mut whole, "anomalies", effect.anomalies.clone());
            set(&mut whole, "notices", notices.collect::<Value>());
            set(&mut whole, "rows", rows(&effect.rows));
            whole
        };
        let failure = |(named, reason): &(Named, String)| {
            let mut whole = named.json();
            set(&mut whole, "reason", reason.as_str());
            whole
        };
        let money = |((currency, kind), sum): ((String, String), i64)| json!({ "kind": kind, "minor_units": sum, "currency": currency });
        json!({
            "events": self.events,
            "effects": self.effects.iter().map(effect).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
            "money": self.money().into_iter().map(money).collect::<Vec<_>>(),
            "rows": rows(&self.rows()),
        })
    }
}

/// What one effect would add and move, a line each.
fn of_effect(effect: &Effect, coins: Coins<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for moved in &effect.transfers {
        let player = moved.player_id.as_deref().map(|id| format!(", player {}", printable(id)));
        let amount = coins.shown(moved.amount, &moved.currency);
        lines.push(format!("  {} {amount}{}", moved.kind, player.unwrap_or_default()));
    }
    for grant in &effect.grants {
        let worth = grant.amount.as_ref().map(|(minor, currency)| coins.shown(*minor, currency));
        let player = printable(&grant.player_id);
        lines.push(format!(
            "  reward {} {}{} for player {player}",
            grant.kind,
            grant.state,
            worth.map_or_else(String::new, |w| format!(", {w},"))
        ));
    }
    lines.extend(effect.anomalies.iter().map(|kind| format!("  anomaly {kind}")));
    let notices = effect.notices.iter();
    lines.extend(notices.map(|(kind, subject)| format!("  notice {kind} {}", printable(subject))));
    lines.push(format!("  rows: {}", rows_text(&effect.rows)));
    lines
}

fn rows_text(rows: &BTreeMap<String, Rows>) -> String {
    let one = |(table, rows): (&String, &Rows)| match (rows.added, rows.changed) {
        (added, 0) => format!("{table} +{added}"),
        (0, changed) => format!("{table} ~{changed}"),
        (added, changed) => format!("{table} +{added} ~{changed}"),
    };
    rows.iter().map(one).collect::<Vec<_>>().join(", ")
}
