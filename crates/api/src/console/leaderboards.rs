//! Leaderboards, and one of them from the top.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::money::format_major;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::boards::{
    BoardState, EntryLine, ExclusionLine, ShownBoard, boards, exclusions, seasons,
};
use matchpurse_store::now;
use serde::Deserialize;

use super::components::grouped;
use super::{
    Act, Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, count, done, encoded,
    given, html, players,
};
use crate::api::Api;
use crate::failure::Result;
use crate::leaderboards::{self, BoardPage};
use crate::request::Query;

const HOME: &str = "/console/leaderboards";
/// Players of a page.
const ROWS: u32 = 50;
/// Exclusions that are shown; there are few.
const EXCLUDED: u32 = 100;

#[derive(Deserialize)]
pub(super) struct TopQuery {
    season: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "leaderboards.html")]
struct BoardsPage {
    chrome: Chrome,
    rows: Vec<Board>,
}

struct Board {
    path: String,
    name: String,
    what: String,
    season: String,
    /// How many are listed in the present season, when they were last counted.
    players: String,
    state: Chip,
}

#[derive(Template)]
#[template(path = "leaderboard.html")]
struct BoardPageView {
    chrome: Chrome,
    board: Board,
    season: Select,
    since: Option<When>,
    until: Option<When>,
    rules: Vec<String>,
    unit: &'static str,
    rows: Vec<Row>,
    pager: Pager,
    excluded: Vec<Excluded>,
    /// Whose players can be taken off.
    sources: Vec<String>,
}

struct Row {
    rank: String,
    player: String,
    path: String,
    source: String,
    amount: Option<Money>,
    score: String,
    matches: String,
    reached: When,
}

struct Excluded {
    player: String,
    path: String,
    source: String,
    actor: String,
    reason: String,
    at: When,
}

impl Board {
    fn of(shown: &ShownBoard, players: Option<i64>) -> Self {
        let board = &shown.stored.board;
        let name = board.name.as_str();
        let state = if shown.stored.removed_at.is_some() {
            Chip::new(Tone::Quiet, "not configured any more")
        } else if shown.stored.state == BoardState::Building {
            Chip::new(Tone::Busy, "being made")
        } else if shown.building || shown.recomputing_since.is_some() {
            Chip::new(Tone::Busy, "being made anew")
        } else {
            Chip::new(Tone::Good, "up to date")
        };
        let what = board.metric.as_str().replace('_', " ");
        let currency = board.currency.as_ref().map(|currency| format!(" in {}", currency.as_str()));
        let game = board.game.as_ref().map(|game| format!(", {game}"));
        Self {
            path: format!("{HOME}/{}", encoded(name)),
            name: name.to_owned(),
            what: format!("{what}{}{}", currency.unwrap_or_default(), game.unwrap_or_default()),
            season: board.season.at(now()).name,
            players: players.map(count).unwrap_or_else(|| "not counted yet".to_owned()),
            state,
        }
    }
}

/// `GET /console/leaderboards`
pub(super) async fn list(api: web::Data<Api>, visitor: Visitor) -> Result<HttpResponse> {
    let store = api.store.clone();
    let rows = api
        .run(async move {
            let client = store.client().await?;
            let mut rows = Vec::new();
            for shown in boards(&client).await? {
                let present = shown.stored.board.season.at(now()).name;
                let counted = seasons(&client, shown.stored.id).await?;
                let players = counted.into_iter().find(|line| line.name == present);
                rows.push(Board::of(
                    &shown,
                    players.filter(|line| line.counted_at.is_some()).map(|line| line.players),
                ));
            }
            Ok(rows)
        })
        .await?;
    html(&BoardsPage { chrome: visitor.chrome(Section::Leaderboards), rows })
}

/// `GET /console/leaderboards/{board}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    query: Query<TopQuery>,
) -> Result<HttpResponse> {
    let name = leaderboards::board(&path)?;
    let TopQuery { season, cursor } = query.0;
    let (store, season) = (api.store.clone(), given(season));
    let (asked, from) = (season.clone(), cursor.clone());
    let (page, counted, excluded) = api
        .run(async move {
            let client = store.client().await?;
            let page = leaderboards::page(&client, &name, asked, from.as_deref(), ROWS).await?;
            let counted = seasons(&client, page.board.stored.id).await?;
            let excluded = exclusions(&client, &name, None, EXCLUDED).await?;
            Ok((page, counted, excluded))
        })
        .await?;
    let BoardPage { board, season: shown, first_rank, lines, next } = page;
    let players =
        counted.iter().find(|line| line.name == shown.name).filter(|line| line.counted_at.is_some());
    let view = Board::of(&board, players.map(|line| line.players));
    let own = address(&view.path, &[("season", season.as_deref())]);
    let limited = shown.since.micros() != i64::MIN;
    let limit = |at: Timestamp| limited.then(|| When::new(at));
    html(&BoardPageView {
        chrome: visitor.chrome(Section::Leaderboards),
        season: Select::new(
            "season",
            "Season",
            "the present one",
            counted.iter().map(|line| &*line.name),
            season.as_deref(),
        ),
        since: limit(shown.since),
        until: limit(shown.until),
        rules: rules(&board),
        unit: if board.stored.board.currency.is_some() { "Amount" } else { "Score" },
        rows: (first_rank..).zip(&lines).map(|(rank, line)| Row::of(&api, &board, rank, line)).collect(),
        pager: Pager::new(&own, cursor.is_none(), next),
        excluded: excluded.into_iter().map(Excluded::of).collect(),
        sources: api.sources().map(str::to_owned).collect(),
        board: view,
    })
}

/// Whose place is decided, and why.
#[derive(Deserialize)]
pub(super) struct Decision {
    source: String,
    player: String,
    reason: String,
}

/// `POST /console/leaderboards/{board}/exclude`
pub(super) async fn exclude(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    decide(&api, visitor, path.into_inner(), form.0, true).await
}

/// `POST /console/leaderboards/{board}/readmit`
pub(super) async fn readmit(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    decide(&api, visitor, path.into_inner(), form.0, false).await
}

async fn decide(
    api: &Api,
    visitor: Visitor,
    board: String,
    form: Decision,
    excluded: bool,
) -> Result<HttpResponse> {
    let to = format!("{HOME}/{}", encoded(&board));
    let Decision { source, player, reason } = form;
    let said = match excluded {
        true => format!("{player} is taken off, in all seasons."),
        false => format!("{player} is let back."),
    };
    let decided =
        leaderboards::decide(api, visitor.actor, (board, source, player), &reason, excluded).await?;
    Ok(done(&to, if decided.changed { &said } else { "It was so before: nothing changed." }))
}

/// What decides who is on it, in sentences.
fn rules(shown: &ShownBoard) -> Vec<String> {
    let board = &shown.stored.board;
    let mut rules = vec![match board.direction.as_str() {
        "asc" => "The smallest is the first.".to_owned(),
        _ => "The greatest is the first.".to_owned(),
    }];
    if board.min_matches > 0 {
        rules.push(format!("Who has fewer than {} matches is not listed.", board.min_matches));
    }
    if board.exclude_banned {
        rules.push("Who is banned by a provider is not listed.".to_owned());
    }
    if let Some(sources) = &board.sources {
        let names: Vec<&str> = sources.iter().map(|source| source.as_str()).collect();
        rules.push(format!("Matches of {} count.", names.join(", ")));
    }
    rules
}

impl Row {
    fn of(api: &Api, shown: &ShownBoard, rank: i64, line: &EntryLine) -> Self {
        let board = &shown.stored.board;
        let (source, player) = (line.source.as_str(), line.player_id.as_str());
        let currency = board.currency.as_ref();
        Self {
            rank: count(rank),
            path: players::path_of(source, player),
            player: player.to_owned(),
            source: source.to_owned(),
            amount: currency.map(|currency| Money::new(api, line.score, currency.as_str())),
            score: grouped(&format_major(line.score, board.metric.places())),
            matches: count(line.matches),
            reached: When::new(line.place.reached_at),
        }
    }
}

impl Excluded {
    fn of(line: ExclusionLine) -> Self {
        let (source, player) = (line.source.as_str(), line.player_id.as_str());
        Self {
            path: players::path_of(source, player),
            player: player.to_owned(),
            source: source.to_owned(),
            actor: line.actor,
            reason: line.reason,
            at: When::new(line.at),
        }
    }
}
