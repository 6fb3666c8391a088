use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::conditions::Conditions;
use crate::time::At;
use crate::{Client, Result, Tx};

/// An anomaly as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyLine {
    /// Its number, ascending with the time at which it was opened.
    pub id: i64,
    /// Its kind's word.
    pub kind: String,
    /// The source.
    pub source: String,
    /// The match, contest, offer or player that it is about.
    pub subject: String,
    /// The event or operation that showed it, if one did.
    pub event_id: Option<Uuid>,
    /// Both sides of it, a JSON object.
    pub detail: Value,
    /// When it was opened.
    pub at: Timestamp,
    /// What was decided about it.
    pub resolved: Option<Decided>,
}

/// What was decided about an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// When.
    pub at: Timestamp,
    /// The operation or correction that answered it, or why a person wants nothing done.
    pub resolution: String,
    /// Who.
    pub by: String,
}

/// Which anomalies are wanted; by default those that wait for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnomalyFilter {
    /// Those that are decided, instead of those that wait.
    pub resolved: bool,
    /// Their kind.
    pub kind: Option<String>,
    /// The source.
    pub source: Option<String>,
    /// The match, contest, offer or player.
    pub subject: Option<String>,
}

const COLUMNS: &str = "id, kind, source, subject, event_id, detail, at, resolved_at, resolution, resolved_by";

fn read(row: &Row) -> Result<AnomalyLine> {
    let resolved_at = row.try_get::<_, Option<At>>("resolved_at")?;
    let resolution: Option<String> = row.try_get("resolution")?;
    let by: Option<String> = row.try_get("resolved_by")?;
    let (resolution, by) = (resolution.unwrap_or_default(), by.unwrap_or_default());
    Ok(AnomalyLine {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        source: row.try_get("source")?,
        subject: row.try_get("subject")?,
        event_id: row.try_get("event_id")?,
        detail: row.try_get("detail")?,
        at: row.try_get::<_, At>("at")?.0,
        resolved: resolved_at.map(|at| Decided { at: at.0, resolution, by }),
    })
}

/// The newest anomalies of a kind, before the one with this number if one is given; at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(
    client: &Client,
    filter: &AnomalyFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AnomalyLine>> {
    let conditions = Conditions::new()
        .always(if filter.resolved { "resolved_at IS NOT NULL" } else { "resolved_at IS NULL" })
        .and("kind = ?", filter.kind.clone())
        .and("source = ?", filter.source.clone())
        .and("subject = ?", filter.subject.clone())
        .and("id < ?", before);
    let sql =
        format!("SELECT {COLUMNS} FROM anomaly WHERE {} ORDER BY id DESC LIMIT {limit}", conditions.sql());
    client.query(&sql, &conditions.params()).await?.iter().map(read).collect()
}

/// One anomaly, decided or not.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: i64) -> Result<Option<AnomalyLine>> {
    let sql = format!("SELECT {COLUMNS} FROM anomaly WHERE id = $1");
    client.query_opt(&sql, &[&id]).await?.as_ref().map(read).transpose()
}

/// The same, locked until the transaction ends.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, id: i64) -> Result<Option<AnomalyLine>> {
    let sql = format!("SELECT {COLUMNS} FROM anomaly WHERE id = $1 FOR UPDATE");
    tx.query(&sql, &[&id]).await?.first().map(read).transpose()
}

/// Closes an open anomaly that [`lock_in_tx`] has locked. It moves nothing: what is to be done about money is a
/// correction or another operation, which closes what it answers by itself.
///
/// # Errors
/// [`crate::Error`].
pub async fn resolve_in_tx(tx: &Tx<'_>, id: i64, resolution: &str, by: &str) -> Result<()> {
    let sql = "UPDATE anomaly SET resolved_at = now(), resolution = $2, resolved_by = $3
                WHERE id = $1 AND resolved_at IS NULL";
    tx.execute(sql, &[&id, &resolution, &by]).await?;
    Ok(())
}
