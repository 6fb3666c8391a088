use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Error, Result, Store};

/// An archived event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its place in its source's chain, from 1.
    pub seq: i64,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The event, with its body where it was the first of its delivery.
    pub event: Event,
}

const COLUMNS: &str = "archive.seq, archived_at, event, raw";

fn read(row: &tokio_postgres::Row) -> Result<Archived> {
    let encoded: &[u8] = row.try_get("event")?;
    let event = wire::decode(encoded)
        .map_err(|error| Error::Stored { what: "event of the archive", source: error.into() })?;
    Ok(Archived {
        seq: row.try_get("seq")?,
        archived_at: row.try_get::<_, At>("archived_at")?.0,
        event: Event { raw: row.try_get::<_, Vec<u8>>("raw")?.into(), ..event },
    })
}

impl Store {
    /// One archived event.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archived(&self, event: EventId) -> Result<Option<Archived>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM archive JOIN archive_event USING (source, seq, day)
              WHERE archive_event.event_id = $1"
        );
        self.client().await?.query_opt(&sql, &[&event.uuid()]).await?.as_ref().map(read).transpose()
    }

    /// A source's archived events after the `after`-th (0: from the first), in the order of their chain, at
    /// most `limit`; all of them, or those about one subject.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archived_of(
        &self,
        source: &SourceName,
        subject: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Archived>> {
        let about = if subject.is_some() { "AND subject = $4" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS} FROM archive WHERE source = $1 AND seq > $2 {about} ORDER BY seq LIMIT $3"
        );
        let (source, limit) = (source.as_str(), i64::from(limit));
        let client = self.client().await?;
        let rows = match subject {
            Some(subject) => client.query(&sql, &[&source, &after, &limit, &subject]).await?,
            None => client.query(&sql, &[&source, &after, &limit]).await?,
        };
        rows.iter().map(read).collect()
    }
}
