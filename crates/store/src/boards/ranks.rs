//! Kept ranks of large seasons: the rank of every so many-th place. The others are found by counting from the nearest
//! mark, so a season of a million players takes some thousand rows, and who came after the marks were made has a rank too.

use std::time::Duration;

use matchpurse_domain::time::Timestamp;

use super::BoardId;
use crate::time::At;
use crate::{Result, Tx};

/// Every so many-th place has a mark.
const MARK_EVERY: i64 = 128;

/// A season of millions may take longer than what a worker's statements may.
const SEASON_TIMEOUT: Duration = Duration::from_secs(60);

/// The next season whose players must be counted: it has changed, and was counted last before `counted_before`.
///
/// # Errors
/// [`crate::Error`].
pub async fn uncounted_in_tx(tx: &Tx<'_>, counted_before: Timestamp) -> Result<Option<(BoardId, String)>> {
    let sql = "SELECT s.board_id, s.season FROM board_season s JOIN board b USING (board_id)
                WHERE b.state = 'current'
                  AND (s.counted_at IS NULL OR s.changed_at >= s.counted_at AND s.counted_at < $1)
                ORDER BY s.counted_at NULLS FIRST, s.board_id, s.season LIMIT 1";
    let row = tx.query(sql, &[&At(counted_before)]).await?.pop();
    row.map(|row| Ok((BoardId(row.try_get("board_id")?), row.try_get("season")?))).transpose()
}

/// Counts the listed players of a season, and keeps ranks if they are at least `players_min`. Returns how many they are.
///
/// # Errors
/// [`crate::Error`].
pub async fn count_in_tx(
    tx: &Tx<'_>,
    board: BoardId,
    season: &str,
    players_min: i64,
    now: Timestamp,
) -> Result<i64> {
    tx.allow(SEASON_TIMEOUT).await?;
    let sql = "DELETE FROM board_rank WHERE board_id = $1 AND season = $2";
    tx.execute(sql, &[&board.0, &season]).await?;
    let sql = "SELECT count(*) FROM board_entry WHERE board_id = $1 AND season = $2 AND unlisted IS NULL";
    let players: i64 = tx.query_one(sql, &[&board.0, &season]).await?.try_get(0)?;
    if players >= players_min {
        let sql = "INSERT INTO board_rank (board_id, season, place, reached_at, player_key, rank)
                   SELECT $1, $2, place, reached_at, player_key, rank
                     FROM (SELECT place, reached_at, player_key,
                                  row_number() OVER (ORDER BY place, reached_at, player_key) AS rank
                             FROM board_entry WHERE board_id = $1 AND season = $2 AND unlisted IS NULL) all_ranks
                    WHERE (rank - 1) % $3 = 0";
        tx.execute(sql, &[&board.0, &season, &MARK_EVERY]).await?;
    }
    let sql = "UPDATE board_season SET counted_at = $3, players = $4 WHERE board_id = $1 AND season = $2";
    tx.execute(sql, &[&board.0, &season, &At(now), &players]).await?;
    Ok(players)
}
