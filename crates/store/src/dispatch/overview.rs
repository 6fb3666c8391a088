//! What operators see of endpoints, and of what people did to them.

use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::EndpointName;
use serde_json::Value;
use tokio_postgres::Row;

use super::endpoints::{read, read_spec};
use super::{Disabled, Endpoint, EndpointId, EndpointSpec, Origin};
use crate::time::At;
use crate::words::{optional_word, word};
use crate::{Client, Result, Tx};

/// Deliveries are counted no further: a longer backlog must not make looking at it slow.
const COUNTED_MAX: i64 = 10_000;

/// An endpoint and what waits for it.
#[derive(Debug, Clone)]
pub struct EndpointLine {
    /// The endpoint, without its secrets.
    pub endpoint: Endpoint,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many deliveries wait for it, of 10,000 at most.
    pub waiting: i64,
    /// How many were given up, of 10,000 at most.
    pub given_up: i64,
    /// When the oldest of those that are not behind another was made.
    pub oldest_at: Option<Timestamp>,
}

/// Which endpoints are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Those that are sent to, or would be if they were well.
    Enabled,
    /// Those that somebody or an answer of 410 has stopped.
    Disabled,
    /// Those that are no more.
    Removed,
}

/// Which endpoints are wanted; none stands for any that is not removed.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter<'f> {
    /// Those in this state.
    pub state: Option<EndpointState>,
    /// Those behind this name: the last of the page before.
    pub after: Option<&'f str>,
}

/// An endpoint whose row is locked.
#[derive(Debug, Clone)]
pub struct LockedEndpoint {
    /// Its number.
    pub id: EndpointId,
    /// Where it comes from.
    pub origin: Origin,
    /// What it wants.
    pub spec: EndpointSpec,
    /// Why nothing is sent to it.
    pub disabled: Option<Disabled>,
}

/// What somebody did to an endpoint or a delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationLine {
    /// `endpoint_added`, `endpoint_changed`, …, `delivery_retried`.
    pub kind: String,
    /// The delivery, where it is about one.
    pub delivery_id: Option<i64>,
    /// Who; of an answer of 410 the dispatcher.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What exactly, a JSON object.
    pub detail: Value,
    /// When.
    pub at: Timestamp,
}

impl EndpointState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Removed];

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    const fn condition(state: Option<Self>) -> &'static str {
        match state {
            None => "e.disabled IS DISTINCT FROM 'removed'",
            Some(Self::Enabled) => "e.disabled IS NULL",
            Some(Self::Disabled) => "e.disabled IN ('gone', 'operator')",
            Some(Self::Removed) => "e.disabled = 'removed'",
        }
    }
}

/// The first parameter is [`COUNTED_MAX`]. Each count is in the order of its own index: with a limit and without an order
/// PostgreSQL may read the whole table, in the belief that it will soon have found enough.
const LINE: &str = "
    SELECT e.endpoint_id, e.name, e.origin, e.url, e.events, e.sources, e.ordered, e.status_url,
           e.allow_private, e.disabled, e.disabled_at, e.failures, e.openings, e.width, e.paused_until,
           e.created_at, '{}'::text[] AS secrets,
           (SELECT count(*) FROM (SELECT FROM delivery d
             WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting'
             ORDER BY d.next_attempt_at, d.position LIMIT $1) AS counted)
           + (SELECT count(*) FROM (SELECT FROM delivery d
               WHERE d.endpoint_id = e.endpoint_id AND d.state = 'behind'
               ORDER BY d.delivery_id LIMIT $1) AS counted) AS waiting,
           (SELECT count(*) FROM (SELECT FROM delivery d
             WHERE d.endpoint_id = e.endpoint_id AND d.state = 'given_up'
             ORDER BY d.delivery_id LIMIT $1) AS counted) AS given_up,
           (SELECT min(created_at) FROM (SELECT created_at FROM delivery d
             WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting'
             ORDER BY d.next_attempt_at, d.position LIMIT $1) AS counted) AS oldest_at
      FROM endpoint e";

/// All endpoints by name, the removed ones too.
///
/// # Errors
/// [`crate::Error`].
pub async fn endpoint_lines(client: &Client) -> Result<Vec<EndpointLine>> {
    let sql = format!("{LINE} ORDER BY e.name");
    client.query(&sql, &[&COUNTED_MAX]).await?.iter().map(line).collect()
}

/// Up to `limit` endpoints by name.
///
/// # Errors
/// [`crate::Error`].
pub async fn page_of_endpoints(
    client: &Client,
    filter: &EndpointFilter<'_>,
    limit: i64,
) -> Result<Vec<EndpointLine>> {
    let condition = EndpointState::condition(filter.state);
    let sql = format!(
        "{LINE} WHERE {condition} AND e.name COLLATE \"C\" > $2 ORDER BY e.name COLLATE \"C\" LIMIT $3"
    );
    let after = filter.after.unwrap_or_default();
    client.query(&sql, &[&COUNTED_MAX, &after, &limit]).await?.iter().map(line).collect()
}

/// One endpoint, also one that was removed.
///
/// # Errors
/// [`crate::Error`].
pub async fn endpoint_line(client: &Client, name: &EndpointName) -> Result<Option<EndpointLine>> {
    let sql = format!("{LINE} WHERE e.name = $2");
    client.query_opt(&sql, &[&COUNTED_MAX, &name.as_str()]).await?.as_ref().map(line).transpose()
}

fn line(row: &Row) -> Result<EndpointLine> {
    let oldest_at: Option<At> = row.try_get("oldest_at")?;
    Ok(EndpointLine {
        endpoint: read(row)?,
        created_at: row.try_get::<_, At>("created_at")?.0,
        waiting: row.try_get::<_, i64>("waiting")?.min(COUNTED_MAX),
        given_up: row.try_get("given_up")?,
        oldest_at: oldest_at.map(|at| at.0),
    })
}

/// An endpoint that is not removed, locked, so that nobody changes it meanwhile.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_endpoint_in_tx(tx: &Tx<'_>, name: &EndpointName) -> Result<Option<LockedEndpoint>> {
    let sql =
        "SELECT endpoint_id, name, origin, url, events, sources, ordered, status_url, disabled FROM endpoint
                WHERE name = $1 AND disabled IS DISTINCT FROM 'removed' FOR NO KEY UPDATE";
    let rows = tx.query(sql, &[&name.as_str()]).await?;
    let read = |row: &Row| {
        Ok(LockedEndpoint {
            id: EndpointId(row.try_get("endpoint_id")?),
            origin: word(row, "origin", Origin::parse)?,
            spec: read_spec(row)?,
            disabled: optional_word(row, "disabled", Disabled::parse)?,
        })
    };
    rows.first().map(read).transpose()
}

/// What was done to an endpoint and its deliveries, the newest first, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn operations_on_endpoint(
    client: &Client,
    endpoint: EndpointId,
    limit: i64,
) -> Result<Vec<OperationLine>> {
    let sql = "SELECT kind, delivery_id, actor, reason, detail, at FROM dispatch_operation
                WHERE endpoint_id = $1 ORDER BY operation_id DESC LIMIT $2";
    client.query(sql, &[&endpoint.0, &limit]).await?.iter().map(operation).collect()
}

/// What was done to a delivery, the newest first, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn operations_on_delivery(
    client: &Client,
    delivery_id: i64,
    limit: i64,
) -> Result<Vec<OperationLine>> {
    let sql = "SELECT kind, delivery_id, actor, reason, detail, at FROM dispatch_operation
                WHERE delivery_id = $1 ORDER BY operation_id DESC LIMIT $2";
    client.query(sql, &[&delivery_id, &limit]).await?.iter().map(operation).collect()
}

fn operation(row: &Row) -> Result<OperationLine> {
    Ok(OperationLine {
        kind: row.try_get("kind")?,
        delivery_id: row.try_get("delivery_id")?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        at: row.try_get::<_, At>("at")?.0,
    })
}
