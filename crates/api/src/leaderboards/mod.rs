//! Leaderboards: what there are, who is on top, who is around a player, and a player's rank.

pub(crate) mod exclusions;
pub(crate) mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::boards::{BoardName, Season, SeasonKind};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_store::boards::{
    EntryLine, Place, ShownBoard, Towards, boards, entry, exact_rank, find_board, kept_rank, listed, seasons,
};
use matchpurse_store::{Client, now};
use serde::Deserialize;
use uuid::Uuid;

use crate::api::Api;
use crate::cursor::{self, List};
use crate::failure::{Failure, Result};
use crate::problems::Kind;
use crate::request::{self, Query};
use crate::wire::{Page, answer};

pub(crate) use exclusions::{decide, exclude, list as excluded, readmit};
use view::{Around, BoardView, Entry, Neighbours, Rank, Ranked, SeasonView, Top};

/// Players on each side of one, where nothing else is asked for, and the most.
const SPAN_DEFAULT: u32 = 5;
const SPAN_MAX: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopQuery {
    season: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AroundQuery {
    season: Option<String>,
    span: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeasonQuery {
    season: Option<String>,
}

/// Where a page ended: the last place on it, and its rank.
struct PageEnd {
    season: String,
    rank: i64,
    place: Place,
}

/// `GET /leaderboards`
pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let after =
        request::cursor(List::Leaderboards, query.0.cursor.as_deref(), |place| BoardName::parse(place).ok())?;
    let limit = request::limit(query.0.limit.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let mut items = Vec::new();
            // There are as many as the configuration names, so they are read at once.
            let all = boards(&client).await?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            let mut behind = all
                .into_iter()
                .filter(|board| after.as_ref().is_none_or(|after| board.stored.board.name > *after));
            let page: Vec<ShownBoard> = behind.by_ref().take(shown).collect();
            let last = page.last().filter(|_| behind.next().is_some());
            let next = last.map(|last| List::Leaderboards.cursor(last.stored.board.name.as_str()));
            for board in page {
                let seasons = seasons(&client, board.stored.id).await?;
                items.push(BoardView::of(&board, now()).with_seasons(seasons));
            }
            Ok(Page { items, next })
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

/// `GET /leaderboards/{board}`
pub(crate) async fn top(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: Query<TopQuery>,
) -> Result<HttpResponse> {
    let name = board(&path.into_inner())?;
    let TopQuery { season, limit, cursor } = query.0;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let page = page(&store.client().await?, &name, season, cursor.as_deref(), limit).await?;
            let items = (page.first_rank..).zip(&page.lines);
            Ok(Top {
                items: items.map(|(rank, line)| Entry::of(&page.board, line, Some(rank))).collect(),
                board: BoardView::of(&page.board, now()),
                season: SeasonView::of(page.season),
                next: page.next,
            })
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

/// A part of a board, from the top.
pub(crate) struct BoardPage {
    pub(crate) board: ShownBoard,
    pub(crate) season: Season,
    /// Of the first of the lines.
    pub(crate) first_rank: i64,
    pub(crate) lines: Vec<EntryLine>,
    /// The cursor of the page that follows.
    pub(crate) next: Option<String>,
}

/// A page of a board: of the season, or of the cursor's, or of the present one.
pub(crate) async fn page(
    client: &Client,
    name: &BoardName,
    season: Option<String>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<BoardPage> {
    let board = find(client, name).await?;
    let list = List::Leaderboard(board.stored.id.0);
    let from = request::cursor(list, cursor, PageEnd::parse)?;
    let asked = season.or_else(|| from.as_ref().map(|from| from.season.clone()));
    let season = season_of(&board, asked.as_deref())?;
    if from.as_ref().is_some_and(|from| from.season != season.name) {
        return Err(Failure::invalid_query("cursor", "it is of another season"));
    }
    let place = from.as_ref().map(|from| from.place);
    let lines = listed(client, board.stored.id, &season.name, place, Towards::Bottom, limit).await?;
    let before = from.map_or(0, |from| from.rank);
    let last = lines.last().filter(|_| u32::try_from(lines.len()) == Ok(limit));
    let next = last.map(|last| {
        let rank = before.saturating_add(i64::from(limit));
        list.cursor(&PageEnd { season: season.name.clone(), rank, place: last.place }.text())
    });
    Ok(BoardPage { board, season, first_rank: before.saturating_add(1), lines, next })
}

/// `GET /leaderboards/{board}/around/{source}/{player}`
pub(crate) async fn around(
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
    query: Query<AroundQuery>,
) -> Result<HttpResponse> {
    let (name, source, player) = whose(path.into_inner())?;
    let span = span(query.0.span.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let found = find(&client, &name).await?;
            let season = season_of(&found, query.0.season.as_deref())?;
            let own = own(&client, &found, &season, player.key(&source)).await?;
            let (id, place) = (found.stored.id, own.place);
            let neighbours = if own.unlisted.is_none() {
                let kept = kept_rank(&client, id, &season.name, place).await?;
                let rank = match kept {
                    Some((rank, as_of)) => Rank::kept(rank, as_of),
                    None => Rank::counted(exact_rank(&client, id, &season.name, place).await?, now()),
                };
                let above = listed(&client, id, &season.name, Some(place), Towards::Top, span).await?;
                let below = listed(&client, id, &season.name, Some(place), Towards::Bottom, span).await?;
                Neighbours { rank, above, below }
            } else {
                Neighbours { rank: Rank::none(), above: Vec::new(), below: Vec::new() }
            };
            Ok(Around::of(&found, season, &own, neighbours))
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

/// `GET /leaderboards/{board}/players/{source}/{player}`
pub(crate) async fn rank(
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
    query: Query<SeasonQuery>,
) -> Result<HttpResponse> {
    let (name, source, player) = whose(path.into_inner())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let found = find(&client, &name).await?;
            let season = season_of(&found, query.0.season.as_deref())?;
            let own = own(&client, &found, &season, player.key(&source)).await?;
            let counted = exact_rank(&client, found.stored.id, &season.name, own.place).await?;
            let rank = match own.unlisted {
                None => Rank::counted(counted, now()),
                Some(_) => Rank::none(),
            };
            Ok(Ranked {
                entry: Entry::of(&found, &own, rank.rank),
                board: BoardView::of(&found, now()),
                season: SeasonView::of(season),
                rank,
            })
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

async fn find(client: &Client, name: &BoardName) -> Result<ShownBoard> {
    find_board(client, name).await?.ok_or_else(unknown_board)
}

/// The player's own entry, also one that is not listed.
async fn own(client: &Client, board: &ShownBoard, season: &Season, player: Uuid) -> Result<EntryLine> {
    let found = entry(client, board.stored.id, &season.name, player).await?;
    found.ok_or_else(|| {
        let detail = "the player has no match in this season that counts for this board";
        Failure::new(Kind::NotOnBoard, detail)
    })
}

/// A board's name in the path.
pub(crate) fn board(text: &str) -> Result<BoardName> {
    BoardName::parse(text).map_err(|_| unknown_board())
}

fn unknown_board() -> Failure {
    Failure::new(Kind::UnknownLeaderboard, "no leaderboard of this name is configured")
}

/// A board and a player in the path.
fn whose((name, source, player): (String, String, String)) -> Result<(BoardName, SourceName, PlayerId)> {
    Ok((board(&name)?, request::source(&source)?, request::player(player)?))
}

/// `season`, of the query; none is the present one.
fn season_of(board: &ShownBoard, text: Option<&str>) -> Result<Season> {
    let kind: SeasonKind = board.stored.board.season;
    let Some(text) = text else { return Ok(kind.at(now())) };
    kind.named(text).ok_or_else(|| {
        let detail = format!("expected the name of a season of this board, as {:?}", kind.at(now()).name);
        Failure::invalid_query("season", detail)
    })
}

/// `span`, of the query.
fn span(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(SPAN_DEFAULT) };
    text.parse()
        .ok()
        .filter(|span| (1..=SPAN_MAX).contains(span))
        .ok_or_else(|| Failure::invalid_query("span", format!("expected a number from 1 to {SPAN_MAX}")))
}

impl PageEnd {
    fn text(&self) -> String {
        let Place { place, reached_at, player } = self.place;
        format!("{} {} {place} {} {player}", self.season, self.rank, reached_at.micros())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let season = parts.next()?.to_owned();
        // Ranks are counted on from there.
        let rank = parts.next()?.parse().ok().filter(|rank| (0..=i64::MAX / 2).contains(rank))?;
        let place = parts.next()?.parse().ok()?;
        let reached_at = cursor::time(parts.next()?)?;
        let player = Uuid::parse_str(parts.next()?).ok()?;
        let whole = parts.next().is_none();
        whole.then_some(Self { season, rank, place: Place { place, reached_at, player } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_of_a_forged_cursor_can_be_counted_on_from() {
        let cursor = |rank: &str| PageEnd::parse(&format!("2026-11 {rank} 7 0 {}", Uuid::nil()));
        for good in [0, 100, i64::MAX / 2] {
            let end = cursor(&good.to_string()).unwrap();
            assert_eq!(end.rank, good);
            assert_eq!(PageEnd::parse(&end.text()).unwrap().rank, good);
            // What a page makes of it: its own ranks, and the cursor behind it.
            assert!(end.rank.checked_add(i64::from(u32::MAX)).is_some());
        }
        for bad in ["-1", "4611686018427387904", "9223372036854775807", "9223372036854775808", "1.5", ""] {
            assert!(cursor(bad).is_none(), "{bad}");
        }
    }
}
