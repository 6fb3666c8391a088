//! Results of matches, told by the studio's back-end, and how their providers were told of them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::corrections::key_of;
use matchpurse_operations::results::{
    Accepted, Author, Detail, GroupScore, PlayerScore, Request, Standing, Told, accept,
};
use matchpurse_store::dispatch::AttemptOutcome;
use matchpurse_store::escrow::MatchKey;
use matchpurse_store::match_results::{Decided, Report, of_match};
use matchpurse_store::{Client, now};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::Body;
use crate::failure::{Failure, Result};
use crate::matches::MatchQuery;
use crate::moment::Moment;
use crate::operation_failure::of_operation;
use crate::problems::Kind;
use crate::request::{self, IdempotencyKey, Query};
use crate::wire::{answer, answer_one};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMatchResult)]
pub(crate) struct ResultBody {
    /// Every side of the match, once.
    groups: Vec<GroupBody>,
    /// Players with points of their own; they decide nothing, and who is not named has those of the side.
    #[serde(default)]
    #[schema(required = false)]
    players: Vec<PlayerBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMatchResultGroup)]
struct GroupBody {
    /// The provider's id of the side.
    group_id: String,
    /// Its points. More are better.
    score: i64,
    /// It gave up or did not come: it is behind everybody who played.
    #[serde(default)]
    #[schema(required = false)]
    forfeit: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMatchResultPlayer)]
struct PlayerBody {
    /// The provider's id of the player.
    player_id: String,
    score: i64,
}

/// A match's result, as it was accepted.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchResult)]
pub(crate) struct ResultView {
    id: String,
    source: String,
    match_id: String,
    kind: &'static str,
    /// Every side.
    groups: Vec<GroupView>,
    /// Every player.
    players: Vec<PlayerView>,
    /// Who told it.
    actor: String,
    at: Moment,
    /// How the match's provider is told of it; none where the source's provider is not told of results.
    report: Option<ReportView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchResultGroup)]
struct GroupView {
    group_id: String,
    score: i64,
    forfeit: bool,
    /// From 1; who is equal shares a place, and all that forfeited share the last.
    place: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchResultPlayer)]
struct PlayerView {
    player_id: String,
    group_id: String,
    score: i64,
}

/// Telling a provider of a result.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchResultReport)]
struct ReportView {
    /// `waiting`; `told`; `refused`: the provider does not want it; `given_up`: it was tried often enough; `withdrawn`:
    /// somebody in it was erased before.
    state: &'static str,
    /// How many attempts of its schedule it has had.
    scheduled_attempts: i32,
    /// When it is made next, where it waits; while it is being made, when that would be given up as lost.
    next_attempt_at: Option<Moment>,
    /// The last attempt that has ended.
    last_attempt: Option<AttemptView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchResultReportAttempt)]
struct AttemptView {
    at: Moment,
    /// `delivered`, `refused`, `key_refused`, `throttled`, `not_sent`, `unknown` or `abandoned`.
    outcome: &'static str,
    /// Of the answer.
    status: Option<i32>,
    /// In words, or the beginning of the answer.
    detail: String,
}

impl From<ResultBody> for Told {
    fn from(body: ResultBody) -> Self {
        let group = |GroupBody { group_id, score, forfeit }| GroupScore { group_id, score, forfeit };
        let player = |PlayerBody { player_id, score }| PlayerScore { player_id, score };
        Self {
            groups: body.groups.into_iter().map(group).collect(),
            players: body.players.into_iter().map(player).collect(),
        }
    }
}

impl ResultView {
    fn of(key: &MatchKey, decided: Decided) -> Result<Self> {
        let Decided { operation, at, report } = decided;
        let unreadable = || Failure::internal(format!("the result {} cannot be read", operation.id));
        let Detail { result, players, places, .. } =
            Detail::read(&operation.detail).ok_or_else(unreadable)?;
        let group =
            |(GroupScore { group_id, score, forfeit }, place)| GroupView { group_id, score, forfeit, place };
        let player = |Standing { player_id, group_id, score }| PlayerView { player_id, group_id, score };
        Ok(Self {
            id: operation.id.to_string(),
            source: key.source.as_str().to_owned(),
            match_id: key.match_id.clone(),
            kind: key.kind.as_str(),
            groups: result.groups.into_iter().zip(places).map(group).collect(),
            players: players.into_iter().map(player).collect(),
            actor: operation.actor,
            at: at.into(),
            report: report.map(ReportView::of),
        })
    }
}

impl ReportView {
    fn of(report: Report) -> Self {
        let Report { state, attempts, next_attempt_at, last, last_status, last_detail } = report;
        let attempt = |(outcome, at): (AttemptOutcome, Timestamp)| AttemptView {
            at: at.into(),
            outcome: outcome.as_str(),
            status: last_status,
            detail: last_detail,
        };
        Self {
            state: state.as_str(),
            scheduled_attempts: attempts,
            next_attempt_at: next_attempt_at.map(Moment),
            last_attempt: last.map(attempt),
        }
    }
}

/// `GET /matches/{source}/{match}/result`
pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<MatchQuery>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let (source, match_id) = (request::source(&source)?, request::match_id(match_id)?);
    let kind = request::kind(query.0.kind.as_deref())?;
    let unknown = api.policy(&source).err();
    let store = api.store.clone();
    let found = api
        .run(async move {
            let client = store.client().await?;
            let key = key_of(&client, &source, &match_id, kind).await;
            let key = key.map_err(|error| failed(error, unknown))?;
            shown(&client, &key).await
        })
        .await?;
    let none = || Failure::new(Kind::UnknownResult, "nobody has told a result of this match");
    Ok(answer_one(&found.ok_or_else(none)?))
}

/// `POST /matches/{source}/{match}/result`
pub(crate) async fn tell(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    query: Query<MatchQuery>,
    key: IdempotencyKey,
    body: Body<ResultBody>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let source = request::source(&source)?;
    let report = api.readings.takes_results(&source);
    let kind = request::kind(query.0.kind.as_deref())?;
    let request =
        Request { match_id: request::match_id(match_id)?, kind, result: body.0.into(), report, source };
    let author = Author { actor: actor.as_str().to_owned(), idempotency_key: key.required()? };
    let unknown = api.policy(&request.source).err();
    let store = api.store.clone();
    let (repeated, view) = api
        .run(async move {
            let accepted = accept(&store, &request, &author, now()).await;
            let Accepted { key, repeated } = accepted.map_err(|error| failed(error, unknown))?;
            let lost = || Failure::internal(format!("the result of match {} is not there", key.match_id));
            let view = shown(&store.client().await?, &key).await?.ok_or_else(lost)?;
            if !repeated {
                let (actor, source, match_id) = (&author.actor, key.source.as_str(), &key.match_id);
                tracing::info!(result = view.id, actor, source, match_id, report, "result");
            }
            Ok((repeated, view))
        })
        .await?;
    Ok(answer(if repeated { StatusCode::OK } else { StatusCode::CREATED }, &view))
}

async fn shown(client: &Client, key: &MatchKey) -> Result<Option<ResultView>> {
    of_match(client, key).await?.map(|decided| ResultView::of(key, decided)).transpose()
}

/// Who asks for a match of an unknown source has likely mistyped it.
pub(crate) fn failed(error: matchpurse_operations::Error, unknown_source: Option<Failure>) -> Failure {
    match (error, unknown_source) {
        (matchpurse_operations::Error::NoMatch, Some(unknown)) => unknown,
        (error, _) => of_operation(error),
    }
}
