use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::migrate::Session;
use crate::{Error, Migrations, Result, Store, StoreOptions};

/// The longest that a statement of a rebuild may run: nobody waits for it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// Why a schema cannot be rebuilt into.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// It is no name for this.
    #[error("{0:?} is no name for it: lower-case letters, digits and `_`, and not one that is in use")]
    Name(String),
    /// There is such a schema, and it is no rebuild.
    #[error("there is a schema {0} already, and it is no rebuild")]
    Foreign(String),
    /// There is no such rebuild.
    #[error("there is no rebuild in schema {0}")]
    None(String),
    /// The rebuild was begun by another version.
    #[error("the database lacks migrations: {0}; run `matchpurse migrate` first")]
    Pending(String),
    /// Its tables are those of an earlier version.
    #[error("schema {0} was built by another version; drop it and build it anew")]
    Outdated(String),
    /// Days have left the archive.
    #[error("the archive begins with {0}: what was archived before has left it, and all of it is needed")]
    Detached(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A rebuild, begun or to be gone on with.
pub struct Rebuild {
    /// The state that is built, as any worker would see it.
    pub(super) built: Store,
    /// The state that is there.
    pub(super) live: Store,
    pub(super) live_schema: String,
    pub(super) schema: String,
    pub(super) url: SecretString,
}

impl Rebuild {
    /// Makes the schema, or opens the one that was made before. The user of `url` must be allowed to make schemas,
    /// as whoever migrates is.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn begin(url: &SecretString, schema: &str) -> Result<Self, RebuildError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let named = schema.starts_with(|c: char| c.is_ascii_lowercase()) && schema.chars().all(plain);
        if !named || schema.len() > 60 || schema == "public" || schema.starts_with("pg_") {
            return Err(RebuildError::Name(schema.to_owned()));
        }
        let pending = Migrations::pending(url).await?;
        if !pending.is_empty() {
            return Err(RebuildError::Pending(pending.join(", ")));
        }
        let session = Session::open(url).await?;
        let row =
            session.client.query_one("SELECT current_schema()::text", &[]).await.map_err(Error::from)?;
        let live_schema: String = row.try_get(0).map_err(Error::from)?;
        if live_schema == schema {
            return Err(RebuildError::Name(schema.to_owned()));
        }
        match state(&session, schema).await? {
            State::Absent => make(&session, url, &live_schema, schema).await?,
            State::Foreign => return Err(RebuildError::Foreign(schema.to_owned())),
            State::Rebuild => {}
        }
        Self::opened(url, live_schema, schema).await
    }

    /// Opens a rebuild that was begun before.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn open(url: &SecretString, schema: &str) -> Result<Self, RebuildError> {
        let session = Session::open(url).await?;
        let row =
            session.client.query_one("SELECT current_schema()::text", &[]).await.map_err(Error::from)?;
        let live_schema: String = row.try_get(0).map_err(Error::from)?;
        match state(&session, schema).await? {
            State::Rebuild => Self::opened(url, live_schema, schema).await,
            State::Absent | State::Foreign => Err(RebuildError::None(schema.to_owned())),
        }
    }

    async fn opened(url: &SecretString, live_schema: String, schema: &str) -> Result<Self, RebuildError> {
        let built_url = with_schema(url, schema);
        if !Migrations::pending(&built_url).await?.is_empty() {
            return Err(RebuildError::Outdated(schema.to_owned()));
        }
        let patient = |options: StoreOptions| StoreOptions {
            statement_timeout: STATEMENT_TIMEOUT,
            idle_in_transaction_timeout: STATEMENT_TIMEOUT,
            pool_size: 4,
            ..options
        };
        Ok(Self {
            built: Store::connect(&patient(StoreOptions::for_worker(built_url, "matchpurse-rebuild")))
                .await?,
            live: Store::connect(&patient(StoreOptions::new(url.clone(), "matchpurse-rebuild"))).await?,
            live_schema,
            schema: schema.to_owned(),
            url: url.clone(),
        })
    }

    /// The state that is built: what is applied to it goes there.
    pub fn built(&self) -> &Store {
        &self.built
    }

    /// The state that is there.
    pub fn live(&self) -> &Store {
        &self.live
    }
}

enum State {
    Absent,
    Foreign,
    Rebuild,
}

async fn state(session: &Session, schema: &str) -> Result<State> {
    let sql = "SELECT to_regnamespace($1::text) IS NOT NULL, to_regclass($1 || '.rebuild_state') IS NOT NULL";
    let row = session.client.query_one(sql, &[&schema]).await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (false, _) => State::Absent,
        (true, false) => State::Foreign,
        (true, true) => State::Rebuild,
    })
}

/// Makes the schema with the tables of the migrations. Where the archive's tables would be, the live ones are in sight:
/// they are the input, and nothing writes to them through these views.
async fn make(session: &Session, url: &SecretString, live: &str, schema: &str) -> Result<()> {
    session.client.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    let migrated = Migrations::run(&with_schema(url, schema)).await;
    if let Err(error) = migrated {
        // What is half made would be nobody's.
        session.client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
        return Err(error);
    }
    let mut sql = format!(
        "BEGIN;
         SET LOCAL search_path = {schema};
         DROP TABLE archive, archive_event, archive_head, archive_detached CASCADE;"
    );
    for table in ["archive", "archive_event", "archive_head", "archive_detached"] {
        // With an OFFSET a view takes no rows.
        sql.push_str(&format!("CREATE VIEW {table} AS SELECT * FROM \"{live}\".{table} OFFSET 0;"));
    }
    sql.push_str(
        "CREATE TABLE rebuild_step (
           position bigint PRIMARY KEY,
           kind text NOT NULL CHECK (kind IN ('event', 'operation', 'proposal', 'decision', 'delivery')),
           worker text NOT NULL DEFAULT '',
           id uuid NOT NULL,
           at timestamptz NOT NULL,
           source text, seq bigint, day date,
           UNIQUE (id, kind, worker));
         CREATE INDEX rebuild_step_batch ON rebuild_step (worker, at, position) WHERE kind = 'event';
         CREATE TABLE rebuild_state (
           one boolean PRIMARY KEY DEFAULT true CHECK (one),
           done bigint NOT NULL DEFAULT 0,
           archived bigint NOT NULL DEFAULT 0,
           operated bigint NOT NULL DEFAULT 0);
         INSERT INTO rebuild_state DEFAULT VALUES;
         CREATE TABLE rebuild_deviation (position bigint PRIMARY KEY, what text NOT NULL);
         COMMIT",
    );
    session.client.batch_execute(&sql).await?;
    Ok(())
}

/// The URL by which everything lands in, and is read from, one schema.
fn with_schema(url: &SecretString, schema: &str) -> SecretString {
    let url = url.expose_secret();
    let option = format!("-c%20search_path%3D{schema}");
    if let Some((before, after)) = url.split_once("options=") {
        return format!("{before}options={option}%20{after}").into();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options={option}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_stands_in_the_url_beside_what_is_there() {
        let with = |url: &str| with_schema(&url.into(), "s").expose_secret().to_owned();
        assert_eq!(with("postgres://h/d"), "postgres://h/d?options=-c%20search_path%3Ds");
        assert_eq!(with("postgres://h/d?a=b"), "postgres://h/d?a=b&options=-c%20search_path%3Ds");
        assert_eq!(
            with("postgres://h/d?options=-c%20role%3Dr"),
            "postgres://h/d?options=-c%20search_path%3Ds%20-c%20role%3Dr"
        );
    }
}
