use matchpurse_domain::ids::EventId;
use uuid::Uuid;

use super::{COLUMNS, Parked, read};
use crate::{Result, Tx};

/// What somebody does about a parked delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It is handed to the workers once more.
    Replayed,
    /// It is not wanted.
    Discarded,
}

impl Resolution {
    /// Its word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// A parked delivery, resolved or not, locked until the transaction ends: two people resolve it one after the other,
/// and the second one sees what the first has done.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, id: i64) -> Result<Option<Parked>> {
    let sql = format!("SELECT {COLUMNS} FROM parked WHERE id = $1 FOR UPDATE");
    tx.query(&sql, &[&id]).await?.first().map(read).transpose()
}

/// Closes an open parked delivery that [`lock_in_tx`] has locked. What is handed to the workers for it must be spooled
/// in the same transaction: then there is no moment at which it is neither parked nor on its way.
///
/// # Errors
/// [`crate::Error`]; one that is resolved already stays as it is.
pub async fn resolve_in_tx(
    tx: &Tx<'_>,
    id: i64,
    resolution: Resolution,
    by: &str,
    reason: &str,
    became: &[EventId],
) -> Result<()> {
    let became: Vec<Uuid> = became.iter().map(|event| event.uuid()).collect();
    let sql =
        "UPDATE parked SET resolved_at = now(), resolution = $2, resolved_by = $3, resolution_reason = $4,
                                 became = $5
                WHERE id = $1";
    tx.execute(sql, &[&id, &resolution.as_str(), &by, &reason, &became]).await?;
    Ok(())
}
