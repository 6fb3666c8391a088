//! What boards and ratings have not got yet.

use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::later::own;
use crate::listener::Listener;
use crate::time::At;
use crate::words::word;
use crate::{Client, Result, StoreOptions, Tx};

/// The channel on which PostgreSQL tells that there is something in the feed.
pub const RESULTS_CHANNEL: &str = "matchpurse_results";

/// What a row of the feed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedKind {
    /// A match with statistics was counted or corrected.
    Stats,
    /// A match that may hold stakes ended, or got another end.
    Match,
    /// A player may be listed who was not, or the other way round.
    Player,
}

/// A row of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub kind: FeedKind,
    /// The key of that.
    pub key: Uuid,
}

/// What waits in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Rows; more than a few thousand are not counted.
    pub rows: i64,
    /// Since when the oldest one waits.
    pub since: Option<Timestamp>,
    /// Entries of boards that must be made anew; more than a few thousand are not counted.
    pub entries: i64,
    /// The games, and whether each is being rated anew.
    pub games: Vec<(String, bool)>,
}

impl FeedKind {
    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Match => "match",
            Self::Player => "player",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Stats, Self::Match, Self::Player].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Begins to listen for what comes into the feed. What was told before is not told, so whoever listens looks once by
/// himself.
///
/// # Errors
/// When the database is away.
pub async fn listen(options: &StoreOptions) -> Result<Listener> {
    Listener::to(options, RESULTS_CHANNEL).await
}

/// Tells boards and ratings of these, at commit. What it is about must be written in the same transaction; it travels
/// with what comes next in it.
///
/// # Errors
/// [`crate::Error`].
pub async fn feed_in_tx(tx: &Tx<'_>, kind: FeedKind, keys: &[Uuid]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO result_feed (kind, key) SELECT $1, k FROM unnest($2::uuid[]) AS new (k)";
    tx.later(sql, vec![own(kind.as_str()), own(keys.to_vec())]);
    tx.tell(RESULTS_CHANNEL);
    Ok(())
}

/// The oldest rows, at most `limit`. Who consumes them takes them away by [`eat_in_tx`].
///
/// # Errors
/// [`crate::Error`].
pub async fn fed_in_tx(tx: &Tx<'_>, limit: i64) -> Result<Vec<Fed>> {
    let rows = tx.query("SELECT id, kind, key FROM result_feed ORDER BY id LIMIT $1", &[&limit]).await?;
    let fed = rows.iter().map(|row| {
        let kind = word(row, "kind", FeedKind::parse)?;
        Ok(Fed { id: row.try_get("id")?, kind, key: row.try_get("key")? })
    });
    fed.collect()
}

/// Takes rows out of the feed.
///
/// # Errors
/// [`crate::Error`].
pub async fn eat_in_tx(tx: &Tx<'_>, fed: &[Fed]) -> Result<()> {
    let ids: Vec<i64> = fed.iter().map(|fed| fed.id).collect();
    tx.execute("DELETE FROM result_feed WHERE id = ANY($1)", &[&ids]).await?;
    Ok(())
}

/// Puts up to `limit` matches into the feed that are older than it. False when all are in it; then nothing is written.
///
/// # Errors
/// [`crate::Error`].
pub async fn fill_in_tx(tx: &Tx<'_>, limit: i64) -> Result<bool> {
    let Some(row) =
        tx.query("SELECT kind, filled_to FROM result_fill ORDER BY kind LIMIT 1", &[]).await?.pop()
    else {
        return Ok(false);
    };
    let kind: String = row.try_get("kind")?;
    let after: Uuid = row.try_get("filled_to")?;
    // Those that have not ended come by themselves.
    let matches = match kind.as_str() {
        "stats" => {
            "SELECT stats_key AS k FROM stats_match WHERE counted AND stats_key > $2 ORDER BY 1 LIMIT $3"
        }
        _ => {
            "SELECT match_key AS k FROM match WHERE settlement IS NOT NULL AND match_key > $2 ORDER BY 1 LIMIT $3"
        }
    };
    let sql = format!(
        "WITH old AS ({matches}),
              fed AS (INSERT INTO result_feed (kind, key) SELECT $1, k FROM old ORDER BY k)
         SELECT k FROM old ORDER BY k DESC LIMIT 1"
    );
    match tx.query(&sql, &[&kind, &after, &limit]).await?.pop() {
        Some(last) => {
            let last: Uuid = last.try_get(0)?;
            tx.execute("UPDATE result_fill SET filled_to = $2 WHERE kind = $1", &[&kind, &last]).await?;
        }
        None => _ = tx.execute("DELETE FROM result_fill WHERE kind = $1", &[&kind]).await?,
    }
    Ok(true)
}

/// What waits, for a gauge.
///
/// # Errors
/// [`crate::Error`].
pub async fn waiting(client: &Client) -> Result<Waiting> {
    let sql = "SELECT (SELECT count(*) FROM (SELECT FROM result_feed LIMIT 10000) r) AS rows,
                      (SELECT at FROM result_feed ORDER BY id LIMIT 1) AS since,
                      (SELECT count(*) FROM (SELECT FROM board_todo LIMIT 10000) t) AS entries";
    let row = client.query_one(sql, &[]).await?;
    let since: Option<At> = row.try_get("since")?;
    let sql = "SELECT game, recomputing_since IS NOT NULL FROM rating_game ORDER BY game";
    let games = client.query(sql, &[]).await?;
    Ok(Waiting {
        rows: row.try_get("rows")?,
        since: since.map(|At(at)| at),
        entries: row.try_get("entries")?,
        games: games.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?,
    })
}
