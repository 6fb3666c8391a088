//! One event: the delivery that brought it, what we made of it, and what came of that.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_contracts::v1;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_store::story::{self, Fate};
use uuid::Uuid;

use super::components::duration;
use super::matches::path_of;
use super::{Chip, Chrome, Money, Section, Tone, Visitor, When, html};
use crate::api::Api;
use crate::events::{shown_body, unknown};
use crate::failure::{Failure, Result};

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    chrome: Chrome,
    id: String,
    source: String,
    provider: String,
    provider_type: String,
    payload: &'static str,
    subject: String,
    subject_path: String,
    received: When,
    archived: When,
    /// From the provider's own time to ours.
    under_way: Option<String>,
    seq: i64,
    /// How we know that it is the provider's.
    vouched: String,
    /// Name, what became of it there, when, and what there is to say.
    workers: Vec<(&'static str, Chip, Option<When>, String)>,
    siblings: Vec<(String, String)>,
    effects: Vec<(When, String, String, Option<Money>)>,
    body: Option<String>,
    event: String,
}

/// `GET /console/events/{id}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let id = Uuid::try_parse(&path).map(EventId::from_uuid).map_err(|_| unknown())?;
    let store = api.store.clone();
    let found = api.run(async move { Ok(story::of_event(&store.client().await?, id).await?) }).await?;
    let story = found.ok_or_else(unknown)?;
    let body = shown_body(&story.event.raw).map(|value| pretty(&value));
    let event = Event { raw: Vec::new().into(), ..story.event };
    let shown = serde_json::to_value(v1::Event::from(event.clone()));
    let shown = shown.map_err(|error| Failure::internal(error.to_string()))?;
    let under_way = event.occurred_at.map(|at| event.received_at.micros().saturating_sub(at.micros()));
    let own = event.id;
    html(&EventPage {
        chrome: visitor.chrome(Section::Flow),
        id: event.id.to_string(),
        source: event.source.as_str().to_owned(),
        provider: event.provider.clone(),
        provider_type: event.provider_type.clone(),
        payload: event.payload.name().as_str(),
        subject_path: path_of(event.source.as_str(), &event.subject),
        subject: event.subject.clone(),
        received: When::new(event.received_at),
        archived: When::new(story.archived_at),
        under_way: under_way.filter(|micros| *micros >= 0).map(duration),
        seq: story.seq,
        vouched: vouched(&event),
        workers: story.workers.into_iter().map(|(queue, fate)| worker(queue.worker(), fate)).collect(),
        siblings: story
            .delivery
            .into_iter()
            .filter(|(id, _, _)| *id != own)
            .map(|(id, payload, subject)| {
                (format!("/console/events/{id}"), format!("{payload} of {subject}"))
            })
            .collect(),
        effects: story
            .effects
            .into_iter()
            .map(|line| {
                let amount = line.amount.map(|(minor, currency)| Money::new(&api, minor, &currency));
                (When::new(line.at), line.what.replace('_', " "), line.detail, amount)
            })
            .collect(),
        body,
        event: pretty(&shown),
    })
}

/// JSON over several lines; a text as it is.
pub(super) fn pretty(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

fn vouched(event: &Event) -> String {
    let by = event.provenance.vouched.map(|vouched| {
        let which = vouched.which.map(|which| format!(", number {} of {}", which.place, which.of));
        format!("key `{}`{}", vouched.key.as_str(), which.unwrap_or_default())
    });
    let what =
        if event.provenance.body_authenticated { "the body is signed" } else { "only the caller is known" };
    by.map_or_else(|| what.to_owned(), |by| format!("{by}; {what}"))
}

fn worker(name: &'static str, fate: Fate) -> (&'static str, Chip, Option<When>, String) {
    match fate {
        Fate::Applied(at) => (name, Chip::new(Tone::Good, "applied"), Some(When::new(at)), String::new()),
        Fate::Tried { attempts, error } => {
            let times = if attempts == 1 { "attempt" } else { "attempts" };
            let words = format!("after {attempts} {times}: {error}");
            (name, Chip::new(Tone::Warn, "tried again"), None, words)
        }
        Fate::Parked { id, reason, resolved: None } => {
            (name, Chip::new(Tone::Bad, "parked"), None, format!("number {id}: {reason}"))
        }
        Fate::Parked { id, resolved: Some((resolution, by)), .. } => (
            name,
            Chip::new(Tone::Quiet, "parked before"),
            None,
            format!("number {id}, {resolution} by {by}"),
        ),
        Fate::Unknown => {
            let words = "on its way, or applied longer ago than is remembered";
            (name, Chip::new(Tone::Quiet, "not known"), None, words.to_owned())
        }
    }
}
