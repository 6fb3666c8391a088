//! Whom operators take off a board, and let back.

use matchpurse_domain::boards::BoardName;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::entries::changed_in_tx;
use super::{BoardId, FeedKind, feed_in_tx};
use crate::time::At;
use crate::{Client, Result, Tx};

/// Who takes a player off a board or lets one back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The board.
    pub board: BoardName,
    /// The player.
    pub player: Uuid,
    /// Who decides.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A player who was taken off a board, as the last decision has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusionLine {
    /// The player's source.
    pub source: SourceName,
    /// The provider's id.
    pub player_id: PlayerId,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Where it stands in the list.
    pub place: ExclusionPlace,
}

/// A place in the list of who is off a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExclusionPlace {
    /// Since when.
    pub excluded_at: Timestamp,
    /// Who.
    pub player: Uuid,
}

/// Takes a player off a board, in all seasons, at commit. False when it was done before; then nothing is written.
///
/// # Errors
/// [`crate::Error`].
pub async fn exclude_in_tx(tx: &Tx<'_>, decision: &Decision, now: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO board_exclusion (board, player_key, excluded_at) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING";
    let board = decision.board.as_str();
    if tx.execute(sql, &[&board, &decision.player, &At(now)]).await? == 0 {
        return Ok(false);
    }
    record(tx, "excluded", decision, now).await?;
    // Nobody waits for the entries to be made anew, which is done too: who was just taking this player's entry in hand
    // may not have seen the decision.
    let sql = "UPDATE board_entry e SET unlisted = 'excluded' FROM board b
                WHERE b.board_id = e.board_id AND b.name = $1 AND b.state IN ('building', 'current')
                  AND e.player_key = $2
               RETURNING e.board_id, e.season";
    for row in tx.query(sql, &[&board, &decision.player]).await? {
        let season: &str = row.try_get("season")?;
        changed_in_tx(tx, BoardId(row.try_get("board_id")?), &[season], now).await?;
    }
    feed_in_tx(tx, FeedKind::Player, &[decision.player]).await?;
    Ok(true)
}

/// Lets a player back onto a board: the entries, which were kept up to date, are listed again within a moment. False
/// when the player was not taken off.
///
/// # Errors
/// [`crate::Error`].
pub async fn readmit_in_tx(tx: &Tx<'_>, decision: &Decision, now: Timestamp) -> Result<bool> {
    let sql = "DELETE FROM board_exclusion WHERE board = $1 AND player_key = $2";
    if tx.execute(sql, &[&decision.board.as_str(), &decision.player]).await? == 0 {
        return Ok(false);
    }
    record(tx, "readmitted", decision, now).await?;
    feed_in_tx(tx, FeedKind::Player, &[decision.player]).await?;
    Ok(true)
}

async fn record(tx: &Tx<'_>, kind: &str, decision: &Decision, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO board_operation (kind, board, player_key, actor, reason, at)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let Decision { board, player, actor, reason } = decision;
    tx.execute(sql, &[&kind, &board.as_str(), player, actor, reason, &At(now)]).await?;
    Ok(())
}

/// Whether there is such a player.
///
/// # Errors
/// [`crate::Error`].
pub async fn is_known(client: &Client, player: Uuid) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM player WHERE player_key = $1)";
    Ok(client.query_one(sql, &[&player]).await?.try_get(0)?)
}

/// Who is off a board, the latest first, behind a place.
///
/// # Errors
/// [`crate::Error`].
pub async fn exclusions(
    client: &Client,
    board: &BoardName,
    after: Option<ExclusionPlace>,
    limit: u32,
) -> Result<Vec<ExclusionLine>> {
    let sql = "SELECT p.source, p.player_id, o.actor, o.reason, o.at, x.excluded_at, x.player_key
                 FROM board_exclusion x JOIN player p USING (player_key)
                CROSS JOIN LATERAL (
                  SELECT * FROM board_operation o WHERE o.board = x.board AND o.player_key = x.player_key
                   ORDER BY operation_id DESC LIMIT 1) o
                WHERE x.board = $1
                  AND ($3::timestamptz IS NULL OR x.excluded_at < $3 OR x.excluded_at = $3 AND x.player_key > $4)
                ORDER BY x.excluded_at DESC, x.player_key LIMIT $2";
    let (at, player) = (after.map(|place| At(place.excluded_at)), after.map(|place| place.player));
    let rows = client.query(sql, &[&board.as_str(), &i64::from(limit), &at, &player]).await?;
    let line = |row: &tokio_postgres::Row| {
        Ok(ExclusionLine {
            source: crate::words::word(row, "source", |text| SourceName::parse(text).ok())?,
            player_id: PlayerId::new(row.try_get::<_, String>("player_id")?),
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
            at: row.try_get::<_, At>("at")?.0,
            place: ExclusionPlace {
                excluded_at: row.try_get::<_, At>("excluded_at")?.0,
                player: row.try_get("player_key")?,
            },
        })
    };
    rows.iter().map(line).collect()
}
