use deadpool_postgres::{Object, Transaction};
use futures_util::{Stream, TryStreamExt as _};
use postgres_types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::Result;

/// A statement's parameters.
pub(crate) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A connection from the pool; it goes back on drop.
pub struct Client(pub(crate) Object);

/// An open transaction: the permit to change anything.
///
/// Statements that are polled together (`try_join!`) travel together and run in the order of their first
/// poll. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx<'c>(Transaction<'c>);

impl Client {
    /// Opens a transaction (READ COMMITTED).
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&mut self) -> Result<Tx<'_>> {
        Ok(Tx(self.0.transaction().await?))
    }

    /// Opens a transaction that only reads, and in which every statement sees the same moment. It may take as long
    /// as it takes: no time limit of the pool holds in it.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<Tx<'_>> {
        let builder =
            self.0.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = builder.start().await?;
        let limits = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
        tx.batch_execute(limits).await?;
        Ok(Tx(tx))
    }

    /// Opens a transaction in which every statement sees the same moment, and that may write all the same.
    pub(crate) async fn begin_repeatable(&mut self) -> Result<Tx<'_>> {
        let builder = self.0.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        Ok(Tx(builder.start().await?))
    }

    /// Runs a statement outside a transaction and returns its rows; it is prepared once a connection.
    pub(crate) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query(&statement, params).await?)
    }

    /// As [`Client::query`], for at most one row.
    pub(crate) async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query_opt(&statement, params).await?)
    }

    /// As [`Client::query`], for exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query_one(&statement, params).await?)
    }

    /// Runs a statement outside a transaction and returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.execute(&statement, params).await?)
    }
}

impl Tx<'_> {
    /// Makes everything since [`Client::begin`] durable and visible.
    ///
    /// # Errors
    /// When it is not certain that it is; the same work must be safe to do again.
    pub async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }

    /// Takes everything since [`Client::begin`] back, and waits for it. Dropping does the same in its time.
    ///
    /// # Errors
    /// When the database is away; nothing is kept then either.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.0.rollback().await?)
    }

    /// Lets this transaction's commit return before it is on disk: a crash of the server may lose it. Only
    /// for what the next event repairs.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn relax_durability(&self) -> Result<()> {
        Ok(self.0.batch_execute("SET LOCAL synchronous_commit = off").await?)
    }

    /// Runs a statement and returns its rows; it is prepared once a connection.
    pub(crate) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query(&statement, params).await?)
    }

    /// Runs a statement and returns its rows as they come. The connection takes the next only when somebody asks
    /// for it, so however many they are, a few are in memory.
    pub(crate) async fn stream(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.0.prepare_cached(sql).await?;
        let rows = self.0.query_raw(&statement, params.iter().copied()).await?;
        Ok(rows.map_err(crate::Error::from))
    }

    /// As [`Tx::stream`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn stream_once(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.0.prepare(sql).await?;
        let rows = self.0.query_raw(&statement, params.iter().copied()).await?;
        Ok(rows.map_err(crate::Error::from))
    }

    /// As [`Tx::query`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn query_once(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.0.prepare(sql).await?;
        Ok(self.0.query(&statement, params).await?)
    }

    /// Sets how this transaction's statements run.
    pub(crate) async fn set_local(&self, settings: &str) -> Result<()> {
        Ok(self.0.batch_execute(settings).await?)
    }

    /// As [`Tx::query`], for exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query_one(&statement, params).await?)
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.execute(&statement, params).await?)
    }
}
