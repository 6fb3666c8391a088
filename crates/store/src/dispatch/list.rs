//! What operators see of deliveries.

use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{AttemptOutcome, Because};
use crate::time::At;
use crate::words::{optional_word, word};
use crate::{Client, Result};

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Its next attempt is due at some time, or under way.
    Waiting,
    /// It waits for another one of its subject.
    Behind,
    /// The endpoint has it.
    Delivered,
    /// It was tried often enough, or its endpoint was removed.
    GivenUp,
    /// It was not sent: what it says was given had been taken back, or others got it.
    Withdrawn,
}

/// Which deliveries are wanted; none stands for any.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter<'f> {
    /// Those to this endpoint, by its name.
    pub endpoint: Option<&'f str>,
    /// Those in this state.
    pub state: Option<DeliveryState>,
    /// Those of this notice.
    pub webhook_id: Option<Uuid>,
    /// Those about this subject of a source.
    pub subject: Option<(&'f str, &'f str)>,
    /// Those made before this one, by number: the last of the page before.
    pub before: Option<i64>,
}

/// A delivery as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLine {
    /// Its number.
    pub delivery_id: i64,
    /// The endpoint's name.
    pub endpoint: String,
    /// What it is sent under.
    pub webhook_id: Uuid,
    /// What happened.
    pub kind: String,
    /// The source.
    pub source: String,
    /// What it is about.
    pub subject: String,
    /// Where it is.
    pub state: DeliveryState,
    /// How many attempts of its schedule it has had.
    pub attempts: i32,
    /// When it is tried next, where it waits; while it is being sent, when that would be given up as lost.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether it may have arrived without an answer.
    pub unknown: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was delivered, given up or withdrawn.
    pub finished_at: Option<Timestamp>,
    /// Why it ended without having been tried to its end.
    pub because: Option<Because>,
    /// The last attempt that has ended.
    pub last: Option<AttemptLine>,
}

/// An attempt as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLine {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds; unknown where the sender died.
    pub took_ms: Option<i32>,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The status of the answer.
    pub status: Option<i32>,
    /// In words.
    pub detail: String,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Behind, Self::Delivered, Self::GivenUp, Self::Withdrawn];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Behind => "behind",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Deliveries as [`read_delivery`] reads them.
pub(super) const DELIVERY: &str = "
    SELECT d.delivery_id, e.name AS endpoint, d.webhook_id, o.kind, o.source, o.subject, d.state, d.attempts,
           CASE WHEN d.state = 'waiting' THEN d.next_attempt_at END AS next_attempt_at, d.unknown, d.created_at,
           d.finished_at, d.because, a.at, a.took_ms, a.outcome, a.status, a.detail
      FROM delivery d JOIN endpoint e USING (endpoint_id) JOIN outbox o USING (webhook_id)
      LEFT JOIN LATERAL (SELECT * FROM delivery_attempt t WHERE t.delivery_id = d.delivery_id
                          ORDER BY t.claim DESC LIMIT 1) a ON true";

/// Up to `limit` deliveries, the newest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn deliveries(
    client: &Client,
    filter: &DeliveryFilter<'_>,
    limit: i64,
) -> Result<Vec<DeliveryLine>> {
    // Only the conditions that are asked for, so that each has the plan of its own index.
    let mut sql = format!("{DELIVERY} WHERE d.delivery_id < $1");
    let before = filter.before.unwrap_or(i64::MAX);
    let state = filter.state.map(DeliveryState::as_str);
    let mut parameters: Vec<&(dyn postgres_types::ToSql + Sync)> = vec![&before, &limit];
    if let Some(state) = state {
        // A word of ours, written out: the indexes are of single states.
        sql.push_str(&format!(" AND d.state = '{state}'"));
    }
    if let Some(name) = &filter.endpoint {
        parameters.push(name);
        let place = parameters.len();
        sql.push_str(&format!(
            " AND d.endpoint_id = (SELECT endpoint_id FROM endpoint WHERE name = ${place})"
        ));
    }
    if let Some(webhook_id) = &filter.webhook_id {
        parameters.push(webhook_id);
        sql.push_str(&format!(" AND d.webhook_id = ${}", parameters.len()));
    }
    if let Some((source, subject)) = &filter.subject {
        parameters.extend([source as &(dyn postgres_types::ToSql + Sync), subject]);
        let last = parameters.len();
        sql.push_str(&format!(" AND o.source = ${} AND o.subject = ${last}", last - 1));
    }
    sql.push_str(" ORDER BY d.delivery_id DESC LIMIT $2");
    client.query(&sql, &parameters).await?.iter().map(read_delivery).collect()
}

/// One delivery.
///
/// # Errors
/// [`crate::Error`].
pub async fn delivery(client: &Client, delivery_id: i64) -> Result<Option<DeliveryLine>> {
    let sql = format!("{DELIVERY} WHERE d.delivery_id = $1");
    client.query_opt(&sql, &[&delivery_id]).await?.as_ref().map(read_delivery).transpose()
}

/// The attempts of a delivery, the first one first.
///
/// # Errors
/// [`crate::Error`].
pub async fn attempts(client: &Client, delivery_id: i64) -> Result<Vec<AttemptLine>> {
    let sql = "SELECT at, took_ms, outcome, status, detail FROM delivery_attempt
                WHERE delivery_id = $1 ORDER BY claim";
    client.query(sql, &[&delivery_id]).await?.iter().map(read_attempt).collect()
}

pub(super) fn read_delivery(row: &Row) -> Result<DeliveryLine> {
    let time = |column: &str| Ok::<_, crate::Error>(row.try_get::<_, Option<At>>(column)?.map(|at| at.0));
    let attempted = optional_word(row, "outcome", AttemptOutcome::parse)?.is_some();
    Ok(DeliveryLine {
        delivery_id: row.try_get("delivery_id")?,
        endpoint: row.try_get("endpoint")?,
        webhook_id: row.try_get("webhook_id")?,
        kind: row.try_get("kind")?,
        source: row.try_get("source")?,
        subject: row.try_get("subject")?,
        state: word(row, "state", DeliveryState::parse)?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: time("next_attempt_at")?,
        unknown: row.try_get("unknown")?,
        created_at: row.try_get::<_, At>("created_at")?.0,
        finished_at: time("finished_at")?,
        because: optional_word(row, "because", Because::parse)?,
        last: if attempted { Some(read_attempt(row)?) } else { None },
    })
}

pub(super) fn read_attempt(row: &Row) -> Result<AttemptLine> {
    Ok(AttemptLine {
        at: row.try_get::<_, At>("at")?.0,
        took_ms: row.try_get("took_ms")?,
        outcome: word(row, "outcome", AttemptOutcome::parse)?,
        status: row.try_get("status")?,
        detail: row.try_get("detail")?,
    })
}
