use matchpurse_domain::ids::SourceName;

use super::{GENESIS, Row};
use crate::time::At;
use crate::{Client, Result, Store};

/// How many rows are read at a time; with bodies of some kilobytes this is some megabytes.
const PAGE: i64 = 512;

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainBreak {
    /// The row with this number is missing.
    Missing {
        /// The number.
        seq: i64,
    },
    /// The row with this number is not what it was: it, or the one before it, has been changed.
    Changed {
        /// The number.
        seq: i64,
    },
    /// The last row is not the one that the chain's end names.
    Head {
        /// The number that the end names.
        seq: i64,
    },
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

    /// Walks along a source's chain from its first row to its present end, and stops at the first row that
    /// does not hold. It locks nothing and holds one page in memory.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn verify_chain(&self, source: &SourceName) -> Result<ChainReport> {
        let client = self.client().await?;
        let head = client
            .query_opt("SELECT seq, hash FROM archive_head WHERE source = $1", &[&source.as_str()])
            .await?;
        let Some(head) = head else {
            // A chain whose end was removed with all its rows looks like a source without events; rows
            // without an end do not.
            let any = "SELECT FROM archive WHERE source = $1 LIMIT 1";
            let row = client.query_opt(any, &[&source.as_str()]).await?;
            let broken = row.map(|_| ChainBreak::Head { seq: 0 });
            return Ok(ChainReport { verified: 0, broken });
        };
        let (end, last): (i64, Vec<u8>) = (head.try_get(0)?, head.try_get(1)?);
        let mut walk = Walk { seq: 0, hash: GENESIS.to_vec(), broken: None };
        while walk.seq < end && walk.broken.is_none() {
            walk.page(&client, source, end).await?;
        }
        if walk.broken.is_none() && walk.hash != last {
            walk.broken = Some(ChainBreak::Head { seq: end });
        }
        Ok(ChainReport { verified: u64::try_from(walk.seq).unwrap_or(0), broken: walk.broken })
    }
}

/// How far a walk has come.
struct Walk {
    seq: i64,
    hash: Vec<u8>,
    broken: Option<ChainBreak>,
}

impl Walk {
    async fn page(&mut self, client: &Client, source: &SourceName, end: i64) -> Result<()> {
        let sql = "SELECT seq, event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                          received_at, archived_at, raw, event, hash
                     FROM archive WHERE source = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4";
        let rows = client.query(sql, &[&source.as_str(), &self.seq, &end, &PAGE]).await?;
        if rows.is_empty() {
            self.broken = Some(ChainBreak::Missing { seq: self.seq.saturating_add(1) });
        }
        for row in &rows {
            self.step(source, row)?;
            if self.broken.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self, source: &SourceName, row: &tokio_postgres::Row) -> Result<()> {
        let expected = self.seq.saturating_add(1);
        let fields = Row {
            source: source.as_str(),
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
        if fields.seq != expected {
            self.broken = Some(ChainBreak::Missing { seq: expected });
            return Ok(());
        }
        let hash = fields.hash(&self.hash);
        if hash.as_slice() != row.try_get::<_, &[u8]>("hash")? {
            self.broken = Some(ChainBreak::Changed { seq: expected });
            return Ok(());
        }
        (self.seq, self.hash) = (expected, hash.to_vec());
        Ok(())
    }
}
