//! A search that costs the same however much there is.
//!
//! An index finds rows in the order of the list; for what no index knows, at most [`LOOKED_AT_MAX`] of them are looked at
//! a page. Such a page may be short, even empty, though more follow, and the place of the last row that was looked at
//! says where to go on.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::conditions::Conditions;
use crate::{Client, Result};

/// The most rows that are looked at for one page.
pub const LOOKED_AT_MAX: u32 = 10_000;

/// Two steps of one search: the rows that an index finds, and of those the ones that are wanted.
pub(crate) struct Search {
    /// Those that are looked at.
    looked_at: String,
    /// The order of both steps.
    order: &'static str,
    /// What they must be besides.
    wanted: Conditions,
    /// The parameters of the first step.
    first: usize,
    /// Whether some that are looked at may not be wanted.
    passes_over: bool,
}

impl Search {
    /// Looks at the rows of a table that `found` finds. One index must find them, in this order.
    pub(crate) fn new(table: &str, found: Conditions, order: &'static str) -> Self {
        let first = found.params().len();
        let (found, wanted) = found.and_then();
        let looked_at = format!("SELECT * FROM {table} WHERE {found} ORDER BY {order}");
        Self { looked_at, order, wanted, first, passes_over: false }
    }

    /// Takes only those of which this is true, besides.
    pub(crate) fn always(mut self, sql: &str) -> Self {
        self.wanted = self.wanted.always(sql);
        self.passes_over = true;
        self
    }

    /// The same with a value, `?`; without one nothing is passed over.
    pub(crate) fn wanting<T: ToSql + Sync + Send + 'static>(mut self, sql: &str, value: Option<T>) -> Self {
        self.passes_over |= value.is_some();
        self.wanted = self.wanted.and(sql, value);
        self
    }

    /// At most `limit` of what is wanted.
    pub(crate) async fn read(&self, client: &Client, columns: &str, limit: u32) -> Result<Vec<Row>> {
        let most = if self.passes_over { LOOKED_AT_MAX } else { limit };
        let (looked_at, wanted, order) = (&self.looked_at, self.wanted.sql(), self.order);
        let sql = format!(
            "SELECT {columns} FROM ({looked_at} LIMIT {most}) looked_at WHERE {wanted} ORDER BY {order} LIMIT {limit}"
        );
        client.query(&sql, &self.wanted.params()).await
    }

    /// The last row that was looked at, where there may be more behind it.
    pub(crate) async fn looked_up_to(&self, client: &Client, columns: &str) -> Result<Option<Row>> {
        if !self.passes_over {
            return Ok(None);
        }
        let (looked_at, last) = (&self.looked_at, LOOKED_AT_MAX.saturating_sub(1));
        let sql = format!("SELECT {columns} FROM ({looked_at} OFFSET {last} LIMIT 1) looked_at");
        let mut parameters = self.wanted.params();
        parameters.truncate(self.first);
        client.query_opt(&sql, &parameters).await
    }
}
