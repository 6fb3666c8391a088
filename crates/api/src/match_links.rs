//! Which match on a game server decides a match.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_operations::corrections::key_of;
use matchpurse_operations::match_links::{Request, link};
use matchpurse_store::escrow::MatchKey;
use matchpurse_store::match_links::{Link, find};
use matchpurse_store::now;
use matchpurse_store::stats::StatsKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::Body;
use crate::failure::{Failure, Result};
use crate::matches::MatchQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, Query, is_id};
use crate::results::failed;
use crate::wire::{answer, answer_one};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMatchLink)]
pub(crate) struct LinkBody {
    /// The match whose final decides.
    decided_by: DecidedBy,
    /// The side that its first team stands for.
    team1: String,
    /// The side that its second team stands for.
    team2: String,
}

/// A match on a game server.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LinkedMatch)]
pub(crate) struct DecidedBy {
    /// Its source, which the configuration must trust with it (`decides_linked`).
    source: String,
    match_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchLink)]
pub(crate) struct LinkView {
    source: String,
    match_id: String,
    kind: &'static str,
    decided_by: DecidedBy,
    team1: String,
    team2: String,
    /// `waiting`; `decided`: the match has its result; `failed`: the linked match has ended without one.
    state: &'static str,
    /// Why it has failed.
    failure: Option<String>,
    at: Moment,
}

impl LinkView {
    fn of(key: MatchKey, link: Link) -> Self {
        let Link { decided_by: StatsKey { source, match_id }, team1, team2, state, failure, at, .. } = link;
        Self {
            source: key.source.as_str().to_owned(),
            match_id: key.match_id,
            kind: key.kind.as_str(),
            decided_by: DecidedBy { source: source.as_str().to_owned(), match_id },
            team1,
            team2,
            state: state.as_str(),
            failure,
            at: at.into(),
        }
    }
}

/// `GET /matches/{source}/{match}/links`
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
            let link = find(&client, &key).await?;
            Ok(link.map(|link| LinkView::of(key, link)))
        })
        .await?;
    let none = || Failure::new(Kind::UnknownLink, "no other match decides this one");
    Ok(answer_one(&found.ok_or_else(none)?))
}

/// `PUT /matches/{source}/{match}/links`
pub(crate) async fn put(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    query: Query<MatchQuery>,
    body: Body<LinkBody>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let source = request::source(&source)?;
    let LinkBody { decided_by, team1, team2 } = body.0;
    let request = Request {
        match_id: request::match_id(match_id)?,
        kind: request::kind(query.0.kind.as_deref())?,
        decided_by: deciding(&api, decided_by)?,
        teams: (team1, team2),
        report: api.readings.takes_results(&source),
        source,
    };
    let unknown = api.policy(&request.source).err();
    let store = api.store.clone();
    let view = api
        .run(async move {
            let linked = link(&store, &request, actor.as_str(), now()).await;
            let key = linked.map_err(|error| failed(error, unknown))?;
            let lost = || Failure::internal(format!("the link of match {} is not there", key.match_id));
            let link = find(&store.client().await?, &key).await?.ok_or_else(lost)?;
            let (actor, source, match_id) = (actor.as_str(), key.source.as_str(), key.match_id.as_str());
            tracing::info!(actor, source, match_id, decided_by = link.decided_by.match_id, "match link");
            Ok(LinkView::of(key, link))
        })
        .await?;
    Ok(answer(StatusCode::OK, &view))
}

/// The match that decides, of a source that may.
fn deciding(api: &Api, DecidedBy { source, match_id }: DecidedBy) -> Result<StatsKey> {
    let known = request::source(&source).and_then(|name| api.policy(&name).map(|_| name));
    let unknown = |_| Failure::invalid_body("decided_by.source", "no source of this name is configured");
    let source = known.map_err(unknown)?;
    if !is_id(&match_id) {
        return Err(Failure::invalid_body("decided_by.match_id", "this is no id that a provider gives"));
    }
    if !api.deciding.contains(&source) {
        let detail = "the configuration does not let this source decide matches of others";
        return Err(Failure::new(Kind::LinkNotTrusted, detail));
    }
    Ok(StatsKey { source, match_id })
}
