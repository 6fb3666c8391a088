//! Whom operators take off a board, and let back.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_store::boards::{
    Decision, ExclusionPlace, exclude_in_tx, exclusions, is_known, readmit_in_tx,
};
use matchpurse_store::now;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{find, whose};
use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::cursor::{self, List};
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_player};
use crate::wire::{Page, answer, cut, one_more};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExclusionReason)]
pub(crate) struct ReasonBody {
    reason: String,
}

/// What was decided; asked for again, nothing changes.
#[derive(Serialize, ToSchema)]
#[schema(as = ExclusionDecision)]
pub(crate) struct Decided {
    board: String,
    source: String,
    player_id: String,
    excluded: bool,
    pub(crate) changed: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Exclusion {
    source: String,
    player_id: String,
    actor: String,
    reason: String,
    at: Moment,
}

/// `PUT /leaderboards/{board}/exclusions/{source}/{player}`
pub(crate) async fn exclude(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String, String)>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    Ok(answer(StatusCode::OK, &decide(&api, actor, path.into_inner(), &body.0.reason, true).await?))
}

/// `DELETE /leaderboards/{board}/exclusions/{source}/{player}`
pub(crate) async fn readmit(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String, String)>,
    body: Body<ReasonBody>,
) -> Result<HttpResponse> {
    Ok(answer(StatusCode::OK, &decide(&api, actor, path.into_inner(), &body.0.reason, false).await?))
}

/// Takes a player off a board, or lets one back.
///
/// # Errors
///
/// What the request is answered with: an unknown board or player, or no reason.
pub(crate) async fn decide(
    api: &Api,
    actor: Actor,
    path: (String, String, String),
    why: &str,
    excluded: bool,
) -> Result<Decided> {
    let (board, source, player) = whose(path)?;
    let decision = Decision {
        board,
        player: player.key(&source),
        actor: actor.as_str().to_owned(),
        reason: reason(why)?,
    };
    let unknown = api.not_found(&source, unknown_player());
    let store = api.store.clone();
    api.run(async move {
        let mut client = store.client().await?;
        find(&client, &decision.board).await?;
        if !is_known(&client, decision.player).await? {
            return Err(unknown);
        }
        let tx = client.begin().await?;
        let changed = match excluded {
            true => exclude_in_tx(&tx, &decision, now()).await?,
            false => readmit_in_tx(&tx, &decision, now()).await?,
        };
        tx.commit().await?;
        let board = decision.board.as_str().to_owned();
        if changed {
            let (actor, source) = (decision.actor.as_str(), source.as_str());
            tracing::info!(board, actor, source, excluded, "a player's place on a leaderboard was decided");
        }
        let (source, player_id) = (source.as_str().to_owned(), player.as_str().to_owned());
        Ok(Decided { board, source, player_id, excluded, changed })
    })
    .await
}

/// `GET /leaderboards/{board}/exclusions`
pub(crate) async fn list(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let board = super::board(&path.into_inner())?;
    let after = request::cursor(List::Exclusions, query.0.cursor.as_deref(), place)?;
    let limit = request::limit(query.0.limit.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            find(&client, &board).await?;
            let lines = exclusions(&client, &board, after, one_more(limit)).await?;
            let (lines, next) = cut(List::Exclusions, lines, limit, |last| {
                let ExclusionPlace { excluded_at, player } = last.place;
                format!("{}.{player}", excluded_at.micros())
            });
            let item = |line: matchpurse_store::boards::ExclusionLine| Exclusion {
                source: line.source.as_str().to_owned(),
                player_id: line.player_id.as_str().to_owned(),
                actor: line.actor,
                reason: line.reason,
                at: line.at.into(),
            };
            Ok(Page { items: lines.into_iter().map(item).collect(), next })
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

/// The place of a cursor.
fn place(text: &str) -> Option<ExclusionPlace> {
    let (at, player) = text.split_once('.')?;
    Some(ExclusionPlace { excluded_at: cursor::time(at)?, player: Uuid::parse_str(player).ok()? })
}
