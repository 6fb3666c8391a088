use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::conditions::Conditions;
use crate::search::Search;
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

/// The place of an anomaly in a list: its number, and when it was opened.
pub type AnomalyPlace = (i64, Timestamp);

/// A page of anomalies.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyPage {
    /// At most as many as were asked for. There may be fewer, and none, though more follow.
    pub lines: Vec<AnomalyLine>,
    /// The place behind which the next page begins; none at the end.
    pub next: Option<AnomalyPlace>,
}

impl AnomalyFilter {
    /// An index has those about a subject, those that wait, those of a source and those of a kind.
    fn search(&self, before: Option<i64>) -> Search {
        let Self { resolved, kind, source, subject } = self.clone();
        let state = if resolved { "resolved_at IS NOT NULL" } else { "resolved_at IS NULL" };
        let found = Conditions::new().and("id < ?", before);
        let search = |found| Search::new("anomaly", found, "id DESC");
        if subject.is_some() {
            let found = found.and("subject = ?", subject).and("source = ?", source);
            return search(found).always(state).wanting("kind = ?", kind);
        }
        if !resolved {
            return search(found.always(state)).wanting("kind = ?", kind).wanting("source = ?", source);
        }
        if source.is_some() {
            return search(found.and("source = ?", source)).always(state).wanting("kind = ?", kind);
        }
        search(found.and("kind = ?", kind)).always(state)
    }
}

/// The newest anomalies of a kind, before the one with this number if one is given; at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn page(
    client: &Client,
    filter: &AnomalyFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<AnomalyPage> {
    let search = filter.search(before);
    let rows = search.read(client, COLUMNS, limit.saturating_add(1)).await?;
    let mut lines = rows.iter().map(read).collect::<Result<Vec<AnomalyLine>>>()?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if lines.len() > shown {
        lines.truncate(shown);
        let next = lines.last().map(|last| (last.id, last.at));
        return Ok(AnomalyPage { lines, next });
    }
    let last = search.looked_up_to(client, "id, at").await?;
    let place = |row: Row| -> Result<AnomalyPlace> { Ok((row.try_get(0)?, row.try_get::<_, At>(1)?.0)) };
    Ok(AnomalyPage { lines, next: last.map(place).transpose()? })
}

/// The first page of [`page`], for who wants no other.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(
    client: &Client,
    filter: &AnomalyFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AnomalyLine>> {
    Ok(page(client, filter, before, limit).await?.lines)
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
