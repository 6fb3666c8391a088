//! Matches in pages.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::event::MatchStatus;
use matchpurse_domain::ids::PlayerId;
use matchpurse_store::escrow::{MatchFilter, MatchLine, MatchPlace, list_matches};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::cursor::{self, List};
use crate::events;
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::request::{self, Query};
use crate::wire::{Amount, Page, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    source: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    player: Option<String>,
    since: Option<String>,
    until: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A match without its participants.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchSummary)]
pub(crate) struct SummaryView {
    source: String,
    match_id: String,
    kind: &'static str,
    status: &'static str,
    /// The provider's word for the status.
    provider_status: String,
    /// `payout`, `tie` or `refund`; none while it has not ended.
    settlement: Option<String>,
    /// How often a person set the end anew.
    generation: i16,
    /// None where no money is staked.
    buy_in: Option<Amount>,
    pot: Amount,
    paid: Amount,
    refunded: Amount,
    fee: Amount,
    in_escrow: Amount,
    /// How many have joined.
    players: i64,
    created_at: Moment,
    updated_at: Moment,
    settled_at: Option<Moment>,
}

impl SummaryView {
    fn of(line: MatchLine) -> Self {
        let amount = |minor_units| Amount::new(minor_units, &line.currency);
        let gone = line.paid.saturating_add(line.refunded).saturating_add(line.fee);
        Self {
            source: line.source.as_str().to_owned(),
            kind: line.kind.as_str(),
            status: line.status.as_str(),
            generation: line.generation,
            buy_in: line.buy_in.filter(|buy_in| *buy_in > 0).map(amount),
            pot: amount(line.pot),
            paid: amount(line.paid),
            refunded: amount(line.refunded),
            fee: amount(line.fee),
            in_escrow: amount(line.pot.saturating_sub(gone)),
            players: line.players,
            created_at: line.created_at.into(),
            updated_at: line.updated_at.into(),
            settled_at: line.settled_at.map(Moment),
            match_id: line.match_id,
            provider_status: line.provider_status,
            settlement: line.settlement,
        }
    }
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { source, kind, status, player, since, until, cursor, limit } = query.0;
    let source = request::source_of_query(source.as_deref())?;
    let player = request::id_of_query("player", player, source.as_ref())?;
    let filter = MatchFilter {
        whose: source.map(|source| (source, player.map(PlayerId::new))),
        kind: request::kind(kind.as_deref())?,
        status: status.as_deref().map(of_query).transpose()?,
        since: events::moment("since", since.as_deref())?,
        until: events::moment("until", until.as_deref())?,
    };
    let before = request::cursor(List::Matches, cursor.as_deref(), place)?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let page =
        api.run(async move { Ok(list_matches(&store.client().await?, &filter, before, limit).await?) });
    let page = page.await?;
    let next = page.next.map(cursor_of);
    let items: Vec<SummaryView> = page.lines.into_iter().map(SummaryView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

/// `status`, of the query.
pub(crate) fn of_query(text: &str) -> Result<MatchStatus> {
    MatchStatus::parse(text).ok_or_else(|| {
        let words = MatchStatus::ALL.map(MatchStatus::as_str).join(", ");
        Failure::invalid_query("status", format!("expected one of {words}"))
    })
}

pub(crate) fn cursor_of((at, match_no): MatchPlace) -> String {
    List::Matches.cursor(&format!("{}.{match_no}", at.micros()))
}

pub(crate) fn place(text: &str) -> Option<MatchPlace> {
    let (at, match_no) = text.split_once('.')?;
    Some((cursor::time(at)?, match_no.parse().ok()?))
}
