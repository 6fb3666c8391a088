//! Matches, and one match's whole story.

mod statement;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::escrow::Settlement;
use matchpurse_domain::event::{MatchKind, MatchStatus};
use matchpurse_domain::ids::PlayerId;
use matchpurse_store::anomalies::{self, AnomalyFilter, AnomalyLine};
use matchpurse_store::escrow::{MatchFilter, MatchLine, MatchRecord, find_matches, list_matches};
use matchpurse_store::story::{self, Found, StoryPage};
use serde::Deserialize;

use self::statement::Statement;
use super::{
    Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, encoded, given, html,
};
use crate::api::Api;
use crate::cursor::List;
use crate::failure::Result;
use crate::request::{self, Query, unknown_match};
use crate::{match_list, matches};

/// Matches of a page.
const ROWS: u32 = 50;
/// Lines of a story on one page. A match has a few dozen.
const LINES: u32 = 200;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// Any id that somebody has at hand.
    q: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    player: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "matches.html")]
struct MatchesPage {
    chrome: Chrome,
    asked: String,
    player: String,
    selects: [Select; 3],
    filtered: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    path: String,
    source: String,
    match_id: String,
    kind: String,
    status: Chip,
    players: i64,
    pot: Money,
    in_escrow: Money,
    created: When,
}

/// Where an id was found.
#[derive(Template)]
#[template(path = "found.html")]
struct FoundPage {
    chrome: Chrome,
    asked: String,
    /// What it is, and where it is shown.
    found: Vec<(String, String)>,
}

/// The address of a match's page.
pub(crate) fn path_of(source: &str, match_id: &str) -> String {
    format!("/console/matches/{}/{}", encoded(source), encoded(match_id))
}

impl Row {
    fn of(api: &Api, line: MatchLine) -> Self {
        let gone = line.paid.saturating_add(line.refunded).saturating_add(line.fee);
        let money = |minor_units| Money::new(api, minor_units, &line.currency);
        Self {
            path: path_of(line.source.as_str(), &line.match_id),
            kind: line.kind.as_str().replace('_', " "),
            status: status(line.status, line.settlement.as_deref()),
            players: line.players,
            pot: money(line.pot),
            in_escrow: money(line.pot.saturating_sub(gone)),
            created: When::new(line.created_at),
            source: line.source.as_str().to_owned(),
            match_id: line.match_id,
        }
    }
}

/// Where a match stands, in a word.
pub(super) fn status(status: MatchStatus, settlement: Option<&str>) -> Chip {
    let word = status.as_str().to_lowercase().replace('_', " ");
    match settlement {
        Some("payout") => Chip::new(Tone::Good, "paid out"),
        Some("tie") => Chip::new(Tone::Good, "tie, paid back"),
        Some("refund") => Chip::new(Tone::Quiet, "refunded"),
        Some(other) => Chip::new(Tone::Quiet, other),
        // It has ended, and its money waits for something.
        None if word.starts_with("closed") || word.starts_with("canceled") => Chip::new(Tone::Warn, word),
        None => Chip::new(Tone::Busy, word),
    }
}

/// `GET /console/matches`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { q, source, kind, status, player, cursor } = query.0;
    if let Some(id) = given(q) {
        return search(&api, &visitor, id).await;
    }
    let (source, kind) = (given(source), given(kind));
    let (status, player) = (given(status), given(player));
    let of = request::source_of_query(source.as_deref())?;
    let whose = request::id_of_query("player", player.clone(), of.as_ref())?;
    let filter = MatchFilter {
        whose: of.map(|source| (source, whose.map(PlayerId::new))),
        kind: request::kind(kind.as_deref())?,
        status: status.as_deref().map(match_list::of_query).transpose()?,
        since: None,
        until: None,
    };
    let before = request::cursor(List::Matches, cursor.as_deref(), match_list::place)?;
    let store = api.store.clone();
    let page = api
        .run(async move { Ok(list_matches(&store.client().await?, &filter, before, ROWS).await?) })
        .await?;
    let own = [
        ("source", source.as_deref()),
        ("kind", kind.as_deref()),
        ("status", status.as_deref()),
        ("player", player.as_deref()),
    ];
    let here = address("/console/matches", &own);
    let kinds = [MatchKind::Recreational, MatchKind::FreeToPlay, MatchKind::Tournament, MatchKind::Platform];
    html(&MatchesPage {
        chrome: visitor.chrome(Section::Matches),
        asked: String::new(),
        selects: [
            Select::new("source", "Source", "all", api.sources(), source.as_deref()),
            Select::new("kind", "Kind", "all", kinds.map(MatchKind::as_str), kind.as_deref()),
            Select::new(
                "status",
                "Status",
                "any",
                MatchStatus::ALL.map(MatchStatus::as_str),
                status.as_deref(),
            ),
        ],
        filtered: own.iter().any(|(_, value)| value.is_some()),
        player: player.unwrap_or_default(),
        pager: Pager::new(&here, before.is_none(), page.next.map(match_list::cursor_of)).short(
            page.lines.len(),
            ROWS,
            page.next.map(|(at, _)| at),
        ),
        rows: page.lines.into_iter().map(|line| Row::of(&api, line)).collect(),
    })
}

/// One thing of this id is shown at once; of several, which.
async fn search(api: &Api, visitor: &Visitor, asked: String) -> Result<HttpResponse> {
    let (store, id) = (api.store.clone(), request::id_text("q", asked.clone())?);
    let found = api.run(async move { Ok(story::find(&store.client().await?, &id).await?) }).await?;
    let place = |found: Found| match found {
        Found::Event(id) => ("An event, or its delivery".to_owned(), format!("/console/events/{id}")),
        Found::Subject(source, id) => {
            (format!("{id}, a match, contest or offer of {source}"), path_of(source.as_str(), &id))
        }
        Found::Player(source, id) => (
            format!("{id}, a player of {source}"),
            format!("/console/players/{}/{}", encoded(source.as_str()), encoded(&id)),
        ),
    };
    let found: Vec<(String, String)> = found.into_iter().map(place).collect();
    match &found[..] {
        [(_, path)] => Ok(HttpResponse::SeeOther().insert_header((LOCATION, path.as_str())).finish()),
        _ => html(&FoundPage { chrome: visitor.chrome(Section::Matches), asked, found }),
    }
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "match.html")]
struct MatchPage {
    chrome: Chrome,
    source: String,
    match_id: String,
    /// One id may be a match of several kinds; none is one that was only heard of.
    matches: Vec<Shown>,
    anomalies: Vec<Trouble>,
    lines: Vec<Line>,
    pager: Pager,
}

pub(super) struct Shown {
    pub(super) kind: String,
    pub(super) status: Chip,
    pub(super) provider_status: String,
    pub(super) generation: i16,
    pub(super) custody: &'static str,
    pub(super) created: When,
    pub(super) settled: Option<When>,
    pub(super) deadline: Option<When>,
    pub(super) arbitration_asked: bool,
    pub(super) statement: Statement,
}

struct Trouble {
    path: String,
    kind: String,
    what: String,
    state: Chip,
    opened: When,
}

struct Line {
    at: When,
    /// What came, what moved, what was told, who did something, what is wrong.
    group: &'static str,
    what: String,
    detail: String,
    amount: Option<Money>,
    /// The event's page.
    link: Option<String>,
}

/// `GET /console/matches/{source}/{match}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<(String, String)>,
    query: Query<OneQuery>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let (source, match_id) = (request::source(&source)?, request::match_id(match_id)?);
    let from = request::cursor(List::Timeline, query.0.cursor.as_deref(), matches::place)?;
    let unknown = api.not_found(&source, unknown_match());
    let (store, of, id) = (api.store.clone(), source.clone(), match_id.clone());
    let (records, troubles, page) = api
        .run(async move {
            let client = store.client().await?;
            let records = find_matches(&client, &of, &id, None).await?;
            let about = |resolved| AnomalyFilter {
                resolved,
                source: Some(of.as_str().to_owned()),
                subject: Some(id.clone()),
                kind: None,
            };
            let mut troubles = anomalies::list(&client, &about(false), None, 50).await?;
            troubles.extend(anomalies::list(&client, &about(true), None, 50).await?);
            let page: StoryPage = story::page_of_subject(&client, &of, &id, from, LINES).await?;
            if records.is_empty() && page.lines.is_empty() && from.is_none() {
                return Err(unknown);
            }
            Ok((records, troubles, page))
        })
        .await?;
    let here = path_of(source.as_str(), &match_id);
    html(&MatchPage {
        chrome: visitor.chrome(Section::Matches),
        source: source.as_str().to_owned(),
        match_id,
        matches: records.into_iter().map(|record| Shown::of(&api, record)).collect(),
        anomalies: troubles.into_iter().map(Trouble::of).collect(),
        pager: Pager::new(&here, from.is_none(), page.next.map(matches::cursor_of)),
        lines: page.lines.into_iter().map(|line| Line::of(&api, line)).collect(),
    })
}

impl Shown {
    pub(super) fn of(api: &Api, record: MatchRecord) -> Self {
        let MatchRecord { state, created_at, settled_at, .. } = record;
        Self {
            kind: state.kind.as_str().replace('_', " "),
            status: status(state.status, state.settlement.map(Settlement::as_str)),
            provider_status: state.provider_status.clone(),
            generation: state.generation,
            custody: state.custody.as_str(),
            created: When::new(created_at),
            settled: settled_at.map(When::new),
            deadline: state.deadline.map(When::new),
            arbitration_asked: state.arbitration_asked,
            statement: Statement::of(api, &state),
        }
    }
}

impl Trouble {
    fn of(line: AnomalyLine) -> Self {
        let what = super::anomalies::what(&line.detail);
        Self {
            path: format!("/console/anomalies/{}", line.id),
            state: super::anomalies::state(line.resolved.as_ref()),
            opened: When::new(line.at),
            kind: line.kind.replace('_', " "),
            what,
        }
    }
}

impl Line {
    fn of(api: &Api, line: story::Line) -> Self {
        let group = match line.what.as_str() {
            "event" => "came",
            "hold" | "payout" | "refund" | "fee" | "top-up" | "reversal" | "deposit" | "withdrawal" => {
                "moved"
            }
            "notice" | "told" => "told",
            "anomaly" | "parked" => "trouble",
            "correction" | "deadline" | "reward_release" | "reward_reversal" | "reward_retry"
            | "stats_correction" | "match_result" | "match_link" => "decided",
            _ => "became",
        };
        let link = (line.what == "event").then(|| event_in(&line.detail)).flatten();
        Self {
            at: When::new(line.at),
            group,
            link: link.map(|id| format!("/console/events/{id}")),
            amount: line.amount.map(|(minor_units, currency)| Money::new(api, minor_units, &currency)),
            what: line.what.replace('_', " "),
            detail: line.detail,
        }
    }
}

/// The id in the words of a story's line about an event.
fn event_in(detail: &str) -> Option<uuid::Uuid> {
    let (_, rest) = detail.rsplit_once(", event ")?;
    uuid::Uuid::try_parse(rest.get(..36)?).ok()
}
