//! The archive: what came, as it came and as we understood it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_contracts::v1;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::events::{EventFilter, EventLine, Place, newest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::cursor::{self, List};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, Query};
use crate::wire::{Page, answer, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    source: Option<String>,
    subject: Option<String>,
    r#type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    id: String,
    /// The first event of the delivery that brought it.
    delivery_id: String,
    source: String,
    provider: String,
    /// Our name for what happened.
    payload: &'static str,
    /// The provider's.
    r#type: String,
    subject: String,
    occurred_at: Option<Moment>,
    received_at: Moment,
    archived_at: Moment,
    /// Its place in its source's chain of hashes.
    seq: i64,
    /// How it was verified: the request's method, and which of the source's keys vouched for it.
    method: Option<&'static str>,
    key: Option<&'static str>,
    /// Its place among the keys of that name in the configuration of that time, from 1, and how many they were.
    key_place: Option<u16>,
    keys_active: Option<u16>,
    /// Of a public key: the beginning of SHA-256 over its SubjectPublicKeyInfo, 16 hexadecimal digits.
    key_fingerprint: Option<String>,
    /// False where only the caller was authenticated, and not the body.
    body_authenticated: bool,
}

/// With everything that it says, and with the delivery's body.
#[derive(Serialize, ToSchema)]
#[schema(as = EventDetail)]
pub(crate) struct WholeView {
    #[serde(flatten)]
    outline: EventView,
    event: Value,
    /// JSON as such, anything else as text; secrets were blotted out before it was kept.
    #[schema(value_type = serde_json::Value)]
    body: Option<Value>,
}

impl EventView {
    pub(crate) fn of(line: &EventLine) -> Self {
        let event = &line.event;
        let vouched = event.provenance.vouched;
        let which = vouched.and_then(|vouched| vouched.which);
        Self {
            id: event.id.to_string(),
            delivery_id: event.delivery_id.to_string(),
            source: event.source.as_str().to_owned(),
            provider: event.provider.clone(),
            payload: event.payload.name().as_str(),
            r#type: event.provider_type.clone(),
            subject: event.subject.clone(),
            occurred_at: event.occurred_at.map(Moment),
            received_at: event.received_at.into(),
            archived_at: line.archived_at.into(),
            seq: line.seq,
            method: vouched.map(|vouched| vouched.method.as_str()),
            key: vouched.map(|vouched| vouched.key.as_str()),
            key_place: which.map(|which| which.place.get()),
            keys_active: which.map(|which| which.of),
            key_fingerprint: which.and_then(|which| which.fingerprint).map(|print| print.to_string()),
            body_authenticated: event.provenance.body_authenticated,
        }
    }
}

/// A text of the query, by its name.
pub(crate) fn text(field: &str, text: Option<String>) -> Result<Option<String>> {
    text.map(|text| request::id_text(field, text)).transpose()
}

/// A time of the query, by its name.
pub(crate) fn moment(field: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let read = |text| {
        Moment::parse(text).map(|moment| moment.0).ok_or_else(|| {
            let detail = "expected a time like 2026-11-22T10:00:00.123456Z, where a plus is written %2B";
            Failure::invalid_query(field, detail)
        })
    };
    text.map(read).transpose()
}

/// A body as it is shown; none where there is none.
pub(crate) fn shown_body(bytes: &[u8]) -> Option<Value> {
    let text = || Value::from(String::from_utf8_lossy(bytes));
    (!bytes.is_empty()).then(|| serde_json::from_slice(bytes).unwrap_or_else(|_| text()))
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { source, subject, r#type, from, to, cursor, limit } = query.0;
    let filter = EventFilter {
        source: text("source", source)?,
        subject: text("subject", subject)?,
        event_type: text("type", r#type)?,
        from: moment("from", from.as_deref())?,
        to: moment("to", to.as_deref())?,
    };
    let before = request::cursor(List::Events, cursor.as_deref(), place)?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let page =
        api.run(async move { Ok(newest(&store.client().await?, &filter, before, limit).await?) }).await?;
    let next = page.next.map(cursor_of);
    let items: Vec<EventView> = page.lines.iter().map(EventView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

pub(crate) fn cursor_of((at, id): Place) -> String {
    List::Events.cursor(&format!("{}.{id}", at.micros()))
}

pub(crate) fn place(text: &str) -> Option<Place> {
    let (at, id) = text.split_once('.')?;
    Some((cursor::time(at)?, EventId::from_uuid(Uuid::try_parse(id).ok()?)))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = Uuid::try_parse(&path).map(EventId::from_uuid).map_err(|_| unknown())?;
    let store = api.store.clone();
    let (found, raw) = api
        .run(async move {
            let found = store.archived(id).await?.ok_or_else(unknown)?;
            let raw = if found.event.raw.is_empty() {
                let first = store.archived(found.event.delivery_id).await?;
                first.map(|first| first.event.raw).unwrap_or_default()
            } else {
                found.event.raw.clone()
            };
            Ok((found, raw))
        })
        .await?;
    let event = Event { raw: Vec::new().into(), ..found.event };
    let line = EventLine { seq: found.seq, archived_at: found.archived_at, event };
    let outline = EventView::of(&line);
    let event = serde_json::to_value(v1::Event::from(line.event));
    let event = event.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(answer_one(&WholeView { outline, event, body: shown_body(&raw) }))
}

pub(crate) fn unknown() -> Failure {
    Failure::new(Kind::UnknownEvent, "the archive has no event of this id")
}
