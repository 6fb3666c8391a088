//! Which request an idempotency key stands for.

use matchpurse_domain::webhook::EndpointName;
use uuid::Uuid;

use super::EndpointId;
use crate::{Result, Tx};

/// A request that has a key. Its word is that of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// An endpoint is to be added.
    Add,
    /// An endpoint is to be tried.
    Test,
    /// A delivery is to be sent again.
    Retry,
}

/// What a key was when somebody came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nobody had asked under it; from now on it stands for this request.
    First,
    /// The same was asked for before.
    Again,
    /// Something else was asked for under it.
    Other,
}

impl RequestKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "endpoint_added",
            Self::Test => "endpoint_tested",
            Self::Retry => "delivery_retried",
        }
    }
}

/// Takes a key of an endpoint for a request, `request` being a digest of all that is asked for. Who comes with the same
/// key at the same moment waits until this transaction has ended.
///
/// # Errors
/// [`crate::Error`].
pub async fn ask_in_tx(
    tx: &Tx<'_>,
    endpoint: EndpointId,
    key: &str,
    kind: RequestKind,
    request: Uuid,
) -> Result<Asked> {
    let sql =
        "INSERT INTO dispatch_request (endpoint_id, idempotency_key, kind, request) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    if tx.execute(sql, &[&endpoint.0, &key, &kind.as_str(), &request]).await? == 1 {
        return Ok(Asked::First);
    }
    let sql = "SELECT kind = $3 AND request = $4 FROM dispatch_request
                WHERE endpoint_id = $1 AND idempotency_key = $2";
    let row = tx.query_one(sql, &[&endpoint.0, &key, &kind.as_str(), &request]).await?;
    Ok(if row.try_get(0)? { Asked::Again } else { Asked::Other })
}

/// Whether an endpoint of this name, which may be removed by now, was added by this request; none when its key was
/// never used for it.
///
/// # Errors
/// [`crate::Error`].
pub async fn added_by_in_tx(
    tx: &Tx<'_>,
    name: &EndpointName,
    key: &str,
    request: Uuid,
) -> Result<Option<bool>> {
    let sql =
        "SELECT r.kind = $3 AND r.request = $4 FROM endpoint e JOIN dispatch_request r USING (endpoint_id)
                WHERE e.name = $1 AND r.idempotency_key = $2";
    let rows = tx.query(sql, &[&name.as_str(), &key, &RequestKind::Add.as_str(), &request]).await?;
    rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
}
