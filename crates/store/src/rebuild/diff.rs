//! A rebuild, compared with the state that is there.

use serde_json::Value;

use super::Rebuild;
use super::tables::{Compared, TABLES, Table};
use crate::{Result, Tx};

/// What is compared runs once and over everything.
const SETTINGS: &str = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off";

/// A row that is not the same in both.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The row's meaning.
    pub key: String,
    /// What the live state has, if it has the row.
    pub live: Option<Value>,
    /// What the rebuild has, if it has the row.
    pub built: Option<Value>,
}

impl Difference {
    /// The fields that differ, each with what the live state and the rebuild have.
    pub fn fields(&self) -> Vec<(&str, &Value, &Value)> {
        let (Some(Value::Object(live)), Some(Value::Object(built))) = (&self.live, &self.built) else {
            return Vec::new();
        };
        let mut names: Vec<&str> = live.keys().chain(built.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let field = |name| {
            let pair = (live.get(name).unwrap_or(&Value::Null), built.get(name).unwrap_or(&Value::Null));
            (pair.0 != pair.1).then_some((name, pair.0, pair.1))
        };
        names.into_iter().filter_map(field).collect()
    }
}

/// One table, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDiff {
    /// The table.
    pub table: &'static str,
    /// Rows of the live state.
    pub live_rows: i64,
    /// Rows of the rebuild.
    pub built_rows: i64,
    /// How many differ.
    pub differing: i64,
    /// The first of them, by key.
    pub first: Vec<Difference>,
}

/// What has come since the rebuild's inputs were written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newer {
    /// Inputs of the plan that are not applied yet.
    pub unfinished: i64,
    /// Events that were archived since.
    pub events: i64,
    /// Operations that were recorded since.
    pub operations: i64,
}

impl Newer {
    /// True when the two can be expected to be equal.
    pub fn is_none(self) -> bool {
        self == Self { unfinished: 0, events: 0, operations: 0 }
    }
}

impl Rebuild {
    /// Compares every table that can be, all of one moment, and hands on each as it is done: rows are counted and
    /// summed up first, and only where that differs are they compared one by one. At most `first_max` differences of a
    /// table are handed on; all are counted.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn diff(&self, first_max: i64, compared: &mut (dyn FnMut(TableDiff) + Send)) -> Result<Newer> {
        let mut client = self.live.client().await?;
        let tx = client.begin_snapshot().await?;
        tx.set_local(SETTINGS).await?;
        for table in TABLES {
            if let Some(diff) = self.compare(&tx, table, first_max).await? {
                compared(diff);
            }
        }
        self.newer(&tx).await
    }

    async fn compare(&self, tx: &Tx<'_>, table: &Table, first_max: i64) -> Result<Option<TableDiff>> {
        let (sql, prunable) = match table.compared {
            Compared::Rows(sql) | Compared::Copied(sql) => (sql, false),
            Compared::Prunable(sql) => (sql, true),
            Compared::Left(_) => return Ok(None),
        };
        let live = sql.replace("{s}", &format!("\"{}\"", self.live_schema));
        let built = sql.replace("{s}", &self.schema);
        let (live_sum, built_sum) = (sum(tx, &live).await?, sum(tx, &built).await?);
        let mut diff = TableDiff {
            table: table.name,
            live_rows: live_sum.0,
            built_rows: built_sum.0,
            differing: 0,
            first: Vec::new(),
        };
        if live_sum == built_sum {
            return Ok(Some(diff));
        }
        let lacking = if prunable { "AND l.key IS NOT NULL" } else { "" };
        let sql = format!(
            "SELECT coalesce(l.key, b.key), l.what, b.what, count(*) OVER ()
               FROM ({live}) l FULL JOIN ({built}) b ON l.key = b.key
              WHERE l.what IS DISTINCT FROM b.what {lacking} ORDER BY 1 LIMIT $1"
        );
        for row in tx.query_once(&sql, &[&first_max.max(1)]).await? {
            diff.differing = row.try_get(3)?;
            let row = Difference { key: row.try_get(0)?, live: row.try_get(1)?, built: row.try_get(2)? };
            if i64::try_from(diff.first.len()).unwrap_or(i64::MAX) < first_max {
                diff.first.push(row);
            }
        }
        Ok(Some(diff))
    }

    async fn newer(&self, tx: &Tx<'_>) -> Result<Newer> {
        let schema = &self.schema;
        let sql = format!(
            "SELECT (SELECT coalesce(max(position), 0) FROM {schema}.rebuild_step) - done,
                    (SELECT coalesce(sum(seq), 0)::bigint FROM archive_head) - archived,
                    (SELECT count(*) FROM operation WHERE position > operated)
               FROM {schema}.rebuild_state"
        );
        let rows = tx.query_once(&sql, &[]).await?;
        let row = rows.first().ok_or_else(|| crate::words::unknown("state of the rebuild"))?;
        Ok(Newer { unfinished: row.try_get(0)?, events: row.try_get(1)?, operations: row.try_get(2)? })
    }
}

/// How many rows, and a sum over all of them that does not depend on their order.
async fn sum(tx: &Tx<'_>, sql: &str) -> Result<(i64, String)> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(hashtextextended(key || ' ' || what::text, 0)::numeric), 0)::text
           FROM ({sql}) t"
    );
    let rows = tx.query_once(&sql, &[]).await?;
    let row = rows.first().ok_or_else(|| crate::words::unknown("sum of a table"))?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
