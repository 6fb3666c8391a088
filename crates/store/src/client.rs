use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use futures_util::{Stream, TryStreamExt as _};
use postgres_types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::Result;
use crate::silence::Watch;

/// A statement's parameters.
pub(crate) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A connection from the pool; it goes back on drop, unless it has gone silent.
pub struct Client {
    /// There until the drop.
    object: Option<Object>,
    watch: Watch,
}

/// An open transaction: the permit to change anything.
///
/// Statements that are polled together (`try_join!`) travel together and run in the order of their first
/// poll. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx<'c> {
    tx: Transaction<'c>,
    watch: &'c Watch,
    /// How long an answer may take in this transaction, in ms; 0: as long as it takes.
    limit_ms: AtomicU64,
}

impl Client {
    pub(crate) const fn new(object: Object, watch: Watch) -> Self {
        Self { object: Some(object), watch }
    }

    /// Opens a transaction (READ COMMITTED).
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&mut self) -> Result<Tx<'_>> {
        let (object, watch) = self.parts();
        let tx = watch.answer(watch.limit(), object.transaction()).await?;
        Ok(Tx::new(tx, watch))
    }

    /// Opens a transaction that only reads, and in which every statement sees the same moment. It may take as long
    /// as it takes: no time limit of the pool holds in it.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<Tx<'_>> {
        let (object, watch) = self.parts();
        let builder =
            object.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = Tx::new(watch.answer(watch.limit(), builder.start()).await?, watch);
        tx.set_local("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        tx.limit_ms.store(0, Ordering::Relaxed);
        Ok(tx)
    }

    /// Opens a transaction in which every statement sees the same moment, and that may write all the same.
    pub(crate) async fn begin_repeatable(&mut self) -> Result<Tx<'_>> {
        let (object, watch) = self.parts();
        let builder = object.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        Ok(Tx::new(watch.answer(watch.limit(), builder.start()).await?, watch))
    }

    #[expect(clippy::expect_used, reason = "only the drop takes it out")]
    fn parts(&mut self) -> (&mut Object, &Watch) {
        (self.object.as_mut().expect("a client has its connection until it is dropped"), &self.watch)
    }

    #[expect(clippy::expect_used, reason = "only the drop takes it out")]
    fn object(&self) -> &Object {
        self.object.as_ref().expect("a client has its connection until it is dropped")
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.watch.answer(self.watch.limit(), asked).await
    }

    /// Runs a statement outside a transaction and returns its rows; it is prepared once a connection.
    pub(crate) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.answer(self.object().prepare_cached(sql)).await?;
        self.answer(self.object().query(&statement, params)).await
    }

    /// As [`Client::query`], for at most one row.
    pub(crate) async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
        let statement = self.answer(self.object().prepare_cached(sql)).await?;
        self.answer(self.object().query_opt(&statement, params)).await
    }

    /// As [`Client::query`], for exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        let statement = self.answer(self.object().prepare_cached(sql)).await?;
        self.answer(self.object().query_one(&statement, params)).await
    }

    /// Runs a statement outside a transaction and returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.answer(self.object().prepare_cached(sql)).await?;
        self.answer(self.object().execute(&statement, params)).await
    }
}

fn in_ms(limit: Option<Duration>) -> u64 {
    limit.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        if self.watch.is_silent() {
            // What lies in the pool was made over the same network; whoever takes it would wait as long once more.
            if let Some(pool) = Object::pool(&object) {
                pool.retain(|_, _| false);
            }
            // Dropped for good, its task and socket end with it. The server ends what is open there by itself.
            drop(Object::take(object));
        }
    }
}

impl<'c> Tx<'c> {
    fn new(tx: Transaction<'c>, watch: &'c Watch) -> Self {
        Self { tx, watch, limit_ms: AtomicU64::new(in_ms(watch.limit())) }
    }
}

impl Tx<'_> {
    fn limit(&self) -> Option<Duration> {
        let limit_ms = self.limit_ms.load(Ordering::Relaxed);
        (limit_ms > 0).then(|| Duration::from_millis(limit_ms))
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.watch.answer(self.limit(), asked).await
    }

    /// Lets every statement of this transaction from here on take so long, however short the pool's limit is.
    pub(crate) async fn allow(&self, statements: Duration) -> Result<()> {
        self.set_local(&format!("SET LOCAL statement_timeout = {}", statements.as_millis())).await?;
        self.limit_ms.store(in_ms(Some(statements + self.watch.grace())), Ordering::Relaxed);
        Ok(())
    }

    /// Makes everything since [`Client::begin`] durable and visible.
    ///
    /// # Errors
    /// When it is not certain that it is; the same work must be safe to do again.
    pub async fn commit(self) -> Result<()> {
        let limit = self.limit();
        self.watch.answer(limit, self.tx.commit()).await
    }

    /// Takes everything since [`Client::begin`] back, and waits for it. Dropping does the same in its time.
    ///
    /// # Errors
    /// When the database is away; nothing is kept then either.
    pub async fn rollback(self) -> Result<()> {
        let limit = self.limit();
        self.watch.answer(limit, self.tx.rollback()).await
    }

    /// Lets this transaction's commit return before it is on disk: a crash of the server may lose it. Only
    /// for what the next event repairs.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn relax_durability(&self) -> Result<()> {
        self.set_local("SET LOCAL synchronous_commit = off").await
    }

    /// Runs a statement and returns its rows; it is prepared once a connection.
    pub(crate) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.answer(self.tx.prepare_cached(sql)).await?;
        self.answer(self.tx.query(&statement, params)).await
    }

    /// Runs a statement and returns its rows as they come. The connection takes the next only when somebody asks
    /// for it, so however many they are, a few are in memory.
    pub(crate) async fn stream(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.answer(self.tx.prepare_cached(sql)).await?;
        let rows = self.answer(self.tx.query_raw(&statement, params.iter().copied())).await?;
        Ok(rows.map_err(crate::Error::from))
    }

    /// As [`Tx::stream`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn stream_once(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.answer(self.tx.prepare(sql)).await?;
        let rows = self.answer(self.tx.query_raw(&statement, params.iter().copied())).await?;
        Ok(rows.map_err(crate::Error::from))
    }

    /// As [`Tx::query`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn query_once(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.answer(self.tx.prepare(sql)).await?;
        self.answer(self.tx.query(&statement, params)).await
    }

    /// Sets how this transaction's statements run.
    pub(crate) async fn set_local(&self, settings: &str) -> Result<()> {
        self.answer(self.tx.batch_execute(settings)).await
    }

    /// As [`Tx::query`], for exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        let statement = self.answer(self.tx.prepare_cached(sql)).await?;
        self.answer(self.tx.query_one(&statement, params)).await
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.answer(self.tx.prepare_cached(sql)).await?;
        self.answer(self.tx.execute(&statement, params)).await
    }
}
