//! Matches that another source's match decides: which one, and whether it has.
//!
//! A link says nothing by itself: a job looks for linked matches that have ended and tells the result, one match in a
//! transaction. A link that is waited for can be set anew; one that has done its work stays.

use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::escrow::MatchKey;
use crate::stats::StatsKey;
use crate::time::At;
use crate::words::{unknown, word};
use crate::{Client, Result, Tx};

/// A link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The operation that set it.
    pub operation: EventId,
    /// The match that decides.
    pub decided_by: StatsKey,
    /// The side that its first team stands for.
    pub team1: String,
    /// The side that its second team stands for.
    pub team2: String,
    /// Where it is.
    pub state: LinkState,
    /// Why it could not decide.
    pub failure: Option<String>,
    /// When it was set.
    pub at: Timestamp,
}

/// Where a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// The linked match has not ended.
    Waiting,
    /// The linked match has given the result.
    Decided,
    /// The linked match has ended, and its end was no result.
    Failed,
}

/// The end of a linked match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedEnd {
    /// The link.
    pub link: Link,
    /// Whether the provider of the match that is decided is told of the result.
    pub report: bool,
    /// The points of both teams; none where it was called off, or nobody knows them.
    pub scores: Option<(i64, i64)>,
}

impl LinkState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Decided, Self::Failed];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Decided => "decided",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Sets a match's link, or sets it anew. The match must be locked. False where it has decided already.
///
/// # Errors
/// [`crate::Error`].
pub async fn put_in_tx(tx: &Tx<'_>, key: &MatchKey, link: &Link, report: bool) -> Result<bool> {
    let sql = "INSERT INTO match_link AS l (match_key, operation_id, source, match_id, stats_key, team1, team2, report, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               ON CONFLICT (match_key) DO UPDATE
                  SET operation_id = EXCLUDED.operation_id, source = EXCLUDED.source, match_id = EXCLUDED.match_id,
                      stats_key = EXCLUDED.stats_key, team1 = EXCLUDED.team1, team2 = EXCLUDED.team2,
                      report = EXCLUDED.report, at = EXCLUDED.at, state = 'waiting', failure = NULL
                WHERE l.state <> 'decided'";
    let parameters: crate::client::Params<'_> = &[
        &key.uuid(),
        &link.operation.uuid(),
        &link.decided_by.source.as_str(),
        &link.decided_by.match_id,
        &link.decided_by.uuid(),
        &link.team1,
        &link.team2,
        &report,
        &At(link.at),
    ];
    Ok(tx.execute(sql, parameters).await? > 0)
}

/// A match's link.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, key: &MatchKey) -> Result<Option<Link>> {
    let sql = "SELECT * FROM match_link WHERE match_key = $1";
    client.query_opt(sql, &[&key.uuid()]).await?.as_ref().map(read).transpose()
}

/// As [`find`], within a transaction that has locked the match.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_in_tx(tx: &Tx<'_>, key: &MatchKey) -> Result<Option<Link>> {
    let sql = "SELECT * FROM match_link WHERE match_key = $1";
    tx.query(sql, &[&key.uuid()]).await?.first().map(read).transpose()
}

/// At most so many matches whose linked match of one of these sources has ended, those that were linked first.
///
/// # Errors
/// [`crate::Error`].
pub async fn ended(client: &Client, sources: &[&str], most: i64) -> Result<Vec<MatchKey>> {
    let sql = "SELECT m.source, m.kind, m.match_id
                 FROM match_link l JOIN match m USING (match_key) JOIN stats_match s USING (stats_key)
                WHERE l.state = 'waiting' AND l.source = ANY ($1) AND (s.counted OR s.canceled)
                ORDER BY l.at LIMIT $2";
    let key = |row: &Row| {
        Ok(MatchKey {
            source: word(row, "source", |text| SourceName::parse(text).ok())?,
            kind: word(row, "kind", MatchKind::parse)?,
            match_id: row.try_get("match_id")?,
        })
    };
    client.query(sql, &[&sources, &most]).await?.iter().map(key).collect()
}

/// The end that a match waits for, if it has come and the link still waits. The match must be locked.
///
/// # Errors
/// [`crate::Error`].
pub async fn end_in_tx(tx: &Tx<'_>, key: &MatchKey) -> Result<Option<LinkedEnd>> {
    let sql = "SELECT l.*, s.canceled, s.team1_score, s.team2_score
                 FROM match_link l JOIN stats_match s USING (stats_key)
                WHERE l.match_key = $1 AND l.state = 'waiting' AND (s.counted OR s.canceled)";
    let rows = tx.query(sql, &[&key.uuid()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let canceled: bool = row.try_get("canceled")?;
    let score = |column: &str| Ok::<_, crate::Error>(row.try_get::<_, Option<i32>>(column)?.map(i64::from));
    let scores = score("team1_score")?.zip(score("team2_score")?).filter(|_| !canceled);
    Ok(Some(LinkedEnd { link: read(row)?, report: row.try_get("report")?, scores }))
}

/// Writes what came of a link that was waiting, if it is still the one that this operation set; a failure in words.
///
/// # Errors
/// [`crate::Error`].
pub async fn finish_in_tx(tx: &Tx<'_>, operation: EventId, failure: Option<&str>) -> Result<()> {
    let state = if failure.is_none() { LinkState::Decided } else { LinkState::Failed };
    let sql = "UPDATE match_link SET state = $2, failure = $3 WHERE operation_id = $1 AND state = 'waiting'";
    tx.execute(sql, &[&operation.uuid(), &state.as_str(), &failure]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Link> {
    let source = SourceName::parse(row.try_get("source")?).map_err(|_| unknown("source of a link"))?;
    Ok(Link {
        operation: EventId::from_uuid(row.try_get("operation_id")?),
        decided_by: StatsKey { source, match_id: row.try_get("match_id")? },
        team1: row.try_get("team1")?,
        team2: row.try_get("team2")?,
        state: word(row, "state", LinkState::parse)?,
        failure: row.try_get("failure")?,
        at: row.try_get::<_, At>("at")?.0,
    })
}
