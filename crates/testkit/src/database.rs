use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use matchpurse_store::{Migrations, Store, StoreOptions};
use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

/// The server on which tests make their databases; its user must be a superuser.
const URL_VARIABLE: &str = "MATCHPURSE_TEST_DATABASE_URL";

/// The role whose rights services have; the first migration makes it.
const SERVICES_ROLE: &str = "matchpurse_app";

/// The advisory lock under which the template is made: the letters `mptestkt`.
const LOCK: i64 = 0x6d70_7465_7374_6b74;

/// What a crashed test left behind goes after this time.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A migrated database of its own for one test, dropped with this value.
///
/// It is a copy of a template that is migrated once a server, so it costs tens of milliseconds.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes a database.
    ///
    /// # Errors
    /// When the server is away or refuses.
    ///
    /// # Panics
    /// When `MATCHPURSE_TEST_DATABASE_URL` is not set: a test that needs a database must not pass without.
    pub async fn create() -> Result<Self> {
        let Ok(server) = std::env::var(URL_VARIABLE) else {
            #[expect(clippy::panic, reason = "this is for tests, and says how to run them")]
            {
                panic!("{URL_VARIABLE} is not set: run tests/run, which starts a private PostgreSQL")
            }
        };
        Self::create_on(&server).await
    }

    /// Makes a database on a given server, by its URL: one that a test has started for itself, to stop it.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn create_on(server: &str) -> Result<Self> {
        let admin = connect(server).await?;
        let template = template(&admin, server).await?;
        let name = unique_name();
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .context("failed to copy the template database")?;
        Ok(Self { server: server.to_owned(), name })
    }

    /// The database's URL, as its owner: for migrations and tampering.
    pub fn url(&self) -> String {
        with_name(&self.server, &self.name)
    }

    /// The database's URL with the rights that services have together, and no more.
    pub fn service_url(&self) -> String {
        self.url_as(SERVICES_ROLE)
    }

    /// The database's URL with the rights of a role, as `matchpurse_ingress`.
    pub fn url_as(&self, role: &str) -> String {
        let url = self.url();
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}options=-c%20role%3D{role}")
    }

    /// A store on the database, with a pool of its own and the rights that a service has: what a worker may not do
    /// in production, it may not do in a test.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn store(&self) -> Result<Store> {
        let options = StoreOptions::for_worker(self.service_url().into(), "test");
        Ok(Store::connect(&options).await?)
    }

    /// A plain connection of the owner, to look and tamper with.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn connection(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// The only column of a query's rows, texts, sorted.
    ///
    /// # Errors
    /// When the server is away, or the query is none of one text column.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.connection().await?.query(sql, &[]).await?;
        let mut texts = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
        texts.sort_unstable();
        Ok(texts)
    }

    /// Ends all connections and refuses new ones, as if the server were down.
    ///
    /// # Errors
    /// When the server really is.
    pub async fn cut_off(&self) -> Result<()> {
        let admin = connect(&self.server).await?;
        let name = &self.name;
        admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await?;
        admin
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", &[name])
            .await?;
        Ok(())
    }

    /// Takes connections again after [`Database::cut_off`].
    ///
    /// # Errors
    /// When the server is away.
    pub async fn restore(&self) -> Result<()> {
        let admin = connect(&self.server).await?;
        Ok(admin.batch_execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread with its own runtime: the test's may be the one that runs this very line.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { anyhow::Ok(connect(&server).await?.batch_execute(&sql).await?) })
        });
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the database {} stays: {error:#}", self.name),
            Err(_) => eprintln!("the database {} stays: its drop panicked", self.name),
        }
    }
}

/// Makes the template unless it is there, and returns its name. A template is complete when it is marked as
/// one, which happens last.
async fn template(admin: &Client, server: &str) -> Result<String> {
    let name = format!("mp_template_{:016x}", Migrations::fingerprint());
    let complete = "SELECT FROM pg_database WHERE datname = $1 AND datistemplate";
    if admin.query_opt(complete, &[&name]).await?.is_some() {
        return Ok(name);
    }
    admin.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    if admin.query_opt(complete, &[&name]).await?.is_none() {
        sweep_leftovers(admin).await?;
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        Migrations::run(&SecretString::from(with_name(server, &name))).await?;
        admin.batch_execute(&format!("ALTER DATABASE {name} IS_TEMPLATE true")).await?;
    }
    admin.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(name)
}

/// Drops the databases of tests that ended without dropping theirs long ago.
async fn sweep_leftovers(admin: &Client) -> Result<()> {
    let rows =
        admin.query("SELECT datname::text FROM pg_database WHERE datname LIKE 'mp\\_test\\_%'", &[]).await?;
    for row in rows {
        let name: String = row.try_get(0)?;
        let made = name.split('_').nth(2).and_then(|seconds| seconds.parse().ok());
        if made.is_some_and(|made: u64| made + LEFTOVER_AGE.as_secs() < now().as_secs()) {
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        }
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("failed to connect to the tests' PostgreSQL")?;
    // It ends with the client, whose calls report what went wrong.
    tokio::spawn(connection);
    Ok(client)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = now();
    format!("mp_test_{}_{:x}_{:x}_{count}", now.as_secs(), now.subsec_nanos(), process::id())
}

/// The same server's URL for another database.
fn with_name(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(a, p)| (a, Some(p)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end =
        address.get(authority..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| authority + at);
    let server = address.get(..end).unwrap_or(address);
    parameters.map_or_else(|| format!("{server}/{name}"), |p| format!("{server}/{name}?{p}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_url_is_replaced() {
        assert_eq!(with_name("postgres://u:p@h:1/postgres", "x"), "postgres://u:p@h:1/x");
        assert_eq!(with_name("postgres://u@h", "x"), "postgres://u@h/x");
        assert_eq!(with_name("postgres:///a?host=/tmp", "x"), "postgres:///x?host=/tmp");
    }

    #[tokio::test]
    async fn databases_are_migrated_isolated_and_dropped() -> Result<()> {
        let one = Database::create().await?;
        let two = Database::create().await?;
        assert_ne!(one.url(), two.url());
        let client = one.connection().await?;
        client.execute("INSERT INTO inbox (worker, event_id) VALUES ('w', gen_random_uuid())", &[]).await?;
        let count = "SELECT count(*) FROM inbox";
        assert_eq!(client.query_one(count, &[]).await?.get::<_, i64>(0), 1);
        assert_eq!(two.connection().await?.query_one(count, &[]).await?.get::<_, i64>(0), 0);
        let url = one.url();
        drop(one);
        assert!(connect(&url).await.is_err());
        Ok(())
    }
}
