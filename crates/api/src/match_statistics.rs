//! The statistics of one match, and which of two ends of it stands.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::event::{Side, TeamScore};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::stats::{MatchStats, Refusal};
use matchpurse_operations::stats::{Author, Choice, Error, correct};
use matchpurse_store::stats::{
    CorrectionRecord, HistoryRecord, Kick, Line, MatchRecord, StatsKey, find_match,
};
use matchpurse_store::{chain, now};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::failure::{Failure, Result};
use crate::figures::{Counters, Figures};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, IdempotencyKey, Query, unknown_match};
use crate::wire::{answer, answer_one};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewStatisticsCorrection)]
pub(crate) struct CorrectionBody {
    #[schema(value_type = crate::openapi::StatisticsStand)]
    stands: Stands,
    reason: String,
}

/// Which numbers stand.
#[derive(Deserialize)]
#[serde(tag = "as", rename_all = "snake_case", deny_unknown_fields)]
enum Stands {
    // With braces, so that members beside the tag are refused.
    /// Those that count now.
    First {},
    /// Those of this archived event.
    Event { event_id: Uuid },
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchStatistics)]
pub(crate) struct MatchView {
    source: String,
    match_id: String,
    /// `live`, `final` or `canceled`; none while nothing but a vote is known of it.
    state: Option<&'static str>,
    map: Option<String>,
    rounds_played: u32,
    cancel_reason: Option<String>,
    /// `team1`, `team2` or `draw`, by the scores of a final.
    result: Option<&'static str>,
    /// True when the players' totals have it.
    counted: bool,
    ended_at: Option<Moment>,
    updated_at: Moment,
    last_event_id: String,
    team1: TeamView,
    team2: TeamView,
    spectators: Vec<PlayerView>,
    kicks: Vec<KickView>,
    history: Vec<HistoryView>,
    corrections: Vec<CorrectionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsTeam)]
pub(crate) struct TeamView {
    name: String,
    score: Option<u32>,
    /// By the game's score, the best first.
    players: Vec<PlayerView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsLine)]
pub(crate) struct PlayerView {
    player_id: String,
    nickname: String,
    kicked: bool,
    outcome: Option<&'static str>,
    #[schema(value_type = crate::openapi::CountersView)]
    counters: Counters<i32>,
    figures: Figures,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsKick)]
pub(crate) struct KickView {
    player_id: String,
    at: Moment,
    event_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsHistory)]
pub(crate) struct HistoryView {
    index: i32,
    event: String,
    at: Moment,
    player_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsCorrection)]
pub(crate) struct CorrectionView {
    operation: String,
    actor: String,
    reason: String,
    at: Moment,
    /// `replace` or `keep`, the event that was named, and what the match was before and after.
    detail: Value,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsCorrected)]
pub(crate) struct DoneView {
    operation: String,
    /// The match as it is now.
    r#match: MatchView,
}

impl MatchView {
    fn of(record: MatchRecord) -> Self {
        let MatchRecord { key, state, last_event, updated_at, lines, kicks, history, corrections } = record;
        let rounds = state.as_ref().map_or(0, |state| state.rounds_played);
        let of = |side: Side| -> Vec<PlayerView> {
            let own = lines.iter().filter(|line| line.side == side);
            own.map(|line| PlayerView::of(line, rounds)).collect()
        };
        let team = |side, score: Option<&TeamScore>| TeamView {
            name: score.map(|score| score.name.clone()).unwrap_or_default(),
            score: score.and_then(|score| score.score),
            players: of(side),
        };
        let known = state.as_ref();
        Self {
            source: key.source.as_str().to_owned(),
            match_id: key.match_id,
            state: known.map(word),
            map: known.and_then(|state| state.map.clone()),
            rounds_played: rounds,
            cancel_reason: known.and_then(|state| state.cancel_reason.clone()),
            result: known.and_then(|state| state.winner).map(|winner| winner.as_str()),
            counted: known.is_some_and(|state| state.counted),
            ended_at: known.and_then(|state| state.ended_at).map(Moment),
            updated_at: updated_at.into(),
            last_event_id: last_event.to_string(),
            team1: team(Side::Team1, known.map(|state| &state.team1)),
            team2: team(Side::Team2, known.map(|state| &state.team2)),
            spectators: of(Side::Spectator),
            kicks: kicks.into_iter().map(KickView::of).collect(),
            history: history.into_iter().map(HistoryView::of).collect(),
            corrections: corrections.into_iter().map(CorrectionView::of).collect(),
        }
    }
}

const fn word(state: &MatchStats) -> &'static str {
    match (state.canceled, state.finished) {
        (true, _) => "canceled",
        (false, true) => "final",
        (false, false) => "live",
    }
}

impl PlayerView {
    fn of(line: &Line, rounds: u32) -> Self {
        Self {
            player_id: line.player_id.as_str().to_owned(),
            nickname: line.nickname.clone(),
            kicked: line.kicked,
            outcome: line.outcome.map(|outcome| outcome.as_str()),
            counters: Counters(line.counters.0),
            figures: Figures::of_one_match(line.totals(rounds)),
        }
    }
}

impl KickView {
    fn of(kick: Kick) -> Self {
        let Kick { player_id, event_id, at, .. } = kick;
        Self { player_id: player_id.as_str().to_owned(), at: at.into(), event_id: event_id.to_string() }
    }
}

impl HistoryView {
    fn of(line: HistoryRecord) -> Self {
        let HistoryRecord { index, name, at, player_id } = line;
        let player_id = player_id.map(|player| player.as_str().to_owned());
        Self { index, event: name, at: at.into(), player_id }
    }
}

impl CorrectionView {
    fn of(correction: CorrectionRecord) -> Self {
        let CorrectionRecord { operation, actor, reason, at, detail } = correction;
        Self { operation: operation.to_string(), actor, reason, at: at.into(), detail }
    }
}

/// `GET /matches/{source}/{match}/statistics`
pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let key = key(path)?;
    let unknown = api.not_found(&key.source, unknown_match());
    let store = api.store.clone();
    let found = api.run(async move { Ok(find_match(&store.client().await?, &key).await?) }).await?;
    Ok(answer_one(&MatchView::of(found.ok_or(unknown)?)))
}

/// `POST /matches/{source}/{match}/statistics/corrections`
pub(crate) async fn stand(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    _: Query<NoQuery>,
    idempotency_key: IdempotencyKey,
    body: Body<CorrectionBody>,
) -> Result<HttpResponse> {
    let key = key(path)?;
    let unknown = api.not_found(&key.source, unknown_match());
    let CorrectionBody { stands, reason: why } = body.0;
    let choice = match stands {
        Stands::First {} => Choice::Keep,
        Stands::Event { event_id } => Choice::Event(EventId::from_uuid(event_id)),
    };
    let author = Author {
        actor: actor.as_str().to_owned(),
        reason: reason(&why)?,
        idempotency_key: idempotency_key.required()?,
    };
    let store = api.store.clone();
    let (done, record) = api
        .run(async move {
            let done = correct(&store, &key, choice, &author, now()).await.map_err(|error| match error {
                Error::NoMatch => unknown,
                other => failed(other),
            })?;
            let record = find_match(&store.client().await?, &key).await?;
            Ok((done, record.ok_or_else(unknown_match)?))
        })
        .await?;
    let view = DoneView { operation: done.operation.to_string(), r#match: MatchView::of(record) };
    let status = if done.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answer(status, &view))
}

fn key(path: web::Path<(String, String)>) -> Result<StatsKey> {
    let (source, match_id) = path.into_inner();
    Ok(StatsKey { source: request::source(&source)?, match_id: request::match_id(match_id)? })
}

fn failed(error: Error) -> Failure {
    match &error {
        Error::NoMatch => unknown_match(),
        Error::NoSnapshot(_) => Failure::new(Kind::UnusableEvent, error.to_string()),
        Error::Refused(refusal) => {
            Failure::new(Kind::CorrectionRefused, refusal.to_string()).with("reason", word_for(*refusal))
        }
        Error::NoQuestion => Failure::new(Kind::NothingToAnswer, error.to_string()),
        Error::KeyReused => Failure::new(
            Kind::IdempotencyKeyReused,
            "it was used for another request; a new request needs a new key".to_owned(),
        ),
        Error::Store(store) if store.is_transient() => Failure::unavailable(chain(&error)),
        Error::Store(_) => Failure::internal(chain(&error)),
    }
}

/// A word for a program; the detail is for people.
const fn word_for(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotEnded => "not_ended",
        Refusal::NoEnd => "not_an_end",
        Refusal::Same => "nothing_changes",
    }
}
