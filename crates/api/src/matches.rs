//! Matches, one at a time, and their stories.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::escrow::{MatchState, Seat, SeatState, Settlement};
use matchpurse_domain::ids::PlayerId;
use matchpurse_store::escrow::{MatchRecord, find_matches};
use matchpurse_store::story::{self, StoryPlace};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::cursor::{self, List};
use crate::failure::Result;
use crate::moment::Moment;
use crate::operation_failure::ambiguous_match;
use crate::request::{self, Query, unknown_match};
use crate::wire::{Amount, answer, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchQuery {
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimelineQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// A match, as it is or as it would be.
#[derive(Serialize, ToSchema)]
#[schema(as = Match)]
pub(crate) struct MatchView {
    source: String,
    match_id: String,
    kind: &'static str,
    status: &'static str,
    /// The provider's word for the status.
    provider_status: String,
    /// `payout`, `tie` or `refund`; none while it has not ended.
    settlement: Option<&'static str>,
    /// How often a person set the end anew.
    generation: i16,
    /// Who holds the stakes.
    custody: &'static str,
    currency: String,
    fee_bps: u16,
    tie_policy: &'static str,
    /// None where no money is staked.
    buy_in: Option<Amount>,
    pot: Amount,
    paid: Amount,
    refunded: Amount,
    fee: Amount,
    in_escrow: Amount,
    /// Until when it may hold money; none when it holds none.
    deadline: Option<Moment>,
    /// The deadline has passed, and a person was asked.
    arbitration_asked: bool,
    participants: Vec<Participant>,
    #[serde(flatten)]
    times: Option<Times>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchTimes)]
pub(crate) struct Times {
    created_at: Moment,
    updated_at: Moment,
    settled_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchParticipant)]
pub(crate) struct Participant {
    player_id: String,
    group_id: String,
    /// `joined`, `held`, `settled` or `refunded`.
    state: &'static str,
    hold: Amount,
    payout: Amount,
    refund: Amount,
    /// `WIN`, `LOSS` or `TIE`; none while it is not known.
    outcome: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchStory)]
pub(crate) struct Story {
    source: String,
    match_id: String,
    /// In the order in which it was written.
    lines: Vec<Line>,
    /// The cursor of the page that follows; none at the end.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MatchStoryLine)]
pub(crate) struct Line {
    at: Moment,
    what: String,
    detail: String,
    amount: Option<Amount>,
}

impl MatchView {
    /// Without the times of a record: a match as it would be has none.
    pub(crate) fn of(state: MatchState) -> Self {
        let amount = |minor_units| Amount::of(minor_units, &state.currency);
        Self {
            source: state.source.as_str().to_owned(),
            kind: state.kind.as_str(),
            status: state.status.as_str(),
            settlement: state.settlement.map(Settlement::as_str),
            generation: state.generation,
            custody: state.custody.as_str(),
            currency: state.currency.as_str().to_owned(),
            fee_bps: state.fee_bps,
            tie_policy: state.tie_policy.as_str(),
            buy_in: state.buy_in.filter(|buy_in| *buy_in > 0).map(amount),
            pot: amount(state.pot),
            paid: amount(state.paid),
            refunded: amount(state.refunded),
            fee: amount(state.fee),
            in_escrow: amount(state.escrowed()),
            deadline: state.deadline.map(Moment),
            arbitration_asked: state.arbitration_asked,
            participants: state.seats.iter().map(|seat| Participant::of(seat, &amount)).collect(),
            match_id: state.match_id,
            provider_status: state.provider_status,
            times: None,
        }
    }

    fn of_record(record: MatchRecord) -> Self {
        let MatchRecord { state, created_at, updated_at, settled_at } = record;
        let settled_at = settled_at.map(Moment);
        let times = Times { created_at: created_at.into(), updated_at: updated_at.into(), settled_at };
        Self { times: Some(times), ..Self::of(state) }
    }
}

impl Participant {
    fn of((player, seat): (&PlayerId, &Seat), amount: &impl Fn(i64) -> Amount) -> Self {
        Self {
            player_id: player.as_str().to_owned(),
            group_id: seat.group_id.clone(),
            state: match seat.state {
                SeatState::Joined => "joined",
                SeatState::Held => "held",
                SeatState::Settled => "settled",
                SeatState::Refunded => "refunded",
            },
            hold: amount(seat.hold),
            payout: amount(seat.payout),
            refund: amount(seat.refund),
            outcome: seat.outcome.map(matchpurse_domain::event::Outcome::as_str),
        }
    }
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<MatchQuery>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let (source, match_id) = (request::source(&source)?, request::match_id(match_id)?);
    let kind = request::kind(query.0.kind.as_deref())?;
    let unknown = api.not_found(&source, unknown_match());
    let store = api.store.clone();
    let found = api
        .run(async move { Ok(find_matches(&store.client().await?, &source, &match_id, kind).await?) })
        .await?;
    if found.len() > 1 {
        let kinds: Vec<&str> = found.iter().map(|record| record.state.kind.as_str()).collect();
        return Err(ambiguous_match(&kinds));
    }
    let record = found.into_iter().next().ok_or(unknown)?;
    Ok(answer_one(&MatchView::of_record(record)))
}

/// Everything of this id: what came in may belong to a match that nobody could make of it yet.
pub(crate) async fn timeline(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<TimelineQuery>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let (source, match_id) = (request::source(&source)?, request::match_id(match_id)?);
    let TimelineQuery { cursor, limit } = query.0;
    let from = request::cursor(List::Timeline, cursor.as_deref(), place)?;
    let limit = request::limit(limit.as_deref())?;
    let unknown = api.not_found(&source, unknown_match());
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let page = story::page_of_subject(&client, &source, &match_id, from, limit).await?;
            if page.lines.is_empty() && from.is_none() {
                return Err(unknown);
            }
            let next = page.next.map(cursor_of);
            let lines = page.lines.into_iter().map(Line::of).collect();
            Ok(Story { source: source.as_str().to_owned(), match_id, lines, next })
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

impl Line {
    fn of(line: story::Line) -> Self {
        let amount = |(minor_units, currency): (i64, String)| Amount::new(minor_units, &currency);
        Self { at: line.at.into(), what: line.what, detail: line.detail, amount: line.amount.map(amount) }
    }
}

pub(crate) fn cursor_of(place: StoryPlace) -> String {
    let StoryPlace { at, rank, place, lines } = place;
    List::Timeline.cursor(&format!("{}.{rank}.{place}.{lines}", at.micros()))
}

pub(crate) fn place(text: &str) -> Option<StoryPlace> {
    let mut parts = text.split('.');
    let mut part = || parts.next();
    let (at, rank) = (cursor::time(part()?)?, part()?.parse().ok()?);
    let (place, lines): (i64, i64) = (part()?.parse().ok()?, part()?.parse().ok()?);
    (part().is_none() && lines >= 0).then_some(StoryPlace { at, rank, place, lines })
}
