//! Whose a match token is: what a player's game shows to the studio's back-end when it is started by a provider.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_providers::{InquiryKind, MatchTokenInfo};
use matchpurse_store::inquiries::{Question, want};
use matchpurse_store::{escrow, now};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::Api;
use crate::body::Body;
use crate::failure::{Failure, Result};
use crate::request;
use crate::wire::answer;

/// How long a player of whom no match is known is asked about, in seconds. The provider lists the match that the player
/// has just been sent into; where it cannot be asked, at least two attempts fall into this time, which are five minutes
/// apart at most.
const WANTED_S: i64 = 600;

/// Read from a whole value: serde's own errors repeat what stands in the wrong place, and any of it may be the token.
#[derive(Deserialize, ToSchema)]
#[serde(try_from = "Value", deny_unknown_fields)]
#[schema(as = MatchTokenCheck)]
pub(crate) struct CheckBody {
    /// The source whose provider has given it.
    source: String,
    /// What the player's game was given. It is passed on to the provider and kept nowhere.
    match_token: String,
}

impl TryFrom<Value> for CheckBody {
    type Error = &'static str;

    fn try_from(body: Value) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected an object with the texts `source` and `match_token`, and nothing else";
        let Value::Object(mut members) = body else { return Err(EXPECTED) };
        match (members.remove("source"), members.remove("match_token")) {
            (Some(Value::String(source)), Some(Value::String(match_token))) if members.is_empty() => {
                Ok(Self { source, match_token })
            }
            _ => Err(EXPECTED),
        }
    }
}

/// Whose a match token is, as its provider says.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckedMatchToken)]
pub(crate) struct CheckedView {
    source: String,
    /// The provider's id of the match.
    match_id: String,
    /// The provider's id of the player.
    user_id: String,
    /// How the match stands, in the provider's word.
    match_status: String,
    /// How many results the player may send in all, where the provider says so.
    submissions_total: Option<i64>,
    /// How many of them are left, where the provider says so.
    submissions_left: Option<i64>,
    /// Whether the source has told of the match, so that it can be read here.
    known: bool,
}

/// `POST /match-tokens/check`
pub(crate) async fn check(api: web::Data<Api>, body: Body<CheckBody>) -> Result<HttpResponse> {
    let CheckBody { source, match_token } = body.0;
    let known = request::source(&source).and_then(|name| api.policy(&name).map(|_| name));
    let unknown = |_| Failure::invalid_body("source", "no source of this name is configured");
    let source = known.map_err(unknown)?;
    let check = api.token_checks.of(&source)?;
    if !check.may_be(&match_token) {
        return Err(Failure::invalid_body("match_token", "this is no match token"));
    }
    let store = api.store.clone();
    let view = api
        .run(async move {
            let told = check.ask(&match_token).await?;
            let MatchTokenInfo { match_id, user_id, match_status, submissions_total, submissions_left } =
                told;
            let client = store.client().await?;
            let known = !escrow::kinds_of(&client, &source, &match_id).await?.is_empty();
            let source = source.to_string();
            // Who is in a match that is known is asked about for that.
            if !known && check.asks_by_player {
                let kind = InquiryKind::PlayersMatches.as_str().to_owned();
                let question = Question { source: source.clone(), kind, subject: user_id.clone() };
                let now = now();
                want(&client, &question, now, now.plus_seconds(WANTED_S)).await?;
            }
            Ok(CheckedView {
                source,
                match_id,
                user_id,
                match_status,
                submissions_total,
                submissions_left,
                known,
            })
        })
        .await?;
    Ok(answer(StatusCode::OK, &view))
}
