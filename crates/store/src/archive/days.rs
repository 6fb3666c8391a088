//! The archive's days: each a table of its own, so that one can leave without a row being deleted.

use std::collections::BTreeMap;

use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::time::At;
use crate::{Client, Result, Store, Tx};

/// What is left of a source's day that has left the archive: enough to prove the chain behind it, and to know the
/// day's rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// `YYYY-MM-DD`
    pub day: String,
    /// The number of its first row.
    pub first: i64,
    /// The number of its last row.
    pub last: i64,
    /// The hash before its first row.
    pub before: Vec<u8>,
    /// Its last row's hash.
    pub hash: Vec<u8>,
    /// What the file was called that it was exported to, if it was.
    pub exported_to: Option<String>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `YYYY-MM-DD`
    pub day: String,
    /// Whether it is part of the archive, or has left it.
    pub attached: bool,
    /// What its table takes with its indexes, in bytes; none where the table has been dropped.
    pub bytes: Option<i64>,
    /// Its rows; as PostgreSQL estimates them while it is part of the archive, exactly when it has left.
    pub rows: i64,
    /// The file that it was exported to.
    pub exported_to: Option<String>,
}

/// The day under which each source's rows are kept now, in days since 2000-01-01, and whether it has a table: that of the
/// time, but never before the row before it, and never one that has left. It is what `archive_day` says, which is
/// planned anew at every call. The sources' ends must be locked.
pub(super) const OF_SOURCES: &str =
    "SELECT source, day - date '2000-01-01', to_regclass('archive_d' || to_char(day, 'YYYYMMDD')) IS NOT NULL
       FROM (SELECT h.source, greatest(($2::timestamptz AT TIME ZONE 'UTC')::date, h.day,
                                       (SELECT max(d.day) + 1 FROM archive_detached d)) AS day
               FROM archive_head h WHERE h.source = ANY ($1)) placed";

/// The days that [`OF_SOURCES`] tells, by source, made where they are not there.
pub(super) async fn made(
    tx: &Tx<'_>,
    sources: &[&str],
    now: Timestamp,
    placed: &[Row],
) -> Result<BTreeMap<String, i32>> {
    let mut days = BTreeMap::new();
    let mut all_there = true;
    for row in placed {
        days.insert(row.try_get(0)?, row.try_get(1)?);
        all_there &= row.try_get::<_, bool>(2)?;
    }
    if !all_there {
        make_in_tx(tx, sources, now).await?;
    }
    Ok(days)
}

/// Makes the days under which rows of these sources are kept now, where they are not there: a job makes them ahead,
/// so this is for the case that it did not run. The sources' ends must be locked.
async fn make_in_tx(tx: &Tx<'_>, sources: &[&str], now: Timestamp) -> Result<()> {
    let sql = "SELECT archive_make_day(day)
                 FROM (SELECT DISTINCT archive_day($2, day) AS day FROM archive_head WHERE source = ANY ($1)) days
                WHERE to_regclass('archive_d' || to_char(day, 'YYYYMMDD')) IS NULL";
    tx.query(sql, &[&sources, &At(now)]).await?;
    Ok(())
}

/// The days that are part of the archive, the first one first.
pub(super) async fn attached_in_tx(tx: &Tx<'_>) -> Result<Vec<String>> {
    let sql = "SELECT to_char(to_date(right(c.relname, 8), 'YYYYMMDD'), 'YYYY-MM-DD')
                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'archive'::regclass ORDER BY 1";
    tx.query(sql, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A source's days that have left the archive, the first one first.
pub(super) async fn detached_in_tx(tx: &Tx<'_>, source: &str) -> Result<Vec<Detached>> {
    let sql = "SELECT to_char(day, 'YYYY-MM-DD'), first_seq, last_seq, before, hash, exported_to
                 FROM archive_detached WHERE source = $1 ORDER BY first_seq";
    let rows = tx.query(sql, &[&source]).await?;
    rows.iter()
        .map(|row| {
            Ok(Detached {
                day: row.try_get(0)?,
                first: row.try_get(1)?,
                last: row.try_get(2)?,
                before: row.try_get(3)?,
                hash: row.try_get(4)?,
                exported_to: row.try_get(5)?,
            })
        })
        .collect()
}

impl Store {
    /// Makes the day of `now` and so many behind it, where they are not there yet.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn make_archive_days(&self, now: Timestamp, ahead: i32) -> Result<()> {
        let sql = "SELECT archive_make_day((($1::timestamptz AT TIME ZONE 'UTC')::date + n))
                     FROM generate_series(0, $2) AS n
                    WHERE (($1::timestamptz AT TIME ZONE 'UTC')::date + n)
                          > coalesce((SELECT max(day) FROM archive_detached), '-infinity')";
        self.client().await?.execute(sql, &[&At(now), &ahead]).await?;
        Ok(())
    }

    /// All days, the first one first.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archive_parts(&self) -> Result<Vec<Part>> {
        let sql = "
          SELECT to_char(to_date(right(c.relname, 8), 'YYYYMMDD'), 'YYYY-MM-DD'), true,
                 pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint, NULL::text
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'archive'::regclass
          UNION ALL
          SELECT to_char(day, 'YYYY-MM-DD'), false,
                 pg_total_relation_size(to_regclass('archive_d' || to_char(day, 'YYYYMMDD'))), sum(rows)::bigint,
                 max(exported_to)
            FROM archive_detached GROUP BY day
           ORDER BY 1";
        let rows = self.client().await?.query(sql, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Part {
                    day: row.try_get(0)?,
                    attached: row.try_get(1)?,
                    bytes: row.try_get(2)?,
                    rows: row.try_get(3)?,
                    exported_to: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// The days of the archive before `day`, `YYYY-MM-DD`, the first one first.
    ///
    /// # Errors
    /// [`crate::Error`]; also when it is no day.
    pub async fn archive_days_before(&self, day: &str) -> Result<Vec<String>> {
        let mut client = self.client().await?;
        let tx = client.begin().await?;
        let mut days = attached_in_tx(&tx).await?;
        let end: String =
            tx.query_one("SELECT to_char($1::text::date, 'YYYY-MM-DD')", &[&day]).await?.try_get(0)?;
        days.retain(|day| *day < end);
        Ok(days)
    }

    /// Takes a day out of the archive, and keeps what proves the chains behind it. Its table stays, outside of the
    /// archive, until its owner drops it. Only the first day that is there can leave, and only when it is over.
    ///
    /// # Errors
    /// [`crate::Error`]; with the code `55P03` when the archive was busy: then nothing was done, and it may be tried
    /// again. With `ES020` to `ES023` when the day cannot leave.
    pub async fn detach_archive_day(&self, day: &str, exported_to: Option<&str>) -> Result<()> {
        let client = self.client().await?;
        let sql = "SELECT archive_detach_day($1::text::date, $2)";
        client.query_one(sql, &[&day, &exported_to]).await?;
        Ok(())
    }

    /// The days before so many days ago that are part of the archive, by the database's clock.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn archive_days_older_than(&self, days: i32) -> Result<Vec<String>> {
        let sql = "SELECT to_char((now() AT TIME ZONE 'UTC')::date - $1::integer, 'YYYY-MM-DD')";
        let end: String = self.client().await?.query_one(sql, &[&days]).await?.try_get(0)?;
        self.archive_days_before(&end).await
    }

    /// Drops the table of a day that has left the archive; only its owner may. False where there is none.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn drop_archive_day(&self, day: &str) -> Result<bool> {
        let client = self.client().await?;
        let Some(table) = detached_table(&client, day).await? else { return Ok(false) };
        client.execute(&format!("DROP TABLE {table}"), &[]).await?;
        Ok(true)
    }
}

/// The table of a day that has left the archive, quoted.
async fn detached_table(client: &Client, day: &str) -> Result<Option<String>> {
    let sql = "SELECT c.oid::regclass::text
                 FROM (SELECT to_regclass('archive_d' || to_char($1::text::date, 'YYYYMMDD')) AS oid) c
                WHERE c.oid IS NOT NULL
                  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
                  AND EXISTS (SELECT FROM archive_detached WHERE day = $1::text::date)";
    client.query_opt(sql, &[&day]).await?.map(|row| Ok(row.try_get(0)?)).transpose()
}
