//! Deliveries that could not be applied.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::{v1, wire};
use matchpurse_domain::event::{Event, Kept};
use matchpurse_operations::parked::{Author, Done, Error, discard, replay};
use matchpurse_store::Store;
use matchpurse_store::parked::{Parked, ParkedFilter, ParkedKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::cursor::List;
use crate::events::{moment, shown_body, text};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, Query};
use crate::wire::{Page, answer, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `open` (the default) or `resolved`.
    state: Option<String>,
    worker: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    r#type: Option<String>,
    since: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ParkedDecision)]
pub(crate) struct ResolveBody {
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ParkedDelivery)]
pub(crate) struct ParkedView {
    id: String,
    event_id: String,
    /// Whose it was; a queue's name where it is no worker's.
    worker: String,
    /// `technical`, `unrecognized` or `dead_letter`.
    kind: &'static str,
    /// Why, in words.
    reason: String,
    source: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
    traceparent: Option<String>,
    parked_at: Moment,
    resolved: Option<ResolvedView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ParkedResolution)]
pub(crate) struct ResolvedView {
    at: Moment,
    /// `replayed` or `discarded`.
    resolution: String,
    by: String,
    reason: String,
    /// The events that came of what nobody could read.
    events: Vec<String>,
}

/// With what was parked.
#[derive(Serialize, ToSchema)]
#[schema(as = ParkedDetail)]
pub(crate) struct WholeView {
    #[serde(flatten)]
    outline: ParkedView,
    /// None where it is no event.
    #[schema(value_type = serde_json::Value)]
    event: Option<Value>,
    /// The delivery's body: JSON as such, anything else as text.
    #[schema(value_type = serde_json::Value)]
    body: Option<Value>,
}

impl ParkedView {
    fn of(parked: Parked) -> Self {
        let resolved = parked.resolved.map(|resolved| ResolvedView {
            at: resolved.at.into(),
            resolution: resolved.resolution,
            by: resolved.by,
            reason: resolved.reason,
            events: resolved.became.iter().map(ToString::to_string).collect(),
        });
        Self {
            id: parked.id.to_string(),
            event_id: parked.event_id.to_string(),
            worker: Queue::by_name(&parked.queue).map_or(parked.queue, |queue| queue.worker().to_owned()),
            kind: parked.kind.as_str(),
            reason: parked.reason,
            source: parked.source,
            r#type: parked.event_type,
            subject: parked.subject,
            traceparent: parked.traceparent,
            parked_at: parked.parked_at.into(),
            resolved,
        }
    }
}

/// Reads `state`, of the query: true for what is resolved.
pub(crate) fn resolved(state: Option<&str>) -> Result<bool> {
    match state {
        None | Some("open") => Ok(false),
        Some("resolved") => Ok(true),
        Some(_) => Err(Failure::invalid_query("state", "expected open or resolved")),
    }
}

/// Reads the number of something that has one.
pub(crate) fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| *number > 0)
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { state, worker, kind, source, r#type, since, cursor, limit } = query.0;
    let kind = kind.as_deref().map(|word| {
        ParkedKind::parse(word)
            .ok_or_else(|| Failure::invalid_query("kind", "expected technical, unrecognized or dead_letter"))
    });
    let queue = |text: String| {
        let known = Queue::ALL.into_iter().find(|queue| queue.worker() == text);
        known.map_or(text, |queue| queue.name().to_owned())
    };
    let filter = ParkedFilter {
        resolved: resolved(state.as_deref())?,
        queue: text("worker", worker)?.map(queue),
        kind: kind.transpose()?,
        source: text("source", source)?,
        event_type: text("type", r#type)?,
        since: moment("since", since.as_deref())?,
    };
    let before = request::cursor(List::Parked, cursor.as_deref(), number)?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let found = api.run(async move { Ok(store.parked_page(&filter, before, limit).await?) }).await?;
    let next = found.next.map(|(id, _)| List::Parked.cursor(&id.to_string()));
    let items: Vec<ParkedView> = found.lines.into_iter().map(ParkedView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let parked = store.parked_by_id(id).await?.ok_or_else(unknown)?;
            whole(&store, parked).await
        })
        .await?;
    Ok(answer_one(&shown))
}

async fn whole(store: &Store, mut parked: Parked) -> Result<WholeView> {
    let bytes = std::mem::take(&mut parked.body);
    let outline = ParkedView::of(parked);
    let Ok(event) = wire::decode(&bytes) else {
        return Ok(WholeView { outline, event: None, body: shown_body(&bytes) });
    };
    let mut raw = event.raw.clone();
    if raw.is_empty() {
        // The delivery's first event has it.
        let first = store.archived(event.delivery_id).await?;
        raw = first.map(|first| first.event.raw).unwrap_or_default();
    }
    let event = serde_json::to_value(v1::Event::from(Event { raw: Vec::new().into(), ..event }));
    let event = event.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(WholeView { outline, event: Some(event), body: shown_body(&raw) })
}

/// `POST /parked/{id}/replay`
pub(crate) async fn again(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ResolveBody>,
) -> Result<HttpResponse> {
    let (id, author) = asked(&path, &actor, &body.0)?;
    let (store, readings, outlet) = (api.store.clone(), Arc::clone(&api.readings), api.outlet);
    let done = api
        .run(async move {
            let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
            replay(&store, id, &author, &read, outlet).await.map_err(failure)
        })
        .await?;
    Ok(resolved_answer(done, &actor))
}

/// `POST /parked/{id}/discard`
pub(crate) async fn unwanted(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ResolveBody>,
) -> Result<HttpResponse> {
    let (id, author) = asked(&path, &actor, &body.0)?;
    let store = api.store.clone();
    let done = api.run(async move { discard(&store, id, &author).await.map_err(failure) }).await?;
    Ok(resolved_answer(done, &actor))
}

fn asked(path: &str, actor: &Actor, body: &ResolveBody) -> Result<(i64, Author)> {
    let id = number(path).ok_or_else(unknown)?;
    Ok((id, Author { actor: actor.as_str().to_owned(), reason: reason(&body.reason)? }))
}

/// It is done once in its life, so a repeat needs no key: it is told what was done.
fn resolved_answer(done: Done, actor: &Actor) -> HttpResponse {
    if !done.repeated {
        let resolution = done.parked.resolved.as_ref().map(|resolved| resolved.resolution.as_str());
        tracing::info!(parked = done.parked.id, resolution, actor = actor.as_str(), "parked delivery");
    }
    answer(StatusCode::OK, &ParkedView::of(done.parked))
}

pub(crate) fn unknown() -> Failure {
    Failure::new(Kind::UnknownParked, "there is no parked delivery of this number")
}

pub(crate) fn failure(error: Error) -> Failure {
    match error {
        Error::NoParked => unknown(),
        Error::Resolved { .. } => Failure::new(Kind::ParkedResolved, error.to_string()),
        Error::NoEvent(_) => Failure::new(Kind::ParkedNoEvent, error.to_string()),
        Error::NotArchived | Error::Unreadable(_) => Failure::new(Kind::ParkedUnreadable, error.to_string()),
        Error::Store(error) => error.into(),
    }
}
