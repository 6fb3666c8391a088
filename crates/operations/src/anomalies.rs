//! What people decide about anomalies.

use matchpurse_store::Store;
use matchpurse_store::anomalies::{self, AnomalyLine};

use crate::rewards::Author;

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such anomaly.
    #[error("there is no such anomaly")]
    NoAnomaly,
    /// It was decided before, and that stands.
    #[error("it was resolved by {by} already: {resolution}")]
    Resolved {
        /// What was decided.
        resolution: String,
        /// Who did it.
        by: String,
    },
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// Closes an anomaly with the reason why nothing (more) is to be done about it. It moves no money: that a correction
/// does, or another operation, which closes what it answers by itself. Asked for again with the same reason it is done.
///
/// # Errors
/// [`Error`].
pub async fn resolve(store: &Store, id: i64, author: &Author) -> Result<AnomalyLine, Error> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let line = anomalies::lock_in_tx(&tx, id).await?.ok_or(Error::NoAnomaly)?;
    if let Some(earlier) = &line.resolved {
        if earlier.by == author.actor && earlier.resolution == author.reason {
            return Ok(line);
        }
        let (resolution, by) = (earlier.resolution.clone(), earlier.by.clone());
        return Err(Error::Resolved { resolution, by });
    }
    anomalies::resolve_in_tx(&tx, id, &author.reason, &author.actor).await?;
    tx.commit().await?;
    anomalies::find(&client, id).await?.ok_or(Error::NoAnomaly)
}
