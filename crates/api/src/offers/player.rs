//! What a player may see, and what a player has started.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::Eligibility;
use matchpurse_store::offers::{self, Question, Start, Started};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{self, Body};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, Query, unknown_offer};
use crate::wire::answer;

/// The most offers of one question.
const OFFERS_MAX: usize = 500;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a question: player and offer_ids")]
#[schema(as = OfferQuestion)]
pub(crate) struct Ask {
    player: String,
    offer_ids: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OfferAnswers)]
pub(crate) struct Answers<'a> {
    source: &'a str,
    player_id: &'a str,
    /// In the order of the question.
    offers: Vec<AnswerView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OfferAnswer)]
pub(crate) struct AnswerView<'a> {
    offer_id: &'a str,
    eligible: bool,
    reason: &'static str,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with a reason")]
#[schema(as = StartWithdrawal)]
pub(crate) struct Withdrawal {
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OfferStart)]
pub(crate) struct StartView {
    source: String,
    offer_id: String,
    player_id: String,
    started_at: Moment,
    /// It was taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
}

pub(crate) async fn eligible(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
    ask: Body<Ask>,
) -> Result<HttpResponse> {
    let source = request::source(&path)?;
    api.policy(&source)?;
    let Ask { player, offer_ids } = ask.0;
    if !request::is_id(&player) {
        return Err(Failure::invalid_body("player", "it is no id of a player"));
    }
    if offer_ids.len() > OFFERS_MAX {
        let detail = format!("at most {OFFERS_MAX} offers can be asked about at once");
        return Err(Failure::invalid_body("offer_ids", detail));
    }
    if let Some(at) = offer_ids.iter().position(|id| !request::is_id(id)) {
        return Err(Failure::invalid_body(&format!("offer_ids[{at}]"), "it is no id of an offer"));
    }
    let question = Question { player: PlayerId::new(player.clone()), offers: offer_ids.clone() };
    let found = api.asker.ask(source.clone(), question).await?;
    let offers = offer_ids.iter().zip(found).map(|(offer_id, found)| AnswerView {
        offer_id,
        eligible: found.is_eligible(),
        reason: found.as_str(),
    });
    let answers = Answers { source: source.as_str(), player_id: &player, offers: offers.collect() };
    Ok(answer(StatusCode::OK, &answers))
}

fn named(api: &Api, path: (String, String, String)) -> Result<Start> {
    let (source, offer_id, player) = path;
    let source: SourceName = request::source(&source)?;
    api.policy(&source)?;
    Ok(Start { source, offer_id: request::offer(offer_id)?, player: request::player(player)? })
}

/// Records that a player has started an offer; again and again is the same as once.
pub(crate) async fn start(
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let start = named(&api, path.into_inner())?;
    let store = api.store.clone();
    let wanted = start.clone();
    let started = api.run(async move { Ok(offers::start(&store.client().await?, &wanted).await?) }).await?;
    let (status, at) = match started {
        Started::Now(at) => (StatusCode::CREATED, at),
        Started::Before(at) => (StatusCode::OK, at),
        Started::Refused(why) => return Err(refused(why)),
    };
    Ok(answer(status, &StartView::of(start, at.into(), false)))
}

/// The same word as a question would be answered with.
fn refused(why: Eligibility) -> Failure {
    let refusal = |detail| Failure::new(Kind::StartRefused, detail);
    let failure = match why {
        Eligibility::Unknown => unknown_offer(),
        Eligibility::PlayerBanned => refusal("the player is banned from the offerwall"),
        Eligibility::Removed | Eligibility::Active | Eligibility::Started => {
            refusal("the offer was removed before this player started it")
        }
    };
    failure.with("reason", why.as_str())
}

/// Takes a start back that never was.
pub(crate) async fn withdraw(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String, String)>,
    _: Query<NoQuery>,
    withdrawal: Body<Withdrawal>,
) -> Result<HttpResponse> {
    let start = named(&api, path.into_inner())?;
    let reason = body::reason(&withdrawal.0.reason)?;
    let store = api.store.clone();
    let wanted = start.clone();
    let started_at = api
        .run(async move {
            let client = store.client().await?;
            let at = offers::withdraw_start(&client, &wanted, actor.as_str(), &reason).await?;
            at.ok_or_else(|| {
                let detail = "no start of this offer by this player is recorded";
                Failure::new(Kind::UnknownStart, detail)
            })
        })
        .await?;
    Ok(answer(StatusCode::OK, &StartView::of(start, started_at.into(), true)))
}

impl StartView {
    fn of(start: Start, started_at: Moment, withdrawn: bool) -> Self {
        let Start { source, offer_id, player } = start;
        let (source, player_id) = (source.as_str().to_owned(), player.as_str().to_owned());
        Self { source, offer_id, player_id, started_at, withdrawn }
    }
}
