//! What waits for somebody and what the ledger holds, for the metrics: asked every few seconds, so nothing is counted
//! further than it must be.

use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

/// Nothing is counted further.
const COUNTED_MAX: i64 = 10_000;

/// What waits for a person, and what the dispatcher has not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Parked deliveries that nobody has decided about, by kind: `technical`, `unrecognized`, `dead_letter`.
    pub parked: Vec<(String, i64)>,
    /// Anomalies that nobody has decided about, by source and kind.
    pub anomalies: Vec<(String, String, i64)>,
    /// Rewards that wait for a person, by source and state: `needs_review`, `failed`.
    pub rewards: Vec<(String, String, i64)>,
    /// Notices that no dispatcher has handed out to endpoints.
    pub notices: i64,
    /// When the oldest of those was written.
    pub notices_since: Option<Timestamp>,
}

/// What the ledger says of one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The currency.
    pub currency: String,
    /// What matches hold now.
    pub in_escrow: i64,
    /// What all accounts hold together: 0, or money has come from nowhere.
    pub sum: i64,
}

/// What waits; each number is 10,000 at most.
///
/// # Errors
/// [`crate::Error`].
pub async fn open(client: &Client) -> Result<Open> {
    let parked = "SELECT kind, count(*) FROM (
                    SELECT kind FROM parked WHERE resolved_at IS NULL LIMIT $1) AS open GROUP BY 1";
    let anomalies = "SELECT source, kind, count(*) FROM (
                       SELECT source, kind FROM anomaly WHERE resolved_at IS NULL LIMIT $1) AS open GROUP BY 1, 2";
    let rewards = "SELECT source, state, count(*) FROM (
                     SELECT source, state FROM reward_grant
                      WHERE state IN ('needs_review', 'failed') LIMIT $1) AS held GROUP BY 1, 2";
    let notices = "SELECT count(*), min(created_at) FROM (
                     SELECT created_at FROM outbox WHERE fanned_out_at IS NULL ORDER BY position LIMIT $1) AS new";
    let parked = client.query(parked, &[&COUNTED_MAX]).await?;
    let anomalies = client.query(anomalies, &[&COUNTED_MAX]).await?;
    let rewards = client.query(rewards, &[&COUNTED_MAX]).await?;
    let notices = client.query_one(notices, &[&COUNTED_MAX]).await?;
    let by_two = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    Ok(Open {
        parked: parked.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?,
        anomalies: anomalies.iter().map(by_two).collect::<Result<_>>()?,
        rewards: rewards.iter().map(by_two).collect::<Result<_>>()?,
        notices: notices.try_get(0)?,
        notices_since: notices.try_get::<_, Option<At>>(1)?.map(|at| at.0),
    })
}

/// What the ledger holds, by currency. It reads every account once.
///
/// # Errors
/// [`crate::Error`].
pub async fn held(client: &Client) -> Result<Vec<Held>> {
    let sql =
        "SELECT currency, coalesce(sum(balance) FILTER (WHERE kind = 2), 0)::bigint, sum(balance)::bigint
                 FROM account GROUP BY 1 ORDER BY 1";
    let rows = client.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok(Held { currency: row.try_get(0)?, in_escrow: row.try_get(1)?, sum: row.try_get(2)? }))
        .collect()
}
