use std::time::Duration;

use refinery::Target;
use secrecy::SecretString;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::{Error, Result, chain, tls};

#[allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "generated; the names of the files are checked by the test below"
)]
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The key of the advisory lock under which the schema changes: the letters `matchpur`.
const LOCK: i64 = 0x6d61_7463_6870_7572;

/// The roles of services, and what each may do.
const RIGHTS: &str = include_str!("rights.sql");

/// How long the question what is lacking may take.
const PENDING_TIMEOUT: Duration = Duration::from_secs(10);

/// Between looks whether the database is there and has all migrations.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The schema's versions, embedded in the program.
pub struct Migrations;

impl Migrations {
    /// Brings the database and the services' rights in it up to date and returns the names of the migrations that were
    /// applied; nothing to do is no error.
    /// Any number of processes may call it at once: one works, the others wait.
    ///
    /// # Errors
    /// When the database is away, or a migration fails; the earlier ones stay, the failed one leaves nothing.
    pub async fn run(url: &SecretString) -> Result<Vec<String>> {
        Self::run_to(url, Target::Latest).await
    }

    /// As [`Migrations::run`], but no further than to this version: a database as an earlier release left it, to see
    /// what a migration makes of its rows.
    ///
    /// # Errors
    /// As [`Migrations::run`].
    pub async fn run_up_to(url: &SecretString, version: i32) -> Result<Vec<String>> {
        Self::run_to(url, Target::Version(version)).await
    }

    async fn run_to(url: &SecretString, target: Target) -> Result<Vec<String>> {
        let session = Session::open(url).await?;
        let mut client = session.client;
        // A session lock, released with the connection whatever happens here.
        client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
        let report = embedded::migrations::runner()
            .set_target(target)
            .run_async(&mut client)
            .await
            .map_err(|e| Error::Migration(Box::new(e)))?;
        // Always: a role may have been made since, and a version may grant another thing without another table.
        if matches!(target, Target::Latest) {
            client.batch_execute(RIGHTS).await?;
        }
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }

    /// The names of the migrations that the database lacks.
    ///
    /// # Errors
    /// When the database is away, or says nothing for ten seconds.
    pub async fn pending(url: &SecretString) -> Result<Vec<String>> {
        // Services wait in this call for a database to become ready; it must not be a connection that died.
        timeout(PENDING_TIMEOUT, Self::lacking(url)).await.map_err(|_| Error::Silent(PENDING_TIMEOUT))?
    }

    /// Returns when the database answers and lacks no migration: a service may start before either is so. Each time that it
    /// has to wait on, `waiting` is told why.
    pub async fn await_all(url: &SecretString, waiting: impl Fn(String)) {
        loop {
            let problem = match Self::pending(url).await {
                Ok(pending) if pending.is_empty() => return,
                Ok(pending) => format!("the database lacks migrations: {}", pending.join(", ")),
                Err(error) => chain(&error),
            };
            tracing::warn!(problem, "waiting for the database");
            waiting(problem);
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    async fn lacking(url: &SecretString) -> Result<Vec<String>> {
        let mut session = Session::open(url).await?;
        let known = session
            .client
            .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
            .await?;
        let runner = embedded::migrations::runner();
        let applied = if known.try_get::<_, bool>(0)? {
            let applied = runner.get_applied_migrations_async(&mut session.client).await;
            applied.map_err(|e| Error::Migration(Box::new(e)))?
        } else {
            Vec::new()
        };
        let lacking = |version| !applied.iter().any(|m| m.version() == version);
        let mut pending: Vec<_> = runner.get_migrations().iter().filter(|m| lacking(m.version())).collect();
        pending.sort_by_key(|migration| migration.version());
        Ok(pending.into_iter().map(ToString::to_string).collect())
    }

    /// A number that changes with any migration and any right; names a database that was made from them.
    pub fn fingerprint() -> u64 {
        let mut migrations = embedded::migrations::runner().get_migrations().clone();
        migrations.sort_by_key(refinery::Migration::version);
        let sum = migrations.iter().fold(0, |sum: u64, m| sum.rotate_left(7) ^ m.checksum());
        RIGHTS.bytes().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(byte))
    }
}

/// One connection outside the pool, without its time limits.
pub(crate) struct Session {
    pub(crate) client: Client,
}

impl Session {
    pub(crate) async fn open(url: &SecretString) -> Result<Self> {
        let (mut config, tls) = tls::reach(url)?;
        config.application_name("matchpurse-migrate").connect_timeout(Duration::from_secs(10));
        let (client, connection) = config.connect(tls).await.map_err(Error::Connection)?;
        // It ends with the client; what broke the connection is seen there too.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the migration's connection ended");
            }
        });
        Ok(Self { client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        let runner = embedded::migrations::runner();
        let mut versions: Vec<_> = runner.get_migrations().iter().map(|m| m.version()).collect();
        versions.sort_unstable();
        let expected: Vec<_> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected);
    }

    #[test]
    fn the_fingerprint_is_the_same_each_time() {
        assert_eq!(Migrations::fingerprint(), Migrations::fingerprint());
    }
}
