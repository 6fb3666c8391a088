//! Rewards: what was given or held, and what people decide about it.

pub(crate) mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::grants::GrantState;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::rewards::{self as operations, Author, Done};
use matchpurse_store::dispatch::{self, AttemptLine, DeliveryFilter, DeliveryLine, NoticeLine};
use matchpurse_store::grants::{self, GrantFilter, GrantLine};
use matchpurse_store::{Client, Store, now, redemptions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::view::{CallView, NoticeView, OperationView, RewardView, WholeView, WindowView};
use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::cursor::{self, List};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::refusal::{of_reward, unknown_reward};
use crate::request::{self, IdempotencyKey, Query};
use crate::wire::{Page, answer, answer_at, answer_one, cut, one_more};

/// The most notices of one grant, and deliveries of them, that are shown. It has one of each kind, and one delivery of
/// it an endpoint.
const NOTICES_MAX: i64 = 100;
const DELIVERIES_MAX: i64 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<String>,
    source: Option<String>,
    player: Option<String>,
    contest: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason)]
pub(crate) struct ReasonBody {
    pub(crate) reason: String,
}

/// What was done, and what the reward is now.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardDone)]
pub(crate) struct DoneView {
    operation: OperationView,
    reward: RewardView,
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { state, source, player, contest, cursor, limit } = query.0;
    let state = state.as_deref().map(state_of_query).transpose()?;
    let source = request::source_of_query(source.as_deref())?;
    let player = request::id_of_query("player", player, source.as_ref())?;
    let contest = request::id_of_query("contest", contest, source.as_ref())?;
    let before = request::cursor(List::Rewards, cursor.as_deref(), place)?;
    let limit = request::limit(limit.as_deref())?;
    let whose = source.map(|source| (source, player.map(PlayerId::new)));
    let filter = GrantFilter { state, whose, contest, before };
    let store = api.store.clone();
    let found =
        api.run(async move { Ok(grants::list(&store.client().await?, &filter, one_more(limit)).await?) });
    let found = found.await?;
    let place = |last: &GrantLine| format!("{}.{}", last.created_at.micros(), last.id);
    let (found, next) = cut(List::Rewards, found, limit, place);
    let items: Vec<RewardView> = found.into_iter().map(RewardView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

/// `state`, of the query.
pub(crate) fn state_of_query(text: &str) -> Result<GrantState> {
    let words = GrantState::ALL.map(GrantState::as_str).join(", ");
    GrantState::parse(text).ok_or_else(|| Failure::invalid_query("state", format!("expected one of {words}")))
}

pub(crate) fn place(text: &str) -> Option<(Timestamp, Uuid)> {
    let (micros, id) = text.split_once('.')?;
    Some((cursor::time(micros)?, Uuid::parse_str(id).ok()?))
}

/// A grant's id in the path.
pub(crate) fn grant(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| unknown_reward())
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = grant(&path)?;
    let handle = api.clone();
    let shown = api
        .run(async move {
            let client = handle.store.client().await?;
            let line = grants::find(&client, id).await?.ok_or_else(unknown_reward)?;
            whole(&handle, &client, line).await
        })
        .await?;
    Ok(answer_one(&shown))
}

async fn whole(api: &Api, client: &Client, line: GrantLine) -> Result<WholeView> {
    let source = line.contest.source.clone();
    let limits = api.limits(&source);
    let windows = grants::windows(client, line.id).await?;
    let currency = limits.map(|limits| limits.currency.clone());
    let currency = currency.or_else(|| api.policy(&source).ok().map(|policy| policy.currency.code.clone()));
    let operations = grants::operations(client, line.id).await?;
    Ok(WholeView {
        windows: windows
            .into_iter()
            .map(|window| WindowView::of(window, limits, currency.as_ref()))
            .collect(),
        operations: operations.into_iter().map(OperationView::of).collect(),
        notices: told_about(client, &source, &line.id.to_string())
            .await?
            .into_iter()
            .map(NoticeView::of)
            .collect(),
        provider_call: redemptions::of_grant(client, line.id).await?.map(CallView::of),
        payload: view::json(line.grant.payload.clone())?,
        cause: line.cause.to_string(),
        reward: RewardView::of(line),
    })
}

/// A notice, and how it fares at each endpoint: the delivery with its attempts.
pub(crate) struct Told {
    pub(crate) notice: NoticeLine,
    pub(crate) deliveries: Vec<(DeliveryLine, Vec<AttemptLine>)>,
}

/// All that the studio is told of a subject, and how that fares.
pub(crate) async fn told_about(client: &Client, source: &SourceName, subject: &str) -> Result<Vec<Told>> {
    let source = source.as_str();
    let notices = dispatch::notices_about(client, source, subject, NOTICES_MAX).await?;
    let filter = DeliveryFilter { subject: Some((source, subject)), ..DeliveryFilter::default() };
    let mut deliveries = dispatch::deliveries(client, &filter, DELIVERIES_MAX).await?;
    deliveries.reverse();
    let ids: Vec<i64> = deliveries.iter().map(|delivery| delivery.delivery_id).collect();
    let mut attempts = dispatch::attempts_of(client, &ids).await?;
    let mut told: Vec<Told> =
        notices.into_iter().map(|notice| Told { notice, deliveries: Vec::new() }).collect();
    for delivery in deliveries {
        let of_it = attempts.remove(&delivery.delivery_id).unwrap_or_default();
        if let Some(told) = told.iter_mut().find(|told| told.notice.webhook_id == delivery.webhook_id) {
            told.deliveries.push((delivery, of_it));
        }
    }
    Ok(told)
}

/// `POST /rewards/{grant_id}/release`
pub(crate) async fn release(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (id, author) = (grant(&path)?, author(&actor, &body.0.reason)?);
    let store = api.store.clone();
    let done = api.run(async move {
        let done = operations::release(&store, id, &author, now()).await.map_err(of_reward)?;
        told(&store, done).await
    });
    Ok(done_answer(done.await?, &actor))
}

/// `POST /rewards/{grant_id}/reverse`
pub(crate) async fn reverse(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (id, author) = (grant(&path)?, author(&actor, &body.0.reason)?);
    let store = api.store.clone();
    let done = api.run(async move {
        let done = operations::reverse(&store, id, &author, now()).await.map_err(of_reward)?;
        told(&store, done).await
    });
    Ok(done_answer(done.await?, &actor))
}

/// `POST /rewards/{grant_id}/retry`
pub(crate) async fn retry(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    key: IdempotencyKey,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    let (id, author) = (grant(&path)?, author(&actor, &body.0.reason)?);
    let key = key.required()?;
    let store = api.store.clone();
    let done = api.run(async move {
        let done = operations::retry(&store, id, &author, &key, now()).await.map_err(of_reward)?;
        told(&store, done).await
    });
    Ok(done_answer(done.await?, &actor))
}

/// Who does something, and why.
pub(crate) fn author(actor: &Actor, why: &str) -> Result<Author> {
    Ok(Author { actor: actor.as_str().to_owned(), reason: reason(why)? })
}

/// The operation as it is recorded: a repeat shows who did it first, and why.
async fn told(store: &Store, done: Done) -> Result<(bool, DoneView)> {
    let Done { grant, operation, repeated } = done;
    let found = recorded(&store.client().await?, grant.id, operation).await?;
    Ok((repeated, DoneView { operation: found, reward: RewardView::of(grant) }))
}

async fn recorded(client: &Client, grant: Uuid, id: EventId) -> Result<OperationView> {
    let operations = grants::operations(client, grant).await?;
    let found = operations.into_iter().find(|operation| operation.id == id);
    let lost = || Failure::internal(format!("operation {id} was done and is not there"));
    found.map(OperationView::of).ok_or_else(lost)
}

fn done_answer((repeated, done): (bool, DoneView), actor: &Actor) -> HttpResponse {
    let location = format!("/v1/rewards/{}", done.reward.grant_id());
    if !repeated {
        let (grant, actor) = (done.reward.grant_id(), actor.as_str());
        tracing::info!(grant, actor, kind = done.operation.kind(), "reward");
    }
    answer_at(if repeated { StatusCode::OK } else { StatusCode::CREATED }, &location, &done)
}
