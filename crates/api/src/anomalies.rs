//! What contradicts itself, and what people decide about it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_operations::anomalies::{Error, resolve};
use matchpurse_operations::rewards::Author;
use matchpurse_store::anomalies::{AnomalyFilter, AnomalyLine, find, page};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::cursor::List;
use crate::events::text;
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::parked::{number, resolved};
use crate::problems::Kind;
use crate::request::{self, Query};
use crate::wire::{Page, answer, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `open` (the default) or `resolved`.
    state: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AnomalyDecision)]
pub(crate) struct ResolveBody {
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Anomaly)]
pub(crate) struct AnomalyView {
    id: String,
    kind: String,
    source: String,
    subject: String,
    /// What showed it; its other side can be read under `/v1/events/{id}`.
    event_id: Option<String>,
    /// What an operator needs to decide.
    detail: Value,
    opened_at: Moment,
    resolved: Option<DecidedView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AnomalyResolution)]
pub(crate) struct DecidedView {
    at: Moment,
    by: String,
    /// The operation or correction that answered it, or why it stays as it is.
    resolution: String,
}

impl AnomalyView {
    fn of(line: AnomalyLine) -> Self {
        let resolved = line.resolved.map(|decided| DecidedView {
            at: decided.at.into(),
            by: decided.by,
            resolution: decided.resolution,
        });
        Self {
            id: line.id.to_string(),
            kind: line.kind,
            source: line.source,
            subject: line.subject,
            event_id: line.event_id.map(|id| id.to_string()),
            detail: line.detail,
            opened_at: line.at.into(),
            resolved,
        }
    }
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { state, kind, source, subject, cursor, limit } = query.0;
    let filter = AnomalyFilter {
        resolved: resolved(state.as_deref())?,
        kind: text("kind", kind)?,
        source: text("source", source)?,
        subject: text("subject", subject)?,
    };
    let before = request::cursor(List::Anomalies, cursor.as_deref(), number)?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let found =
        api.run(async move { Ok(page(&store.client().await?, &filter, before, limit).await?) }).await?;
    let next = found.next.map(|(id, _)| List::Anomalies.cursor(&id.to_string()));
    let items: Vec<AnomalyView> = found.lines.into_iter().map(AnomalyView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let store = api.store.clone();
    let found = api.run(async move { Ok(find(&store.client().await?, id).await?) }).await?;
    Ok(answer_one(&AnomalyView::of(found.ok_or_else(unknown)?)))
}

/// `POST /anomalies/{id}/resolve`
pub(crate) async fn decide(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ResolveBody>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let author = Author { actor: actor.as_str().to_owned(), reason: reason(&body.0.reason)? };
    let store = api.store.clone();
    let line = api.run(async move { resolve(&store, id, &author).await.map_err(failure) }).await?;
    tracing::info!(anomaly = line.id, kind = line.kind, actor = actor.as_str(), "anomaly resolved");
    Ok(answer(StatusCode::OK, &AnomalyView::of(line)))
}

pub(crate) fn unknown() -> Failure {
    Failure::new(Kind::UnknownAnomaly, "there is no anomaly of this number")
}

pub(crate) fn failure(error: Error) -> Failure {
    match error {
        Error::NoAnomaly => unknown(),
        Error::Resolved { .. } => Failure::new(Kind::AnomalyResolved, error.to_string()),
        Error::Store(error) => error.into(),
    }
}
