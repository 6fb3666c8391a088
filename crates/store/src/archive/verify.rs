use std::pin::pin;

use futures_util::TryStreamExt as _;
use matchpurse_domain::ids::{EventId, SourceName};
use uuid::Uuid;

use super::chain::Chain;
use super::days::{attached_in_tx, detached_in_tx};
use super::{ChainBreak, Detached, Row};
use crate::time::At;
use crate::{Client, Result, Store, Tx};

/// Places of one day where a chain does not hold, of which it is looked up whether their rows stood elsewhere; more
/// are told as they are.
const LOOKED_UP_MAX: usize = 1_000;

/// What a walk along a source's chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The rows that hold, from the first.
    pub verified: u64,
    /// The first place where it does not hold.
    pub broken: Option<ChainBreak>,
}

/// How far a walk came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walked {
    /// Rows that were read.
    pub rows: u64,
    /// Rows of days that have left the archive: the chain leads over them by what is recorded of those days.
    pub recorded: u64,
    /// The number of the last row.
    pub last: i64,
    /// Its hash.
    pub hash: Vec<u8>,
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
        walk_chain(&tx, source.as_str(), 1, &mut walked, &mut found).await?;
        Ok(ChainReport { verified, broken: first })
    }

    /// As [`Store::verify_chain`], from the row with the number `from`, and names every place where the chain does
    /// not hold. `walked` is told after each row how many of them hold from the first that was read.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn walk_archive(
        &self,
        source: &str,
        from: i64,
        walked: &mut (dyn FnMut(u64) + Send),
        found: &mut (dyn FnMut(ChainBreak) + Send),
    ) -> Result<Walked> {
        let mut client = self.client().await?;
        let tx = client.begin_snapshot().await?;
        walk_chain(&tx, source, from, walked, found).await
    }

    /// Walks along every source's chain on one day, from the hash before the day's first row, and names every place
    /// where it does not hold.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn verify_archive_day(
        &self,
        day: &str,
        found: &mut (dyn FnMut(&str, ChainBreak) + Send),
    ) -> Result<()> {
        let mut client = self.client().await?;
        let tx = client.begin_snapshot().await?;
        let day: String =
            tx.query_one("SELECT to_char($1::text::date, 'YYYY-MM-DD')", &[&day]).await?.try_get(0)?;
        let sql = format!(
            "SELECT source, min(seq) FROM archive WHERE day = '{day}' GROUP BY source ORDER BY source"
        );
        for row in tx.query_once(&sql, &[]).await? {
            let (source, first): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            let detached = detached_in_tx(&tx, source).await?;
            let chain = begin(&tx, source, first, &detached).await?;
            let mut broken = |broken| found(source, broken);
            let mut walk = Walk {
                chain,
                rows: 0,
                recorded: 0,
                holding: 0,
                whole: true,
                walked: &mut |_| {},
                found: &mut broken,
            };
            walk.along(&tx, source, &day).await?;
        }
        Ok(())
    }

    /// The hash of a source's row, as the archive has it, or what is recorded of a day that has left it; none where
    /// neither knows.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archived_hash(&self, source: &str, seq: i64) -> Result<Option<Vec<u8>>> {
        let client = self.client().await?;
        let sql = "SELECT hash FROM archive WHERE source = $1 AND seq = $2
                   UNION ALL SELECT hash FROM archive_detached WHERE source = $1 AND last_seq = $2
                   UNION ALL SELECT before FROM archive_detached WHERE source = $1 AND first_seq = $2 + 1 LIMIT 1";
        client.query_opt(sql, &[&source, &seq]).await?.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// The day, `YYYY-MM-DD`, on which an event was archived that has left the archive since.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn left_archive(&self, event: EventId) -> Result<Option<String>> {
        let client: Client = self.client().await?;
        let sql = "SELECT to_char(e.day, 'YYYY-MM-DD') FROM archive_event e
                     JOIN archive_detached d ON (d.source, d.day) = (e.source, e.day) WHERE e.event_id = $1";
        client.query_opt(sql, &[&event.uuid()]).await?.map(|row| Ok(row.try_get(0)?)).transpose()
    }
}

/// One walk.
struct Walk<'w> {
    chain: Chain,
    rows: u64,
    recorded: u64,
    holding: u64,
    whole: bool,
    walked: &'w mut (dyn FnMut(u64) + Send),
    found: &'w mut (dyn FnMut(ChainBreak) + Send),
}

/// Walks along a source's chain from the row `from` (1: the first) and names every place where it does not hold:
/// behind one it goes on from the hash that is there. `walked` is told after each row how many hold.
pub(crate) async fn walk_chain(
    tx: &Tx<'_>,
    source: &str,
    from: i64,
    walked: &mut (dyn FnMut(u64) + Send),
    found: &mut (dyn FnMut(ChainBreak) + Send),
) -> Result<Walked> {
    let head = tx.query("SELECT seq, hash FROM archive_head WHERE source = $1", &[&source]).await?;
    let head: Option<(i64, Vec<u8>)> =
        head.first().map(|row| Ok::<_, crate::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    let detached = detached_in_tx(tx, source).await?;
    let chain = begin(tx, source, from, &detached).await?;
    let mut walk = Walk { chain, rows: 0, recorded: 0, holding: 0, whole: true, walked, found };
    // The days that have left are before all others.
    for part in detached.into_iter().filter(|part| part.last >= from) {
        walk.over(part);
    }
    // Each by itself: a query of all of them would take a lock on every one of their tables and indexes at once.
    for day in attached_in_tx(tx).await? {
        walk.along(tx, source, &day).await?;
    }
    walk.end(head)
}

/// Where the walk begins: before the first row, or behind the one before `from`.
async fn begin(tx: &Tx<'_>, source: &str, from: i64, detached: &[Detached]) -> Result<Chain> {
    if from <= 1 {
        return Ok(Chain::genesis());
    }
    // In the midst of a day that has left, the walk begins with that day.
    if let Some(part) = detached.iter().find(|part| part.last >= from) {
        return Ok(Chain::behind(part.first.saturating_sub(1), part.before.clone()));
    }
    let seq = from.saturating_sub(1);
    if let Some(part) = detached.iter().find(|part| part.last == seq) {
        return Ok(Chain::behind(seq, part.hash.clone()));
    }
    let rows = tx.query("SELECT hash FROM archive WHERE source = $1 AND seq = $2", &[&source, &seq]).await?;
    match rows.first() {
        Some(row) => Ok(Chain::behind(seq, row.try_get(0)?)),
        // It is missing, which the row behind it will show.
        None => Ok(Chain::behind(seq.saturating_sub(1), Vec::new())),
    }
}

impl Walk<'_> {
    /// Over a day that has left the archive.
    fn over(&mut self, part: Detached) {
        let rows = part.last.saturating_sub(part.first).saturating_add(1);
        let broken = self.chain.skip(&part.day, (part.first, part.last), &part.before, part.hash);
        self.recorded = self.recorded.saturating_add(u64::try_from(rows).unwrap_or(0));
        if let Some(broken) = broken {
            self.whole = false;
            (self.found)(broken);
        }
    }

    /// Along a day of the archive.
    async fn along(&mut self, tx: &Tx<'_>, source: &str, day: &str) -> Result<()> {
        let sql = format!(
            "SELECT a.seq, a.event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                    received_at, archived_at, raw, event, a.hash, t.sealed
               FROM archive a
               LEFT JOIN archive_tombstone t ON (t.source, t.seq, t.hash) = (a.source, a.seq, a.hash)
              WHERE a.source = $1 AND a.seq > $2 AND day = '{day}' ORDER BY a.seq"
        );
        let last = self.chain.last();
        let mut changed: Vec<(ChainBreak, Uuid)> = Vec::new();
        let mut rows = pin!(tx.stream_once(&sql, &[&source, &last]).await?);
        while let Some(row) = rows.try_next().await? {
            let broken = self.chain.step(&read(source, &row)?, row.try_get("hash")?, row.try_get("sealed")?);
            self.rows = self.rows.saturating_add(1);
            self.whole &= broken.is_none();
            self.holding = self.holding.saturating_add(u64::from(self.whole));
            match broken {
                Some(broken) if changed.len() < LOOKED_UP_MAX => {
                    changed.push((broken, row.try_get("event_id")?));
                }
                Some(broken) => (self.found)(broken),
                None => {}
            }
            (self.walked)(self.holding);
        }
        for (broken, event) in changed {
            let broken = named(tx, source, broken, event).await?;
            (self.found)(broken);
        }
        Ok(())
    }

    /// At the end.
    fn end(self, head: Option<(i64, Vec<u8>)>) -> Result<Walked> {
        let (last, hash) = (self.chain.last(), self.chain.hash());
        match head {
            // A chain whose end was removed with all its rows looks like a source without events; rows without an
            // end do not.
            None if last > 0 => (self.found)(ChainBreak::Head { seq: 0 }),
            Some((end, _)) if end > last => {
                (self.found)(ChainBreak::Missing { first: last.saturating_add(1), last: end });
            }
            Some((end, expected)) if end != last || expected != hash => {
                (self.found)(ChainBreak::Head { seq: end });
            }
            None | Some(_) => {}
        }
        Ok(Walked { rows: self.rows, recorded: self.recorded, last, hash: hash.to_vec() })
    }
}

/// A row that is not what it was may be one that stood elsewhere: the keys say where.
async fn named(tx: &Tx<'_>, source: &str, broken: ChainBreak, event: Uuid) -> Result<ChainBreak> {
    let ChainBreak::Changed { seq } = broken else { return Ok(broken) };
    let sql = "SELECT seq FROM archive_event WHERE event_id = $1 AND source = $2";
    let was: Option<i64> =
        tx.query(sql, &[&event, &source]).await?.first().map(|row| row.try_get(0)).transpose()?;
    Ok(match was {
        Some(was) if was != seq => ChainBreak::Moved { seq, was },
        _ => broken,
    })
}

/// The fields of a row as they enter its hash.
fn read<'r>(source: &'r str, row: &'r tokio_postgres::Row) -> Result<Row<'r>> {
    Ok(Row {
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
    })
}
