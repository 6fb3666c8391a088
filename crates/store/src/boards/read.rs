//! Boards and ratings as people read them.

use matchpurse_domain::boards::{BoardName, Unlisted};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::definitions::{self, StoredBoard};
use super::ratings::{Rated, RatingStep, rated};
use super::results::Position;
use super::{BoardId, FeedKind};
use crate::time::At;
use crate::words::{optional_word, word};
use crate::{Client, Result};

/// A season of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeasonLine {
    /// Its name.
    pub name: String,
    /// How many players were listed when they were last counted.
    pub players: i64,
    /// When that was.
    pub counted_at: Option<Timestamp>,
}

/// A board as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownBoard {
    /// The definition that is read.
    pub stored: StoredBoard,
    /// True while another definition of it is being made, or this one for the first time.
    pub building: bool,
    /// Since when the ratings are not complete that it goes by.
    pub recomputing_since: Option<Timestamp>,
}

/// Where a player is on a board: the order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The score, so that the smaller is the better.
    pub place: i64,
    /// When it was reached.
    pub reached_at: Timestamp,
    /// The player.
    pub player: Uuid,
}

/// A player on a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryLine {
    /// Whose it is.
    pub source: SourceName,
    /// The provider's id.
    pub player_id: PlayerId,
    /// The score, in the places of the metric.
    pub score: i64,
    /// Of how many matches.
    pub matches: i64,
    /// Where it stands.
    pub place: Place,
    /// Why it is not listed.
    pub unlisted: Option<Unlisted>,
}

/// A player's rating in a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatingLine {
    /// The game.
    pub game: String,
    /// The rating.
    pub rated: Rated,
    /// Since when the game's matches are being rated anew.
    pub recomputing_since: Option<Timestamp>,
    /// The last matches, the newest first.
    pub steps: Vec<StepLine>,
}

/// What a match did to a rating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// What it did.
    pub step: RatingStep,
    /// The match's source, and the provider's id of it.
    pub of: Option<(SourceName, String)>,
}

/// All boards that are configured, by name, and those that were.
///
/// # Errors
/// [`crate::Error`].
pub async fn boards(client: &Client) -> Result<Vec<ShownBoard>> {
    let sql = format!("{SHOWN} ORDER BY b.name");
    client.query(&sql, &[]).await?.iter().map(shown).collect()
}

/// The board of this name.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_board(client: &Client, name: &BoardName) -> Result<Option<ShownBoard>> {
    let sql = format!("{SHOWN} AND b.name = $1");
    client.query_opt(&sql, &[&name.as_str()]).await?.as_ref().map(shown).transpose()
}

/// The one that is read; while a board is made for the first time, that one.
const SHOWN: &str = "SELECT b.*, g.recomputing_since,
                            EXISTS (SELECT FROM board n WHERE n.name = b.name AND n.state = 'building') AS building
                       FROM board b
                       LEFT JOIN rating_game g ON b.metric = 'skill' AND g.game = b.game
                      WHERE (b.state = 'current'
                             OR b.state = 'building' AND NOT EXISTS (
                                SELECT FROM board c WHERE c.name = b.name AND c.state = 'current'))";

fn shown(row: &Row) -> Result<ShownBoard> {
    let since: Option<At> = row.try_get("recomputing_since")?;
    Ok(ShownBoard {
        stored: definitions::read(row)?,
        building: row.try_get("building")?,
        recomputing_since: since.map(|At(at)| at),
    })
}

/// The seasons that a board has had, the newest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn seasons(client: &Client, board: BoardId) -> Result<Vec<SeasonLine>> {
    let sql = "SELECT season, players, counted_at FROM board_season WHERE board_id = $1 ORDER BY season DESC";
    let rows = client.query(sql, &[&board.0]).await?;
    let line = |row: &Row| {
        let counted_at: Option<At> = row.try_get("counted_at")?;
        Ok(SeasonLine {
            name: row.try_get("season")?,
            players: row.try_get("players")?,
            counted_at: counted_at.map(|At(at)| at),
        })
    };
    rows.iter().map(line).collect()
}

const ENTRY: &str = "SELECT e.*, p.source, p.player_id FROM board_entry e JOIN player p USING (player_key)";

fn entry_line(row: &Row) -> Result<EntryLine> {
    Ok(EntryLine {
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        player_id: PlayerId::new(row.try_get::<_, String>("player_id")?),
        score: row.try_get("score")?,
        matches: row.try_get("matches")?,
        place: Place {
            place: row.try_get("place")?,
            reached_at: row.try_get::<_, At>("reached_at")?.0,
            player: row.try_get("player_key")?,
        },
        unlisted: optional_word(row, "unlisted", Unlisted::parse)?,
    })
}

/// Which way to go from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// To those who are better, the nearest first.
    Top,
    /// To those who are worse, the nearest first.
    Bottom,
}

/// The listed players next to a place in the board's order, without the one who has it; none stands for the top.
///
/// # Errors
/// [`crate::Error`].
pub async fn listed(
    client: &Client,
    board: BoardId,
    season: &str,
    from: Option<Place>,
    towards: Towards,
    limit: u32,
) -> Result<Vec<EntryLine>> {
    let (compare, order) = match towards {
        Towards::Top => ("<", "DESC"),
        Towards::Bottom => (">", "ASC"),
    };
    let limit = i64::from(limit);
    let beyond = format!("(e.place, e.reached_at, e.player_key) {compare} ($4, $5, $6)");
    let only = if from.is_some() { beyond.as_str() } else { "true" };
    let sql = format!(
        "{ENTRY} WHERE e.board_id = $1 AND e.season = $2 AND e.unlisted IS NULL AND {only}
          ORDER BY e.place {order}, e.reached_at {order}, e.player_key {order} LIMIT $3"
    );
    let rows = match from {
        Some(from) => {
            let parameters: crate::client::Params<'_> =
                &[&board.0, &season, &limit, &from.place, &At(from.reached_at), &from.player];
            client.query(&sql, parameters).await?
        }
        None => client.query(&sql, &[&board.0, &season, &limit]).await?,
    };
    rows.iter().map(entry_line).collect()
}

/// One player's entry, also one that is not listed.
///
/// # Errors
/// [`crate::Error`].
pub async fn entry(client: &Client, board: BoardId, season: &str, player: Uuid) -> Result<Option<EntryLine>> {
    let sql = format!("{ENTRY} WHERE e.board_id = $1 AND e.season = $2 AND e.player_key = $3");
    client.query_opt(&sql, &[&board.0, &season, &player]).await?.as_ref().map(entry_line).transpose()
}

/// The rank that a place has at this moment, from 1, which is counted; and how many players were listed when they were
/// last counted.
///
/// # Errors
/// [`crate::Error`].
pub async fn exact_rank(client: &Client, board: BoardId, season: &str, place: Place) -> Result<(i64, i64)> {
    // One range of one index. To count those behind it too would take as long again, for a number that nobody needs to
    // the last player.
    let sql = "SELECT (SELECT count(*) FROM board_entry WHERE board_id = $1 AND season = $2 AND unlisted IS NULL
                          AND (place, reached_at, player_key) < ($3, $4, $5)) + 1 AS rank,
                      coalesce((SELECT players FROM board_season WHERE board_id = $1 AND season = $2), 0) AS players";
    let row = client
        .query_one(sql, &[&board.0, &season, &place.place, &At(place.reached_at), &place.player])
        .await?;
    let (rank, players): (i64, i64) = (row.try_get("rank")?, row.try_get("players")?);
    Ok((rank, players.max(rank)))
}

/// The rank that a place has by the kept ranks, and as of when they are; none where none are kept.
///
/// # Errors
/// [`crate::Error`].
pub async fn kept_rank(
    client: &Client,
    board: BoardId,
    season: &str,
    place: Place,
) -> Result<Option<(i64, Timestamp)>> {
    let sql = "SELECT m.rank + (SELECT count(*) FROM board_entry e
                                 WHERE e.board_id = $1 AND e.season = $2 AND e.unlisted IS NULL
                                   AND (e.place, e.reached_at, e.player_key) >= (m.place, m.reached_at, m.player_key)
                                   AND (e.place, e.reached_at, e.player_key) < ($3, $4, $5)) AS rank,
                      s.counted_at
                 FROM board_season s
                CROSS JOIN LATERAL (
                  SELECT * FROM (
                    SELECT place, reached_at, player_key, rank, 0 AS preference FROM board_rank r
                     WHERE r.board_id = $1 AND r.season = $2
                       AND (r.place, r.reached_at, r.player_key) <= ($3, $4, $5)
                     ORDER BY r.place DESC, r.reached_at DESC, r.player_key DESC LIMIT 1) nearest
                  UNION ALL
                  -- Who is better than all who have marks: there are only those who came since.
                  SELECT -9223372036854775808, '-infinity', '00000000-0000-0000-0000-000000000000', 1, 1
                   WHERE EXISTS (SELECT FROM board_rank r WHERE r.board_id = $1 AND r.season = $2)
                  ORDER BY preference LIMIT 1) m
                WHERE s.board_id = $1 AND s.season = $2 AND s.counted_at IS NOT NULL";
    let parameters: crate::client::Params<'_> =
        &[&board.0, &season, &place.place, &At(place.reached_at), &place.player];
    let row = client.query_opt(sql, parameters).await?;
    row.map(|row| Ok((row.try_get("rank")?, row.try_get::<_, At>("counted_at")?.0))).transpose()
}

/// A player's ratings by game, each with what the last `steps` matches did to it.
///
/// # Errors
/// [`crate::Error`].
pub async fn ratings_of(client: &Client, player: Uuid, steps: u32) -> Result<Vec<RatingLine>> {
    let sql = "SELECT r.*, g.recomputing_since FROM rating r LEFT JOIN rating_game g USING (game)
                WHERE r.player_key = $1 ORDER BY r.game";
    let mut lines = Vec::new();
    for row in &client.query(sql, &[&player]).await? {
        let game: String = row.try_get("game")?;
        let since: Option<At> = row.try_get("recomputing_since")?;
        lines.push(RatingLine {
            rated: rated(row)?,
            recomputing_since: since.map(|At(at)| at),
            steps: steps_of(client, &game, player, steps).await?,
            game,
        });
    }
    Ok(lines)
}

async fn steps_of(client: &Client, game: &str, player: Uuid, limit: u32) -> Result<Vec<StepLine>> {
    let sql = "SELECT s.*, s.nth AS matches, r.source, coalesce(t.match_id, m.match_id) AS match_id
                 FROM rating_step s
                 LEFT JOIN result r ON r.result_key = s.result_key
                 LEFT JOIN stats_match t ON t.stats_key = s.result_key AND r.kind = $4
                 LEFT JOIN match m ON m.match_key = s.result_key AND r.kind = $5
                WHERE s.player_key = $1 AND s.game = $2
                ORDER BY s.ended_at DESC, s.result_key DESC LIMIT $3";
    let (stats, matches) = (FeedKind::Stats.as_str(), FeedKind::Match.as_str());
    let rows = client.query(sql, &[&player, &game, &i64::from(limit), &stats, &matches]).await?;
    let line = |row: &Row| {
        let source = optional_word(row, "source", |text| SourceName::parse(text).ok())?;
        let match_id: Option<String> = row.try_get("match_id")?;
        let before = (row.try_get("mean_before")?, row.try_get("uncertainty_before")?);
        let position = Position::read(row, "ended_at", "result_key")?;
        let step = RatingStep { position, player, before, after: rated(row)? };
        Ok(StepLine { step, of: source.zip(match_id) })
    };
    rows.iter().map(line).collect()
}
