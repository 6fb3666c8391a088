//! What contradicts itself: both sides, and what a person decides.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::anomalies::resolve;
use matchpurse_operations::rewards::Author;
use matchpurse_store::anomalies::{AnomalyFilter, AnomalyLine, Decided, find, page};
use matchpurse_store::escrow::{MatchRecord, find_matches};
use serde::Deserialize;
use serde_json::Value;

use super::events::pretty;
use super::matches::{Shown, path_of};
use super::{
    Act, Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, done, given, html,
};
use crate::api::Api;
use crate::body::reason;
use crate::cursor::List;
use crate::failure::Result;
use crate::parked::number;
use crate::request::{self, Query};

const ROWS: u32 = 50;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "anomalies.html")]
struct AnomaliesPage {
    chrome: Chrome,
    resolved: bool,
    filtered: bool,
    source: Select,
    kind: String,
    subject: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    path: String,
    id: i64,
    kind: String,
    source: String,
    subject: String,
    what: String,
    opened: When,
    state: Chip,
}

/// What an anomaly says of itself, in words.
pub(super) fn what(detail: &Value) -> String {
    let said = |key: &str| detail.get(key)?.as_str();
    if let Some(said) = said("what").or_else(|| said("reason")) {
        return said.to_owned();
    }
    said("about").map_or_else(|| "see both sides".to_owned(), |about| format!("{about}: see both sides"))
}

pub(super) fn state(decided: Option<&Decided>) -> Chip {
    match decided {
        None => Chip::new(Tone::Warn, "waits for you"),
        Some(decided) => Chip::new(Tone::Good, format!("decided by {}", decided.by)),
    }
}

/// `GET /console/anomalies`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { state: of, source, kind, subject, cursor } = query.0;
    let (of, source, kind, subject) = (given(of), given(source), given(kind), given(subject));
    let resolved = crate::parked::resolved(of.as_deref())?;
    let filter = AnomalyFilter {
        resolved,
        kind: crate::events::text("kind", kind.clone().map(|kind| kind.replace(' ', "_")))?,
        source: crate::events::text("source", source.clone())?,
        subject: crate::events::text("subject", subject.clone())?,
    };
    let before = request::cursor(List::Anomalies, cursor.as_deref(), number)?;
    let store = api.store.clone();
    let found =
        api.run(async move { Ok(page(&store.client().await?, &filter, before, ROWS).await?) }).await?;
    let next = found.next.map(|(id, _)| List::Anomalies.cursor(&id.to_string()));
    let up_to = found.next.map(|(_, at)| at);
    let own = [
        ("state", of.as_deref()),
        ("source", source.as_deref()),
        ("kind", kind.as_deref()),
        ("subject", subject.as_deref()),
    ];
    html(&AnomaliesPage {
        chrome: visitor.chrome(Section::Anomalies),
        resolved,
        filtered: source.is_some() || kind.is_some() || subject.is_some(),
        source: Select::new("source", "Source", "all", api.sources(), source.as_deref()),
        pager: Pager::new(&address("/console/anomalies", &own), before.is_none(), next).short(
            found.lines.len(),
            ROWS,
            up_to,
        ),
        kind: kind.unwrap_or_default(),
        subject: subject.unwrap_or_default(),
        rows: found.lines.into_iter().map(Row::of).collect(),
    })
}

impl Row {
    fn of(line: AnomalyLine) -> Self {
        Self {
            path: format!("/console/anomalies/{}", line.id),
            id: line.id,
            kind: line.kind.replace('_', " "),
            what: what(&line.detail),
            opened: When::new(line.at),
            state: state(line.resolved.as_ref()),
            source: line.source,
            subject: line.subject,
        }
    }
}

#[derive(Template)]
#[template(path = "anomaly.html")]
struct AnomalyPage {
    chrome: Chrome,
    row: Row,
    subject_path: String,
    decided: Option<(When, Decided)>,
    /// What the anomaly noted beside its sides, by name.
    facts: Vec<(String, Fact)>,
    /// The two that contradict each other, as they were noted.
    sides: Option<Sides>,
    /// What stands now, of a match with money.
    stands: Vec<Shown>,
    /// What the event said that showed it.
    told: Option<Told>,
}

/// What an anomaly noted: a word, or an amount.
enum Fact {
    Text(String),
    Money(Money),
}

/// Two objects side by side.
struct Sides {
    left: String,
    right: String,
    /// Name, left, right, and whether they differ.
    rows: Vec<(String, String, String, bool)>,
}

struct Told {
    path: String,
    received: When,
    /// What it said of a match's end.
    end: Option<End>,
    event: String,
}

/// What an event says of who won.
struct End {
    status: String,
    /// Player, side, whether the side won, and what the provider says was paid.
    players: Vec<(String, String, Option<Chip>, Option<Money>)>,
}

/// `GET /console/anomalies/{id}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(crate::anomalies::unknown)?;
    let store = api.store.clone();
    let (line, records, event) = api
        .run(async move {
            let client = store.client().await?;
            let line = find(&client, id).await?.ok_or_else(crate::anomalies::unknown)?;
            let records: Vec<MatchRecord> = match SourceName::parse(&line.source) {
                Ok(source) => find_matches(&client, &source, &line.subject, None).await?,
                Err(_) => Vec::new(),
            };
            drop(client);
            let event = match line.event_id {
                Some(id) => store.archived(EventId::from_uuid(id)).await?,
                None => None,
            };
            Ok((line, records, event))
        })
        .await?;
    let told = event.map(|archived| {
        let end = End::of(&api, &archived.event.payload);
        let event = Event { raw: Vec::new().into(), ..archived.event };
        let (path, received) = (format!("/console/events/{}", event.id), When::new(event.received_at));
        // What is no JSON is shown on the event's own page.
        let said = serde_json::to_value(v1::Event::from(event)).unwrap_or_default();
        Told { path, received, end, event: pretty(&said) }
    });
    html(&AnomalyPage {
        chrome: visitor.chrome(Section::Anomalies),
        subject_path: path_of(&line.source, &line.subject),
        decided: line.resolved.clone().map(|decided| (When::new(decided.at), decided)),
        facts: facts(&api, &line.detail),
        sides: Sides::of(&line.detail),
        stands: records.into_iter().map(|record| Shown::of(&api, record)).collect(),
        told,
        row: Row::of(line),
    })
}

impl End {
    fn of(api: &Api, payload: &Payload) -> Option<Self> {
        let Payload::MatchSnapshot(snapshot) = payload else { return None };
        let mut players = Vec::new();
        for group in &snapshot.groups {
            let won = snapshot.winner_group_ids.contains(&group.group_id);
            for player in &group.players {
                let amount = player.reward.as_ref().and_then(|reward| reward.amount.as_ref());
                players.push((
                    player.player_id.as_str().to_owned(),
                    group.group_id.clone(),
                    won.then(|| Chip::new(Tone::Good, "won")),
                    amount.map(|amount| Money::new(api, amount.minor_units, amount.currency.as_str())),
                ));
            }
        }
        Some(Self { status: snapshot.provider_status.clone(), players })
    }
}

/// What a detail says beside its sides and what the page shows anyway. An amount goes with its currency.
fn facts(api: &Api, detail: &Value) -> Vec<(String, Fact)> {
    let Value::Object(members) = detail else { return Vec::new() };
    let currency = members.get("currency").and_then(Value::as_str);
    let money = |name: &str, value: &Value| -> Option<Fact> {
        let minor_units = value.as_i64().filter(|_| name == "held")?;
        Some(Fact::Money(Money::new(api, minor_units, currency?)))
    };
    let scalar = |(name, value): (&String, &Value)| {
        let shown = match value {
            Value::Object(_) | Value::Array(_) | Value::Null => return None,
            _ if matches!(name.as_str(), "what" | "currency") => return None,
            Value::String(text) => Fact::Text(text.clone()),
            other => money(name, other).unwrap_or_else(|| Fact::Text(other.to_string())),
        };
        let name = match name.as_str() {
            "held" => "in escrow then".to_owned(),
            "about" => "concerns".to_owned(),
            name => name.replace('_', " "),
        };
        Some((name, shown))
    };
    members.iter().filter_map(scalar).collect()
}

impl Sides {
    /// The first two objects of a detail; what was first is left.
    fn of(detail: &Value) -> Option<Self> {
        let objects = detail.as_object()?.iter().filter_map(|(name, value)| Some((name, value.as_object()?)));
        let mut objects = objects.collect::<Vec<_>>().into_iter();
        let ((left, one), (right, other)) = (objects.next()?, objects.next()?);
        let (one, other) = (lines(one), lines(other));
        let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        let row = |name: &String| {
            let (left, right) = (one.get(name), other.get(name));
            let text = |side: Option<&String>| side.map_or_else(|| "–".to_owned(), String::clone);
            (name.clone(), text(left), text(right), left != right)
        };
        Some(Self { left: left.clone(), right: right.clone(), rows: names.into_iter().map(row).collect() })
    }
}

/// What a side says, a line each. Of a list of players each has a line of his own, whatever their order.
fn lines(side: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for (name, value) in side {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let players =
            items.iter().filter_map(|item| Some((item.get("player_id")?.as_str()?, item.as_object()?)));
        let players: Vec<_> = players.collect();
        for (player, said) in &players {
            let said = said.iter().filter(|(member, value)| *member != "player_id" && !value.is_null());
            let said: Vec<String> = said
                .map(|(member, value)| format!("{} {}", member.replace('_', " "), pretty(value)))
                .collect();
            lines.insert(
                format!("player {player}"),
                if said.is_empty() { "named".to_owned() } else { said.join(", ") },
            );
        }
        match value {
            Value::Null => {}
            Value::Array(items) if items.is_empty() => {
                lines.insert(name.replace('_', " "), "none".to_owned());
            }
            _ if !players.is_empty() => {}
            value => {
                lines.insert(name.replace('_', " "), pretty(value));
            }
        }
    }
    lines
}

#[derive(Deserialize)]
pub(super) struct Decision {
    reason: String,
}

/// `POST /console/anomalies/{id}/resolve`
pub(super) async fn decide(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(crate::anomalies::unknown)?;
    let author = Author { actor: visitor.actor.as_str().to_owned(), reason: reason(&form.0.reason)? };
    let store = api.store.clone();
    let line =
        api.run(async move { resolve(&store, id, &author).await.map_err(crate::anomalies::failure) }).await?;
    tracing::info!(anomaly = line.id, kind = line.kind, actor = visitor.actor.as_str(), "anomaly resolved");
    Ok(done(&format!("/console/anomalies/{id}"), &format!("Anomaly {id} is decided.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_sides_are_compared_member_by_member() {
        let detail = json!({"about": "statistics", "first": {"a": 1, "b": 2}, "other": {"a": 1, "c": null}});
        let sides = Sides::of(&detail).unwrap();
        assert_eq!((sides.left.as_str(), sides.right.as_str()), ("first", "other"));
        let differ: Vec<(&str, bool)> = sides.rows.iter().map(|row| (row.0.as_str(), row.3)).collect();
        assert_eq!(differ, [("a", false), ("b", true)]);
        assert!(Sides::of(&json!({"what": "x"})).is_none());
    }

    #[test]
    fn players_are_compared_each_with_himself() {
        let player = |id: &str, outcome: &str, reference: Option<&str>| json!({"player_id": id, "outcome": outcome, "reward_ref": reference});
        let detail = json!({
            "first": {"ending": "finished", "entries": [player("ann", "WIN", Some("gold")), player("bob", "LOSS", None)]},
            "other": {"ending": "finished", "entries": [player("bob", "LOSS", None), player("ann", "LOSS", None)]},
        });
        let rows = Sides::of(&detail).unwrap().rows;
        let text: Vec<String> =
            rows.iter().map(|(of, one, other, differ)| format!("{of}: {one} | {other} | {differ}")).collect();
        assert_eq!(
            text,
            [
                "ending: finished | finished | false",
                "player ann: outcome WIN, reward ref gold | outcome LOSS | true",
                "player bob: outcome LOSS | outcome LOSS | false",
            ]
        );
    }
}
