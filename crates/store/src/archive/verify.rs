use std::fmt;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use matchpurse_domain::ids::SourceName;

use super::{GENESIS, Row};
use crate::time::At;
use crate::{Result, Store, Tx};

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainBreak {
    /// Rows are missing.
    Missing {
        /// The number of the first of them.
        first: i64,
        /// The number of the last of them.
        last: i64,
    },
    /// The row with this number is not what it was: it, or the one before it, has been changed.
    Changed {
        /// The number.
        seq: i64,
    },
    /// The last row is not the one that the chain's end names.
    Head {
        /// The number that the end names; 0 where there is no end.
        seq: i64,
    },
}

impl fmt::Display for ChainBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => write!(f, "row {first} is missing"),
            Self::Missing { first, last } => write!(f, "rows {first} to {last} are missing"),
            Self::Changed { seq } => write!(f, "row {seq}, or the one before it, has been changed"),
            Self::Head { seq } => write!(f, "the last row is not row {seq}, which the chain's end names"),
        }
    }
}

/// What a walk along a source's chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The rows that hold, from the first.
    pub verified: u64,
    /// The first place where it does not hold.
    pub broken: Option<ChainBreak>,
}

impl Store {
    /// The sources that have events in the archive.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archived_sources(&self) -> Result<Vec<String>> {
        let sql = "SELECT source FROM archive_head ORDER BY source";
        let rows = self.client().await?.query(sql, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Walks along a source's chain from its first row to its end, both as they are at one moment. It locks nothing
    /// and holds a few rows in memory.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn verify_chain(&self, source: &SourceName) -> Result<ChainReport> {
        let mut client = self.client().await?;
        let tx = client.begin_snapshot().await?;
        let mut verified = 0;
        let mut first = None;
        let mut walked = |holding| verified = holding;
        let mut found = |broken| {
            first.get_or_insert(broken);
        };
        walk_chain(&tx, source.as_str(), &mut walked, &mut found).await?;
        Ok(ChainReport { verified, broken: first })
    }
}

/// Walks along a source's chain and names every place where it does not hold: behind one it goes on from the hash
/// that is there. `walked` is told after each row how many hold from the first.
pub(crate) async fn walk_chain(
    tx: &Tx<'_>,
    source: &str,
    walked: &mut (dyn FnMut(u64) + Send),
    found: &mut (dyn FnMut(ChainBreak) + Send),
) -> Result<()> {
    let head = tx.query("SELECT seq, hash FROM archive_head WHERE source = $1", &[&source]).await?;
    let head: Option<(i64, Vec<u8>)> =
        head.first().map(|row| Ok::<_, crate::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    let sql = "SELECT seq, event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                      received_at, archived_at, raw, event, hash
                 FROM archive WHERE source = $1 ORDER BY seq";
    let mut rows = pin!(tx.stream(sql, &[&source]).await?);
    let (mut last, mut before, mut holding, mut whole) = (0_i64, GENESIS.to_vec(), 0_u64, true);
    while let Some(row) = rows.try_next().await? {
        let seq: i64 = row.try_get("seq")?;
        let stored: &[u8] = row.try_get("hash")?;
        let expected = last.saturating_add(1);
        let broken = if seq != expected {
            Some(ChainBreak::Missing { first: expected, last: seq.saturating_sub(1) })
        } else if hash(source, &row, &before)?.as_slice() != stored {
            Some(ChainBreak::Changed { seq })
        } else {
            None
        };
        whole &= broken.is_none();
        holding = holding.saturating_add(u64::from(whole));
        if let Some(broken) = broken {
            found(broken);
        }
        walked(holding);
        last = seq;
        before.clear();
        before.extend_from_slice(stored);
    }
    match head {
        // A chain whose end was removed with all its rows looks like a source without events; rows without an end
        // do not.
        None if last > 0 => found(ChainBreak::Head { seq: 0 }),
        Some((end, _)) if end > last => {
            found(ChainBreak::Missing { first: last.saturating_add(1), last: end })
        }
        Some((end, hash)) if end != last || hash != before => found(ChainBreak::Head { seq: end }),
        None | Some(_) => {}
    }
    Ok(())
}

/// The hash that a row must have behind this one.
fn hash(source: &str, row: &tokio_postgres::Row, before: &[u8]) -> Result<[u8; 32]> {
    let fields = Row {
        source,
        seq: row.try_get("seq")?,
        event_id: row.try_get("event_id")?,
        delivery_id: row.try_get("delivery_id")?,
        payload: row.try_get("payload")?,
        provider: row.try_get("provider")?,
        provider_type: row.try_get("provider_type")?,
        subject: row.try_get("subject")?,
        occurred_at: row.try_get::<_, Option<At>>("occurred_at")?.map(|at| at.0),
        received_at: row.try_get::<_, At>("received_at")?.0,
        archived_at: row.try_get::<_, At>("archived_at")?.0,
        raw: row.try_get("raw")?,
        event: row.try_get("event")?,
    };
    Ok(fields.hash(before))
}
