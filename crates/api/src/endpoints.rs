//! Endpoints, to which the studio's notices go.

pub(crate) mod body;
pub(crate) mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::webhook::EndpointName;
use matchpurse_operations::endpoints::{self as operations, Added, Done};
use matchpurse_store::dispatch::{self, EndpointFilter, EndpointState, Origin, TEST};
use matchpurse_store::{Client, now};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::body::{ChangeBody, NewBody, SecretsBody};
use self::view::{EndpointView, SecretView, WholeView, secrets};
use crate::api::Api;
use crate::auth::Actor;
use crate::body::Body;
use crate::cursor::List;
use crate::deliveries::view::OperationView;
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::refusal::{of_endpoint, unknown_endpoint};
use crate::request::{self, IdempotencyKey, Query};
use crate::rewards::{ReasonBody, author};
use crate::wire::{Page, answer, answer_at, answer_one, cut, one_more};

/// The most records of what people did to one endpoint that are shown.
const OPERATIONS_MAX: i64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Why an endpoint is removed. Not every proxy lets a body of DELETE through, so it stands in the query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveQuery {
    reason: Option<String>,
}

/// The secrets that sign now.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointSecrets)]
pub(crate) struct SecretsView {
    secrets: Vec<SecretView>,
}

/// A trial that was begun.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointTest)]
pub(crate) struct TestView {
    webhook_id: String,
    endpoint: String,
    kind: &'static str,
    /// Where to look at what comes of it.
    deliveries: String,
}

/// An endpoint's name in the path.
pub(crate) fn name(text: &str) -> Result<EndpointName> {
    EndpointName::parse(text).map_err(|_| unknown_endpoint())
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { state, cursor, limit } = query.0;
    let read = |text: &str| {
        EndpointState::parse(text)
            .ok_or_else(|| Failure::invalid_query("state", "expected enabled, disabled or removed"))
    };
    let state = state.as_deref().map(read).transpose()?;
    let after = request::cursor(List::Endpoints, cursor.as_deref(), |place| EndpointName::parse(place).ok())?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let found = api.run(async move {
        let filter = EndpointFilter { state, after: after.as_ref().map(EndpointName::as_str) };
        Ok(dispatch::page_of_endpoints(&store.client().await?, &filter, one_more(limit).into()).await?)
    });
    let found = found.await?;
    let place = |last: &dispatch::EndpointLine| last.endpoint.spec.name.as_str().to_owned();
    let (found, next) = cut(List::Endpoints, found, limit, place);
    let items: Vec<EndpointView> = found.into_iter().map(|line| EndpointView::of(line, &api)).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let name = name(&path)?;
    let handle = api.clone();
    let shown = api.run(async move {
        let client = handle.store.client().await?;
        let line = dispatch::endpoint_line(&client, &name).await?.ok_or_else(unknown_endpoint)?;
        let operations = dispatch::operations_on_endpoint(&client, line.endpoint.id, OPERATIONS_MAX).await?;
        Ok(WholeView {
            secrets: shown_secrets(&client, &line, Vec::new()).await?,
            endpoint: EndpointView::of(line, &handle),
            operations: operations.into_iter().map(OperationView::of).collect(),
        })
    });
    Ok(answer_one(&shown.await?))
}

/// None of the configuration's: they are not in the database.
async fn shown_secrets(
    client: &Client,
    line: &dispatch::EndpointLine,
    made: Vec<operations::MadeSecret>,
) -> Result<Option<Vec<SecretView>>> {
    if line.endpoint.origin == Origin::Configuration {
        return Ok(None);
    }
    let lines = dispatch::secret_lines(client, line.endpoint.id).await?;
    Ok(Some(secrets(lines, made)))
}

/// `POST /endpoints`
pub(crate) async fn add(
    api: web::Data<Api>,
    actor: Actor,
    key: IdempotencyKey,
    body: Body<NewBody>,
) -> Result<HttpResponse> {
    let author = author(&actor, &body.0.reason)?;
    let (spec, choices) = body.0.read(&api)?;
    let key = key.required()?;
    let handle = api.clone();
    let (repeated, shown) = api
        .run(async move {
            let added = operations::add(&handle.store, &spec, &choices, &author, &key).await;
            let Added { endpoint: line, made, repeated } = added.map_err(of_endpoint)?;
            let client = handle.store.client().await?;
            let secrets = shown_secrets(&client, &line, made).await?;
            let endpoint = EndpointView::of(line, &handle);
            Ok((repeated, WholeView { endpoint, secrets, operations: Vec::new() }))
        })
        .await?;
    let location = format!("/v1/endpoints/{}", shown.endpoint.name());
    if !repeated {
        tracing::info!(endpoint = shown.endpoint.name(), actor = actor.as_str(), "endpoint added");
    }
    Ok(answer_at(if repeated { StatusCode::OK } else { StatusCode::CREATED }, &location, &shown))
}

/// `PATCH /endpoints/{name}`
pub(crate) async fn change(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ChangeBody>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&actor, &body.0.reason)?);
    let change = body.0.read(&api)?;
    let store = api.store.clone();
    let done =
        api.run(async move {
            operations::change(&store, &name, change, &author, now()).await.map_err(of_endpoint)
        })
        .await?;
    Ok(done_answer(done, &api, &actor, "changed"))
}

/// `DELETE /endpoints/{name}`
pub(crate) async fn remove(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    query: Query<RemoveQuery>,
) -> Result<HttpResponse> {
    let name = name(&path)?;
    let said = query.0.reason.unwrap_or_default();
    let author = author(&actor, &said)
        .map_err(|_| Failure::invalid_query("reason", "say why, in at most 1000 characters: ?reason=…"))?;
    let store = api.store.clone();
    let done =
        api.run(async move { operations::remove(&store, &name, &author, now()).await.map_err(of_endpoint) });
    Ok(done_answer(done.await?, &api, &actor, "removed"))
}

/// `POST /endpoints/{name}/enable`
pub(crate) async fn enable(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&actor, &body.0.reason)?);
    let store = api.store.clone();
    let done = api.run(async move { operations::enable(&store, &name, &author).await.map_err(of_endpoint) });
    Ok(done_answer(done.await?, &api, &actor, "enabled"))
}

/// `POST /endpoints/{name}/disable`
pub(crate) async fn disable(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&actor, &body.0.reason)?);
    let store = api.store.clone();
    let done =
        api.run(async move { operations::disable(&store, &name, &author, now()).await.map_err(of_endpoint) });
    Ok(done_answer(done.await?, &api, &actor, "disabled"))
}

fn done_answer(done: Done, api: &Api, actor: &Actor, what: &str) -> HttpResponse {
    let shown = EndpointView::of(done.endpoint, api);
    if done.changed {
        tracing::info!(endpoint = shown.name(), actor = actor.as_str(), what, "endpoint");
    }
    answer(StatusCode::OK, &shown)
}

/// `PUT /endpoints/{name}/secrets`
pub(crate) async fn set_secrets(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<SecretsBody>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&actor, &body.0.reason)?);
    let choices = body.0.read()?;
    let store = api.store.clone();
    let shown = name.clone();
    let set =
        api.run(async move {
            operations::set_secrets(&store, &name, &choices, &author).await.map_err(of_endpoint)
        })
        .await?;
    tracing::info!(endpoint = %shown, actor = actor.as_str(), "endpoint's secrets set");
    Ok(answer(StatusCode::OK, &SecretsView { secrets: secrets(set.secrets, set.made) }))
}

/// `POST /endpoints/{name}/test`
pub(crate) async fn test(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    key: IdempotencyKey,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&actor, &body.0.reason)?);
    let key = key.required()?;
    let store = api.store.clone();
    let endpoint = name.to_string();
    let tested = api
        .run(async move { operations::test(&store, &name, &author, &key, now()).await.map_err(of_endpoint) })
        .await?;
    let deliveries = format!("/v1/deliveries?webhook_id={}", tested.webhook_id);
    let shown = TestView {
        webhook_id: tested.webhook_id.to_string(),
        endpoint,
        kind: TEST,
        deliveries: deliveries.clone(),
    };
    let status = if tested.repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_at(status, &deliveries, &shown))
}
