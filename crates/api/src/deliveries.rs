//! Deliveries: what is sent to which endpoint, what came of it, and having it sent again.

pub(crate) mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::webhook::EndpointName;
use matchpurse_operations::deliveries as operations;
use matchpurse_store::dispatch::{self, DeliveryState, PageFilter};
use matchpurse_store::now;
use serde::Deserialize;
use uuid::Uuid;

use self::view::{AttemptView, DeliveryView, OperationView, WholeView};
use crate::api::Api;
use crate::auth::Actor;
use crate::body::Body;
use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::refusal::{of_delivery, unknown_delivery};
use crate::request::{self, IdempotencyKey, Query};
use crate::rewards::{ReasonBody, author};
use crate::wire::{Page, answer, answer_at, answer_one};

/// The most records of what people did to one delivery that are shown.
const OPERATIONS_MAX: i64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    endpoint: Option<String>,
    state: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    webhook_id: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { endpoint, state, kind, source, subject, webhook_id, cursor, limit } = query.0;
    let state = state.as_deref().map(state_of_query).transpose()?;
    let name = |text: &str| {
        EndpointName::parse(text).map_err(|error| Failure::invalid_query("endpoint", error.to_string()))
    };
    let endpoint = endpoint.as_deref().map(name).transpose()?;
    let kind = kind.map(|text| request::id_text("kind", text)).transpose()?;
    let source = request::source_of_query(source.as_deref())?;
    let subject = request::id_of_query("subject", subject, source.as_ref())?;
    let id = |text: &str| {
        Uuid::parse_str(text).map_err(|_| Failure::invalid_query("webhook_id", "expected a UUID"))
    };
    let webhook_id = webhook_id.as_deref().map(id).transpose()?;
    let before = request::cursor(List::Deliveries, cursor.as_deref(), |place| place.parse().ok())?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let found = api.run(async move {
        let filter = PageFilter {
            endpoint: endpoint.as_ref().map(EndpointName::as_str),
            state,
            kind: kind.as_deref(),
            source: source.as_ref().map(|source| source.as_str()),
            subject: subject.as_deref(),
            webhook_id,
            before,
        };
        Ok(dispatch::page_of_deliveries(&store.client().await?, &filter, limit).await?)
    });
    let found = found.await?;
    let next = found.next.map(|place| List::Deliveries.cursor(&place.to_string()));
    let items: Vec<DeliveryView> = found.lines.into_iter().map(DeliveryView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

/// `state`, of the query.
pub(crate) fn state_of_query(text: &str) -> Result<DeliveryState> {
    let words = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    DeliveryState::parse(text)
        .ok_or_else(|| Failure::invalid_query("state", format!("expected one of {words}")))
}

/// A delivery's number in the path.
pub(crate) fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| unknown_delivery())
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = number(&path)?;
    let store = api.store.clone();
    let shown = api.run(async move {
        let client = store.client().await?;
        let line = dispatch::delivery(&client, id).await?.ok_or_else(unknown_delivery)?;
        let body = dispatch::body_of(&client, line.webhook_id).await?;
        let attempts = dispatch::attempts_of(&client, &[id]).await?.remove(&id).unwrap_or_default();
        let operations = dispatch::operations_on_delivery(&client, id, OPERATIONS_MAX).await?;
        Ok(WholeView {
            delivery: DeliveryView::of(line),
            attempts: attempts.into_iter().map(AttemptView::of).collect(),
            operations: operations.into_iter().map(OperationView::of).collect(),
            // It is JSON that the dispatcher made.
            body: body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    });
    Ok(answer_one(&shown.await?))
}

/// `POST /deliveries/{id}/retry`
pub(crate) async fn retry(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    key: IdempotencyKey,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (id, author) = (number(&path)?, author(&actor, &body.0.reason)?);
    let key = key.required()?;
    let store = api.store.clone();
    let done = api
        .run(async move { operations::retry(&store, id, &author, &key, now()).await.map_err(of_delivery) })
        .await?;
    if !done.repeated {
        let (endpoint, actor) = (done.delivery.endpoint.as_str(), actor.as_str());
        tracing::info!(delivery = id, endpoint, actor, "delivery sent again");
    }
    let status = if done.repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_at(status, &format!("/v1/deliveries/{id}"), &DeliveryView::of(done.delivery)))
}
