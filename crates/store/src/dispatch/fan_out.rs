use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::endpoints::endpoints_in_tx;
use super::{Endpoint, EndpointId};
use crate::time::At;
use crate::{Client, Result, Tx};

/// The advisory lock of the fan-out: the letters `mpfanout`.
const LOCK: i64 = 0x6d70_6661_6e6f_7574;

/// A notice that no endpoint has a delivery of yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// Its `webhook-id`.
    pub webhook_id: Uuid,
    /// Its place among all notices.
    pub position: i64,
    /// The source that it comes from.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The payload with `source` and `subject`, a JSON object. It comes from the database as text and goes on as
    /// text, so no number in it is rounded.
    pub data: String,
}

/// A notice with what was decided about it.
#[derive(Debug, Clone)]
pub struct FannedOut<'n> {
    /// The notice.
    pub notice: &'n NewNotice,
    /// Those that want it.
    pub endpoints: Vec<&'n Endpoint>,
    /// What is sent; none when nobody wants it.
    pub body: Option<Vec<u8>>,
}

/// Whether there is a notice that no endpoint has a delivery of yet: one look, which most turns end with.
///
/// # Errors
/// [`crate::Error`].
pub async fn has_new(client: &Client) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM outbox WHERE fanned_out_at IS NULL)";
    Ok(client.query_one(sql, &[]).await?.try_get(0)?)
}

/// Takes up to `limit` new notices, the oldest first, with the endpoints that there are. None while another dispatcher
/// does the same: two at once could bring the notices of a subject out of their order.
///
/// # Errors
/// [`crate::Error`].
pub async fn take_in_tx(tx: &Tx<'_>, limit: i64) -> Result<Option<(Vec<NewNotice>, Vec<Endpoint>)>> {
    let alone: bool = tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?.try_get(0)?;
    if !alone {
        return Ok(None);
    }
    let sql = "SELECT webhook_id, position, source, kind, subject, occurred_at,
                      (payload || jsonb_build_object('source', source, 'subject', subject))::text AS data
                 FROM outbox WHERE fanned_out_at IS NULL ORDER BY position LIMIT $1 FOR NO KEY UPDATE";
    // The lock comes before the notices are read: what is then seen of a subject is all that there was before it.
    let endpoints = endpoints_in_tx(tx).await?;
    let notices = tx.query(sql, &[&limit]).await?;
    let notices = notices.iter().map(read).collect::<Result<_>>()?;
    Ok(Some((notices, endpoints)))
}

fn read(row: &Row) -> Result<NewNotice> {
    Ok(NewNotice {
        webhook_id: row.try_get("webhook_id")?,
        position: row.try_get("position")?,
        source: row.try_get("source")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        occurred_at: row.try_get::<_, At>("occurred_at")?.0,
        data: row.try_get("data")?,
    })
}

/// Writes what was decided about the notices of [`take_in_tx`], in its transaction. Returns how many deliveries were
/// made.
///
/// # Errors
/// [`crate::Error`].
pub async fn fan_out_in_tx(tx: &Tx<'_>, decided: &[FannedOut<'_>], now: Timestamp) -> Result<u64> {
    let ids: Vec<Uuid> = decided.iter().map(|one| one.notice.webhook_id).collect();
    let bodies: Vec<Option<&[u8]>> = decided.iter().map(|one| one.body.as_deref()).collect();
    let told = "UPDATE outbox AS o SET fanned_out_at = $3, body = b
                  FROM unnest($1::uuid[], $2::bytea[]) AS decided (id, b)
                 WHERE o.webhook_id = id AND o.fanned_out_at IS NULL";
    tx.execute(told, &[&ids, &bodies, &At(now)]).await?;
    let each =
        || decided.iter().flat_map(|one| one.endpoints.iter().map(move |endpoint| (one.notice, endpoint)));
    let new = |(notice, endpoint): (&NewNotice, &&Endpoint)| New {
        endpoint: endpoint.id,
        webhook_id: notice.webhook_id,
        position: notice.position,
        line: endpoint.spec.ordered.then(|| line(&notice.source, &notice.subject)),
    };
    make_in_tx(tx, &each().map(new).collect::<Vec<_>>(), now).await
}

/// A delivery that is to be made.
pub(super) struct New {
    pub(super) endpoint: EndpointId,
    pub(super) webhook_id: Uuid,
    pub(super) position: i64,
    /// What it waits for, where its endpoint wants order, which is locked then.
    pub(super) line: Option<Uuid>,
}

/// Makes deliveries, and leaves those that are there as they are. Returns how many were made.
pub(super) async fn make_in_tx(tx: &Tx<'_>, new: &[New], now: Timestamp) -> Result<u64> {
    if new.is_empty() {
        return Ok(0);
    }
    let endpoints: Vec<i32> = new.iter().map(|one| one.endpoint.0).collect();
    let ids: Vec<Uuid> = new.iter().map(|one| one.webhook_id).collect();
    let positions: Vec<i64> = new.iter().map(|one| one.position).collect();
    let lines: Vec<Option<Uuid>> = new.iter().map(|one| one.line).collect();
    let made =
        "INSERT INTO delivery (endpoint_id, webhook_id, position, line, state, next_attempt_at, created_at)
                SELECT e, w, p, l,
                       CASE WHEN l IS NOT NULL
                             AND (row_number() OVER (PARTITION BY e, l ORDER BY p) > 1
                                  OR EXISTS (SELECT FROM delivery d
                                              WHERE d.endpoint_id = e AND d.line = l
                                                AND d.state IN ('waiting', 'behind')))
                            THEN 'behind' ELSE 'waiting' END, $5, $5
                  FROM unnest($1::integer[], $2::uuid[], $3::bigint[], $4::uuid[]) AS new (e, w, p, l)
                 ORDER BY p, e
                ON CONFLICT (webhook_id, endpoint_id) DO NOTHING";
    tx.execute(made, &[&endpoints, &ids, &positions, &lines, &At(now)]).await
}

/// What waits for each other where an endpoint wants order.
pub(super) fn line(source: &str, subject: &str) -> Uuid {
    derived_uuid("line", &[source, subject])
}
