//! Offers of a source, one of them with all that the provider says of it, and whether a player may see it.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::OfferState;
use matchpurse_store::offers::{self, OfferRecord, Question};
use matchpurse_store::story;
use serde::Deserialize;

use super::rewards::pretty;
use super::{
    Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, encoded, given, html, players,
};
use crate::api::Api;
use crate::cursor::List;
use crate::failure::Result;
use crate::offers::catalog::state_of_query;
use crate::request::{self, Query, unknown_offer};
use crate::wire::{cut, one_more};

const HOME: &str = "/console/offers";
/// Offers of a page.
const ROWS: u32 = 50;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    source: Option<String>,
    state: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    /// Whom the question is about, whether the offer may be seen.
    player: Option<String>,
}

#[derive(Template)]
#[template(path = "offers.html")]
struct OffersPage {
    chrome: Chrome,
    selects: [Select; 2],
    /// Whose offers these are; none where there is no source.
    source: Option<String>,
    filtered: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    path: String,
    offer: String,
    /// What the provider calls it.
    name: String,
    state: Chip,
    since: Option<When>,
    updated: When,
}

#[derive(Template)]
#[template(path = "offer.html")]
struct OfferPage {
    chrome: Chrome,
    row: Row,
    source: String,
    app: Option<String>,
    campaign: Option<String>,
    described: Option<When>,
    first_seen: When,
    description: String,
    player: String,
    answer: Option<Answer>,
    lines: Vec<(When, String, String, Option<Money>)>,
}

struct Answer {
    chip: Chip,
    path: String,
}

impl Row {
    fn of(source: &str, record: &OfferRecord) -> Self {
        let state = match record.state {
            OfferState::Active => Chip::new(Tone::Good, "active"),
            OfferState::Removed => Chip::new(Tone::Quiet, "removed"),
        };
        let said: serde_json::Value = serde_json::from_str(&record.data).unwrap_or_default();
        let name = ["name", "title"].iter().find_map(|field| said.get(*field)?.as_str());
        Self {
            path: format!("{HOME}/{}/{}", encoded(source), encoded(&record.offer_id)),
            offer: record.offer_id.clone(),
            name: name.unwrap_or_default().to_owned(),
            state,
            since: record.state_at.map(When::new),
            updated: When::new(record.updated_at),
        }
    }
}

/// `GET /console/offers`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { source, state, cursor } = query.0;
    let (source, state) = (given(source), given(state));
    let wanted = state.as_deref().map(state_of_query).transpose()?;
    let asked = request::source_of_query(source.as_deref())?;
    let read = |place: &str| request::is_id(place).then(|| place.to_owned());
    let after = request::cursor(List::Offers, cursor.as_deref(), read)?;
    let sources: Vec<SourceName> = asked.map_or_else(
        || api.sources().filter_map(|name| SourceName::parse(name).ok()).collect(),
        |one| vec![one],
    );
    let store = api.store.clone();
    // Offers are a source's; where none is chosen, the first one that has any.
    let (of, found) = api
        .run(async move {
            let client = store.client().await?;
            for source in &sources {
                let found = offers::list(&client, source, wanted, after.as_deref(), one_more(ROWS)).await?;
                if !found.is_empty() {
                    return Ok((Some(source.as_str().to_owned()), found));
                }
            }
            Ok((sources.first().map(|source| source.as_str().to_owned()), Vec::new()))
        })
        .await?;
    let (found, next) = cut(List::Offers, found, ROWS, |last| last.offer_id.clone());
    let own = address(HOME, &[("source", of.as_deref()), ("state", state.as_deref())]);
    let rows = found.iter().map(|record| Row::of(of.as_deref().unwrap_or_default(), record)).collect();
    html(&OffersPage {
        chrome: visitor.chrome(Section::Offers),
        selects: [
            Select::new("source", "Source", "the first with offers", api.sources(), of.as_deref()),
            Select::new("state", "State", "any", ["active", "removed"], state.as_deref()),
        ],
        filtered: source.is_some() || state.is_some(),
        source: of,
        rows,
        pager: Pager::new(&own, cursor.is_none(), next),
    })
}

/// `GET /console/offers/{source}/{offer}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<(String, String)>,
    query: Query<OneQuery>,
) -> Result<HttpResponse> {
    let (source, offer) = path.into_inner();
    let (source, offer) = (request::source(&source)?, request::offer(offer)?);
    let player = given(query.0.player).map(|id| request::id_text("player", id)).transpose()?;
    let unknown = api.not_found(&source, unknown_offer());
    let (store, of, id) = (api.store.clone(), source.clone(), offer.clone());
    let (record, lines) = api
        .run(async move {
            let client = store.client().await?;
            let record = offers::find(&client, &of, &id).await?.ok_or(unknown)?;
            Ok((record, story::of_subject(&client, &of, &id).await?))
        })
        .await?;
    let answer = match &player {
        None => None,
        Some(player) => {
            let question = Question { player: PlayerId::new(player.clone()), offers: vec![offer] };
            let found = api.asker.ask(source.clone(), question).await?;
            found.first().map(|found| {
                let word = found.as_str().replace('_', " ");
                let chip = if found.is_eligible() {
                    Chip::new(Tone::Good, format!("may see it: {word}"))
                } else {
                    Chip::new(Tone::Bad, format!("may not see it: {word}"))
                };
                Answer { chip, path: players::path_of(source.as_str(), player) }
            })
        }
    };
    html(&OfferPage {
        chrome: visitor.chrome(Section::Offers),
        row: Row::of(source.as_str(), &record),
        source: source.as_str().to_owned(),
        app: record.app_id,
        campaign: record.campaign_id,
        described: record.data_at.map(When::new),
        first_seen: When::new(record.first_seen_at),
        description: pretty(&record.data),
        player: player.unwrap_or_default(),
        answer,
        lines: lines
            .into_iter()
            .rev()
            .take(LINES)
            .map(|line| {
                let amount = line.amount.map(|(minor, currency)| Money::new(&api, minor, &currency));
                (When::new(line.at), line.what.replace('_', " "), line.detail, amount)
            })
            .collect(),
    })
}

/// Lines of an offer's story.
const LINES: usize = 60;
