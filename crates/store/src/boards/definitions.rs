//! Boards as they were defined: the one that is read, the one that is being made, and what is left of replaced ones.

use std::collections::BTreeSet;

use matchpurse_domain::boards::{Board, BoardName, Direction, Metric, SeasonKind};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use super::results::{MatchResult, known};
use crate::time::At;
use crate::words::{optional_word, unknown, word};
use crate::{Result, Tx};

/// A board's number; another definition of the same name has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoardId(pub i32);

/// Where a board is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoardState {
    /// Its entries are being made; the one before it is still read.
    Building,
    /// It is the one that is read.
    Current,
    /// Another definition has taken its place.
    Replaced,
}

/// A board with where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBoard {
    /// Its number.
    pub id: BoardId,
    /// Its definition.
    pub board: Board,
    /// Where it is.
    pub state: BoardState,
    /// While it is built: up to which match everybody's entries are in the list of what to do. [`Uuid::max`]: all.
    pub built_to: Option<Uuid>,
    /// When it left the configuration.
    pub removed_at: Option<Timestamp>,
}

impl BoardState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Current => "current",
            Self::Replaced => "replaced",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Building, Self::Current, Self::Replaced].into_iter().find(|state| state.as_str() == text)
    }
}

/// What tells a definition from another one. `method` is the version of how scores are made.
fn digest(board: &Board, method: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    };
    for text in [method, board.metric.as_str(), board.direction.as_str(), board.season.as_str()] {
        part(text);
    }
    part(board.game.as_deref().unwrap_or_default());
    part(board.currency.as_ref().map(CurrencyCode::as_str).unwrap_or_default());
    part(&board.min_matches.to_string());
    part(if board.exclude_banned { "exclude_banned" } else { "" });
    part(if board.sources.is_some() { "some" } else { "all" });
    board.sources.iter().flatten().for_each(|source| part(source.as_str()));
    hash.finalize().into()
}

/// Brings the configuration's boards into the database. One that is new or was changed is made from now on; one that
/// is not configured any more is kept as it is.
///
/// # Errors
/// [`crate::Error`].
pub async fn bring_boards_in_tx<'b>(
    tx: &Tx<'_>,
    boards: impl IntoIterator<Item = &'b Board>,
    method: &str,
    now: Timestamp,
) -> Result<()> {
    let mut names = Vec::new();
    for board in boards {
        bring(tx, board, &digest(board, method), now).await?;
        names.push(board.name.as_str());
    }
    replace(tx, "state = 'building' AND name <> ALL($1)", &[&names], now).await?;
    let sql = "UPDATE board SET removed_at = $2
                WHERE state = 'current' AND removed_at IS NULL AND name <> ALL($1)";
    tx.execute(sql, &[&names, &At(now)]).await?;
    let sql =
        "DELETE FROM board_todo t USING board b WHERE b.board_id = t.board_id AND b.removed_at IS NOT NULL";
    tx.execute(sql, &[]).await?;
    Ok(())
}

async fn bring(tx: &Tx<'_>, board: &Board, digest: &[u8; 32], now: Timestamp) -> Result<()> {
    let (name, digest) = (board.name.as_str(), digest.as_slice());
    replace(tx, "state = 'building' AND name = $1 AND digest <> $2", &[&name, &digest], now).await?;
    let min_matches = i32::try_from(board.min_matches).unwrap_or(i32::MAX);
    let sources: Option<Vec<&str>> =
        board.sources.as_ref().map(|sources| sources.iter().map(SourceName::as_str).collect());
    // One that had left the configuration has missed what came meanwhile.
    let sql = "INSERT INTO board (name, state, digest, metric, direction, season, game, sources, currency,
                                  min_matches, exclude_banned, built_to, created_at)
               SELECT $1, 'building', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
                WHERE NOT EXISTS (SELECT FROM board WHERE name = $1 AND digest = $2 AND removed_at IS NULL
                                                      AND state IN ('building', 'current'))";
    let parameters: crate::client::Params<'_> = &[
        &name,
        &digest,
        &board.metric.as_str(),
        &board.direction.as_str(),
        &board.season.as_str(),
        &board.game,
        &sources,
        &board.currency.as_ref().map(CurrencyCode::as_str),
        &min_matches,
        &board.exclude_banned,
        &Uuid::nil(),
        &At(now),
    ];
    tx.execute(sql, parameters).await?;
    Ok(())
}

/// Ends boards that are still being built. `only` is a condition with `parameters`.
async fn replace(
    tx: &Tx<'_>,
    only: &str,
    parameters: crate::client::Params<'_>,
    now: Timestamp,
) -> Result<()> {
    let time = parameters.len().saturating_add(1);
    let sql =
        format!("UPDATE board SET state = 'replaced', built_at = ${time}, built_to = NULL WHERE {only}");
    let now = At(now);
    let mut all = parameters.to_vec();
    all.push(&now);
    tx.execute(&sql, &all).await?;
    Ok(())
}

/// The boards that get what comes: those that are read, and those that are being built.
///
/// # Errors
/// [`crate::Error`].
pub async fn live_boards_in_tx(tx: &Tx<'_>) -> Result<Vec<StoredBoard>> {
    let sql =
        "SELECT * FROM board WHERE state IN ('building', 'current') AND removed_at IS NULL ORDER BY board_id";
    tx.query(sql, &[]).await?.iter().map(read).collect()
}

/// The next matches by key after `after`, at most `limit`: what a board that is being built goes through.
///
/// # Errors
/// [`crate::Error`].
pub async fn results_by_key_in_tx(tx: &Tx<'_>, after: Uuid, limit: i64) -> Result<Vec<MatchResult>> {
    let sql = "SELECT * FROM result WHERE result_key > $1 ORDER BY result_key LIMIT $2";
    tx.query(sql, &[&after, &limit]).await?.iter().map(known).collect()
}

/// Notes how far a board is built.
///
/// # Errors
/// [`crate::Error`].
pub async fn built_to_in_tx(tx: &Tx<'_>, board: BoardId, to: Uuid) -> Result<()> {
    tx.execute("UPDATE board SET built_to = $2 WHERE board_id = $1", &[&board.0, &to]).await?;
    Ok(())
}

/// Makes a board that is built the one that is read, unless there is still something to do for it, or matches are not
/// yet known to boards. Returns whether it is now.
///
/// # Errors
/// [`crate::Error`].
pub async fn open_board_in_tx(tx: &Tx<'_>, board: &StoredBoard, now: Timestamp) -> Result<bool> {
    let waits = "SELECT EXISTS (SELECT FROM board_todo WHERE board_id = $1)
                     OR EXISTS (SELECT FROM result_fill) OR EXISTS (SELECT FROM result_feed)";
    if tx.query_one(waits, &[&board.id.0]).await?.try_get(0)? {
        return Ok(false);
    }
    let name = board.board.name.as_str();
    tx.execute("UPDATE board SET state = 'replaced' WHERE name = $1 AND state = 'current'", &[&name]).await?;
    let sql = "UPDATE board SET state = 'current', built_at = $2, built_to = NULL WHERE board_id = $1";
    tx.execute(sql, &[&board.id.0, &At(now)]).await?;
    Ok(true)
}

/// Clears away up to `limit` entries of a board that was replaced, and in the end the board. False when there is none.
///
/// # Errors
/// [`crate::Error`].
pub async fn clear_replaced_in_tx(tx: &Tx<'_>, limit: i64) -> Result<bool> {
    let sql = "SELECT board_id FROM board WHERE state = 'replaced' ORDER BY board_id LIMIT 1";
    let Some(row) = tx.query(sql, &[]).await?.pop() else { return Ok(false) };
    let id: i32 = row.try_get(0)?;
    let mut cleared = 0;
    for table in ["board_entry", "board_todo", "board_rank"] {
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE board_id = $1 LIMIT $2))"
        );
        cleared += tx.execute(&sql, &[&id, &limit]).await?;
    }
    if cleared == 0 {
        tx.execute("DELETE FROM board_season WHERE board_id = $1", &[&id]).await?;
        tx.execute("DELETE FROM board WHERE board_id = $1", &[&id]).await?;
    }
    Ok(true)
}

pub(super) fn read(row: &Row) -> Result<StoredBoard> {
    let sources: Option<Vec<&str>> = row.try_get("sources")?;
    let source = |text: &str| SourceName::parse(text).map_err(|_| unknown("source"));
    let sources = sources.map(|texts| texts.into_iter().map(source).collect::<Result<BTreeSet<_>>>());
    let min_matches: i32 = row.try_get("min_matches")?;
    let removed_at: Option<At> = row.try_get("removed_at")?;
    Ok(StoredBoard {
        id: BoardId(row.try_get("board_id")?),
        board: Board {
            name: word(row, "name", |text| BoardName::parse(text).ok())?,
            metric: word(row, "metric", Metric::parse)?,
            direction: word(row, "direction", Direction::parse)?,
            season: word(row, "season", SeasonKind::parse)?,
            game: row.try_get("game")?,
            sources: sources.transpose()?,
            currency: optional_word(row, "currency", |text| CurrencyCode::parse(text).ok())?,
            min_matches: u32::try_from(min_matches).map_err(|_| unknown("min_matches"))?,
            exclude_banned: row.try_get("exclude_banned")?,
        },
        state: word(row, "state", BoardState::parse)?,
        built_to: row.try_get("built_to")?,
        removed_at: removed_at.map(|At(at)| at),
    })
}
