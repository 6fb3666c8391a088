use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use secrecy::SecretString;
use tokio_postgres::Config;

use crate::metric::PoolMeter;
use crate::silence::{self, Watch};
use crate::tell::Teller;
use crate::tls::{self, Tls};
use crate::{Client, Error, Result};

/// How to reach the database, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://user:password@host:port/name`, plain text without more. `sslmode=verify-full` behind it is TLS;
    /// `sslrootcert` is a file of PEM with the authorities to believe instead of the system's, and without an `sslmode` it
    /// is `verify-full` too. `require` and `verify-ca` need such a file, because they do not look at the host's name.
    pub url: SecretString,
    /// The name shown in `pg_stat_activity`: the service's.
    pub application_name: String,
    /// The most connections at once.
    pub pool_size: usize,
    /// How long to wait for a free connection.
    pub wait_timeout: Duration,
    /// How long to wait for a new connection.
    pub connect_timeout: Duration,
    /// The longest that a statement may run.
    pub statement_timeout: Duration,
    /// How much later than that an answer must have come. Where nothing comes, the connection has gone silent: it is
    /// dropped, and the error is transient.
    pub answer_grace: Duration,
    /// The longest that a statement may wait for a lock. Locks are held for milliseconds, so a long wait
    /// means that something is wrong, and the batch is tried again.
    pub lock_timeout: Duration,
    /// The longest that a transaction may do nothing: a process that was stopped amid one must not hold the
    /// others' rows for ever.
    pub idle_in_transaction_timeout: Duration,
    /// Plan a prepared statement once, whatever its parameters, and by indexes: right for a worker, whose parameters
    /// are arrays of keys; wrong for queries with optional filters.
    pub generic_plans: bool,
}

impl StoreOptions {
    /// Options for a service of this name.
    pub fn new(url: SecretString, application_name: &str) -> Self {
        Self {
            url,
            application_name: application_name.to_owned(),
            pool_size: 8,
            wait_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            answer_grace: silence::GRACE,
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(10),
            generic_plans: false,
        }
    }

    /// Options for a worker of this name. Its statements take milliseconds, and two that take too long must
    /// leave time for the rest of their batch.
    pub fn for_worker(url: SecretString, application_name: &str) -> Self {
        let statement_timeout = Duration::from_secs(8);
        Self { generic_plans: true, statement_timeout, ..Self::new(url, application_name) }
    }

    pub(crate) fn connection(&self) -> Result<(Config, Tls)> {
        let (mut config, tls) = tls::reach(&self.url)?;
        config.application_name(&self.application_name);
        config.connect_timeout(self.connect_timeout);
        // A peer that is gone without a word is noticed within half a minute.
        config.keepalives(true).keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(20));
        let mut options = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
        options.push_str(&format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={}",
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis(),
            self.idle_in_transaction_timeout.as_millis()
        ));
        if self.generic_plans {
            options.push_str(" -c plan_cache_mode=force_generic_plan");
            // Such a plan may be made while a table is still empty and then lives for minutes: read as a whole, the
            // table would be compared row by row with every key of the array. All that a worker reads, it reads by keys.
            options.push_str(" -c enable_seqscan=off");
            // What has no index nevertheless must not look so dear that it is compiled.
            options.push_str(" -c jit=off");
        }
        config.options(options);
        Ok((config, tls))
    }
}

/// The database, for one process. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    /// For each statement: how long the server gives it, and how much later the answer must have come.
    patience: (Duration, Duration),
    meter: PoolMeter,
    pub(crate) teller: Teller,
}

impl Store {
    /// A store of these options. It makes no connection yet; [`Store::ping`] does.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::SslMode`], [`Error::Tls`], [`Error::Setup`].
    pub fn new(options: &StoreOptions) -> Result<Self> {
        // `Fast` asks the connection's task only; session state would survive, so nobody sets any: no `SET`
        // without `LOCAL`, no session locks, no `BEGIN` by hand.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let (config, tls) = options.connection()?;
        let pool = Pool::builder(Manager::from_config(config, tls, recycling))
            .max_size(options.pool_size)
            // One that was used last: its statements are prepared and its buffers are as large as batches are. In turns,
            // each connection would grow its own.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(options.wait_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::Setup)?;
        let patience = (options.statement_timeout, options.answer_grace);
        Ok(Self {
            pool,
            patience,
            meter: PoolMeter::new(&options.application_name),
            teller: Teller::default(),
        })
    }

    /// A store of these options that has answered once.
    ///
    /// # Errors
    /// As [`Store::new`], and when the database does not answer.
    pub async fn connect(options: &StoreOptions) -> Result<Self> {
        let store = Self::new(options)?;
        store.ping().await?;
        Ok(store)
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<()> {
        self.client().await?.query_one("SELECT 1", &[]).await.map(|_| ())
    }

    /// Takes a connection from the pool.
    ///
    /// # Errors
    /// [`Error::Pool`] when none is free in time or the database is away.
    pub async fn client(&self) -> Result<Client> {
        let (statements, grace) = self.patience;
        let (waiting, since) = self.meter.wanted(self.pool.status().max_size);
        let object = self.pool.get().await;
        drop(waiting);
        self.meter.waited(since, object.is_ok());
        Ok(Client::new(object?, Watch::new(statements, grace), self.meter.handed_out(), self.clone()))
    }

    /// Closes the pool: whoever asks for a connection afterwards gets an error.
    pub fn close(&self) {
        self.pool.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_showing_the_password() {
        for url in ["postgres://me:geheim@host:port/name", "geheim", "host=h secret=geheim"] {
            let error = Store::new(&StoreOptions::new(url.into(), "test")).err().unwrap();
            assert!(!crate::chain(&error).contains("geheim"), "{error}");
        }
        let options = StoreOptions::new("postgres://me:geheim@host/name".into(), "test");
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
