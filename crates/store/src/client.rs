use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, TryStreamExt as _, poll};
use matchpurse_domain::ids::EventId;
use postgres_types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::later::{Later, Owned, Sent};
use crate::metric::Counted;
use crate::silence::Watch;
use crate::{Error, Result, Store};

/// A statement's parameters.
pub(crate) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A connection from the pool; it goes back on drop, unless it has gone silent.
pub struct Client {
    /// There until the drop.
    object: Option<Object>,
    watch: Watch,
    _counted: Counted,
    store: Store,
}

/// An open transaction: the permit to change anything.
///
/// Statements that are polled together (`try_join!`) travel together and run in the order of their first
/// poll, once the connection has prepared each of them. What is given to `Tx::later` travels with what comes next.
/// Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx<'c> {
    object: &'c Object,
    watch: &'c Watch,
    store: &'c Store,
    /// How long an answer may take in this transaction, in ms; 0: as long as it takes.
    limit_ms: AtomicU64,
    /// Who listens to these is told after the commit.
    tells: Mutex<BTreeSet<&'static str>>,
    /// Statements that have not been sent.
    waiting: Mutex<Vec<Later>>,
    /// It has been committed or rolled back, or is about to be.
    over: AtomicBool,
    /// Something of what waited was not sent: what there is now is not all that there should be.
    broken: AtomicBool,
    /// Trace contexts of the events that it is about.
    traces: OnceLock<BTreeMap<EventId, String>>,
}

impl Client {
    pub(crate) const fn new(object: Object, watch: Watch, counted: Counted, store: Store) -> Self {
        Self { object: Some(object), watch, _counted: counted, store }
    }

    /// Opens a transaction (READ COMMITTED).
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&mut self) -> Result<Tx<'_>> {
        self.start("START TRANSACTION").await
    }

    /// Opens a transaction that only reads, and in which every statement sees the same moment. It may take as long
    /// as it takes: no time limit of the pool holds in it.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<Tx<'_>> {
        let tx = self.start("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        tx.set_local("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        tx.limit_ms.store(0, Ordering::Relaxed);
        Ok(tx)
    }

    /// Opens a transaction in which every statement sees the same moment, and that may write all the same.
    pub(crate) async fn begin_repeatable(&mut self) -> Result<Tx<'_>> {
        self.start("START TRANSACTION ISOLATION LEVEL REPEATABLE READ").await
    }

    async fn start(&mut self, sql: &str) -> Result<Tx<'_>> {
        let (object, watch, store) = self.parts();
        // It is there before it is asked for: whoever stops waiting drops it, and it is rolled back.
        let tx = Tx::new(object, watch, store);
        tx.answer(object.batch_execute(sql)).await?;
        Ok(tx)
    }

    #[expect(clippy::expect_used, reason = "only the drop takes it out")]
    fn parts(&mut self) -> (&Object, &Watch, &Store) {
        let object = self.object.as_ref().expect("a client has its connection until it is dropped");
        (object, &self.watch, &self.store)
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
    fn new(object: &'c Object, watch: &'c Watch, store: &'c Store) -> Self {
        let limit_ms = AtomicU64::new(in_ms(watch.limit()));
        let (over, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        let traces = OnceLock::new();
        Self {
            object,
            watch,
            store,
            limit_ms,
            tells: Mutex::default(),
            waiting: Mutex::default(),
            over,
            broken,
            traces,
        }
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if !self.over.load(Ordering::Relaxed) {
            // Polled once it is on its way, before anything that the next one asks on this connection.
            drop(self.object.batch_execute("ROLLBACK").now_or_never());
        }
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

    async fn prepare(&self, sql: &str) -> Result<Statement> {
        self.answer(self.object.prepare_cached(sql)).await
    }

    /// Says which traces the events belong to that this transaction is about, as W3C's `traceparent`, so that the notices
    /// which they cause go on with them. To be said once, before anything else.
    pub fn follow(&self, traces: BTreeMap<EventId, String>) {
        // What was said first stays.
        drop(self.traces.set(traces));
    }

    /// The trace context of an event, if it was told.
    pub(crate) fn trace_of(&self, event: EventId) -> Option<&str> {
        self.traces.get()?.get(&event).map(String::as_str)
    }

    /// Runs a statement with what comes next: before it, and in the same round trip. Its answer is waited for then; an
    /// error of it is an error of that.
    pub(crate) fn later(&self, sql: impl Into<Cow<'static, str>>, params: Vec<Owned>) {
        let later = Later { sql: sql.into(), params };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(later);
    }

    /// Tells who listens to a channel that there is something new, soon after the commit. It is a hint, which may be lost.
    pub(crate) fn tell(&self, channel: &'static str) {
        self.tells.lock().unwrap_or_else(PoisonError::into_inner).insert(channel);
    }

    /// Leaves undone what was left for [`Tx::later`].
    pub(crate) fn forget_waiting(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends what waits, in its order.
    async fn send_waiting(&self) -> Result<Sent<'_>> {
        let sent = self.send_all_waiting().await;
        if sent.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        sent
    }

    async fn send_all_waiting(&self) -> Result<Sent<'_>> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut prepared = Vec::with_capacity(waiting.len());
        for later in waiting {
            prepared.push((self.prepare(&later.sql).await?, later));
        }
        let mut sent = Sent::default();
        for (statement, Later { params, .. }) in prepared {
            let answer = Box::pin(async move {
                let params: Vec<&(dyn ToSql + Sync)> =
                    params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
                self.answer(self.object.execute(&statement, &params)).await
            });
            sent.send(answer).await?;
        }
        Ok(sent)
    }

    /// Asks behind what waits, and waits for both. Boxed, because it is in every future that asks the database anything.
    fn behind_waiting<'a, T: Send + 'a>(
        &'a self,
        asked: impl Future<Output = Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        let both = async move {
            let sent = self.send_waiting().await?;
            let mut asked = pin!(asked);
            let first = poll!(asked.as_mut());
            sent.answered().await?;
            match first {
                Poll::Ready(answered) => answered,
                Poll::Pending => asked.await,
            }
        };
        both.boxed()
    }

    /// Waits until everything that was left for `Tx::later` has been done.
    ///
    /// # Errors
    /// Of the first that failed.
    pub async fn settle(&self) -> Result<()> {
        self.send_waiting().await?.answered().await
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
        let sent = self.send_waiting().await?;
        if self.broken.load(Ordering::Relaxed) {
            // PostgreSQL need not have heard of it, and would keep the rest.
            let source = "one of its statements was never sent".into();
            return Err(Error::Stored { what: "transaction", source });
        }
        self.over.store(true, Ordering::Relaxed);
        let mut committing = pin!(self.answer(self.object.batch_execute("COMMIT")));
        let first = poll!(committing.as_mut());
        sent.answered().await?;
        match first {
            Poll::Ready(committed) => committed?,
            Poll::Pending => committing.await?,
        }
        let tells = std::mem::take(&mut *self.tells.lock().unwrap_or_else(PoisonError::into_inner));
        self.store.teller.tell(self.store, tells);
        Ok(())
    }

    /// Takes everything since [`Client::begin`] back, and waits for it. Dropping does the same in its time.
    ///
    /// # Errors
    /// When the database is away; nothing is kept then either.
    pub async fn rollback(self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.answer(self.object.batch_execute("ROLLBACK")).await
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
        let statement = self.prepare(sql).await?;
        self.behind_waiting(self.answer(self.object.query(&statement, params))).await
    }

    /// Runs two statements of which the second does not need the first one's rows, in one round trip, and returns the
    /// rows of both.
    pub(crate) async fn query_both(
        &self,
        (first, first_params): (&str, Params<'_>),
        (second, second_params): (&str, Params<'_>),
    ) -> Result<(Vec<Row>, Vec<Row>)> {
        let (first, second) = (self.prepare(first).await?, self.prepare(second).await?);
        let both = async {
            tokio::try_join!(
                biased;
                self.answer(self.object.query(&first, first_params)),
                self.answer(self.object.query(&second, second_params))
            )
        };
        self.behind_waiting(both).await
    }

    /// As [`Tx::query_both`], for three.
    pub(crate) async fn query_three(
        &self,
        (first, first_params): (&str, Params<'_>),
        (second, second_params): (&str, Params<'_>),
        (third, third_params): (&str, Params<'_>),
    ) -> Result<(Vec<Row>, Vec<Row>, Vec<Row>)> {
        let (first, second) = (self.prepare(first).await?, self.prepare(second).await?);
        let third = self.prepare(third).await?;
        let all = async {
            tokio::try_join!(
                biased;
                self.answer(self.object.query(&first, first_params)),
                self.answer(self.object.query(&second, second_params)),
                self.answer(self.object.query(&third, third_params))
            )
        };
        self.behind_waiting(all).await
    }

    /// Runs a statement and returns its rows as they come. The connection takes the next only when somebody asks
    /// for it, so however many they are, a few are in memory.
    pub(crate) async fn stream(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.prepare(sql).await?;
        let asked = self.answer(self.object.query_raw(&statement, params.iter().copied()));
        Ok(self.behind_waiting(asked).await?.map_err(Error::from))
    }

    /// As [`Tx::stream`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn stream_once(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row>> + use<>> {
        let statement = self.answer(self.object.prepare(sql)).await?;
        let asked = self.answer(self.object.query_raw(&statement, params.iter().copied()));
        Ok(self.behind_waiting(asked).await?.map_err(Error::from))
    }

    /// As [`Tx::query`], for a statement that names a table of its own and is not asked again.
    pub(crate) async fn query_once(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.answer(self.object.prepare(sql)).await?;
        self.behind_waiting(self.answer(self.object.query(&statement, params))).await
    }

    /// Sets how this transaction's statements run.
    pub(crate) async fn set_local(&self, settings: &str) -> Result<()> {
        self.behind_waiting(self.answer(self.object.batch_execute(settings))).await
    }

    /// As [`Tx::query`], for exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        let statement = self.prepare(sql).await?;
        self.behind_waiting(self.answer(self.object.query_one(&statement, params))).await
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.prepare(sql).await?;
        self.behind_waiting(self.answer(self.object.execute(&statement, params))).await
    }
}
