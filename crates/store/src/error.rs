use std::error::Error as StdError;
use std::time::Duration;

use deadpool_postgres::PoolError;
use deadpool_postgres::tokio_postgres;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is no PostgreSQL URL. It is not shown, because it may hold a password.
    #[error("the database URL cannot be read: expected postgres://user:password@host:port/name")]
    Url,
    /// The URL's `sslmode` is none that we take.
    #[error("the database URL's sslmode: {0}")]
    SslMode(&'static str),
    /// The certificates to believe cannot be had.
    #[error("the database cannot be reached over TLS")]
    Tls(#[source] matchpurse_tls::TlsError),
    /// The pool could not be built from its options.
    #[error("failed to set up the connection pool")]
    Setup(#[source] deadpool_postgres::BuildError),
    /// No connection could be had: the database is away, or all connections are in use.
    #[error("no connection to the database")]
    Pool(#[source] Box<PoolError>),
    /// The connection broke, or could not be made.
    #[error("the connection to the database failed")]
    Connection(#[source] tokio_postgres::Error),
    /// Nothing was heard on the connection for so long, and nothing says that it is closed. What was asked may have
    /// happened all the same.
    #[error("the database gave no answer for {0:?}; the connection is dropped")]
    Silent(Duration),
    /// The database refused a statement.
    #[error("the database answered {code}: {message}")]
    Database {
        /// The SQLSTATE, five characters.
        code: String,
        /// The database's words, without the values of rows.
        message: String,
        /// The constraint that refused, if one did.
        constraint: Option<String>,
    },
    /// Our statement and its parameters or results do not fit: a defect of ours.
    #[error("a statement does not fit its parameters or results")]
    Statement(#[source] tokio_postgres::Error),
    /// A row holds something that this version cannot read.
    #[error("the stored {what} cannot be read")]
    Stored {
        /// What it is.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The event can never be applied, whatever the database does; it must be parked.
    #[error("the event cannot be applied: {reason}")]
    Rejected {
        /// Why, in words for an operator.
        reason: String,
    },
    /// The schema could not be brought up to date.
    #[error("failed to migrate the database")]
    Migration(#[source] Box<refinery::Error>),
}

impl Error {
    /// An event that can never be applied.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }

    /// The SQLSTATE of what the database refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Database { code, .. } => Some(code),
            _ => None,
        }
    }

    /// True when the same work may succeed later without anybody changing it: the database is away, busy or
    /// not migrated yet. Such a failure says nothing about the events of the batch.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Connection(_) | Self::Silent(_) => true,
            Self::Database { code, .. } => is_transient_code(code),
            Self::Url
            | Self::SslMode(_)
            | Self::Tls(_)
            | Self::Setup(_)
            | Self::Statement(_)
            | Self::Stored { .. }
            | Self::Rejected { .. }
            | Self::Migration(_) => false,
        }
    }
}

impl Error {
    /// True for those of the transient errors that are about some rows only: others may be had meanwhile.
    pub fn is_contention(&self) -> bool {
        // Deadlock, serialization failure, lock timeout, statement timeout.
        matches!(self.code(), Some("40P01" | "40001" | "55P03" | "57014"))
    }
}

impl Error {
    /// True when a statement was canceled because it ran for too long.
    pub fn is_statement_timeout(&self) -> bool {
        self.code() == Some("57014")
    }
}

/// By SQLSTATE, never by text.
fn is_transient_code(code: &str) -> bool {
    // 08: connection; 53: out of disk, memory, connections; 58: the server's own I/O.
    const CLASSES: [&str; 3] = ["08", "53", "58"];
    const CODES: [&str; 14] = [
        "25P02", // another statement of the transaction failed, and its error says why
        "25006", // read-only: a stand-by while the databases change places
        "25P03", // idle in transaction for too long: this process was stopped for a while
        "40001", // serialization failure
        "40P01", // deadlock
        "42P01", // a table is missing: the migrations have not run yet
        "42501", // no privilege: as long as nobody grants it, for every event
        "55P03", // lock timeout
        "55006", // object in use
        "57014", // statement timeout
        "57P01", // shut down by the administrator
        "57P02", // shut down by a crash
        "57P03", // starting up
        "57P05", // idle session ended
    ];
    CODES.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            // The detail is left out: it quotes rows.
            return Self::Database {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
                constraint: db.constraint().map(str::to_owned),
            };
        }
        // An I/O error of kind `InvalidInput` is a message that could not be encoded: too large for the
        // protocol, on any connection.
        let io = StdError::source(&error)
            .and_then(|cause| cause.downcast_ref::<std::io::Error>())
            .is_some_and(|cause| cause.kind() != std::io::ErrorKind::InvalidInput);
        if io || error.is_closed() { Self::Connection(error) } else { Self::Statement(error) }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(Box::new(error))
    }
}

/// An error and its causes as one line, outermost first.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_another_statements_error_says_nothing_about_the_events() {
        let refused =
            |code: &str| Error::Database { code: code.to_owned(), message: String::new(), constraint: None };
        assert!(refused("25P02").is_transient());
        assert!(!refused("25P02").is_contention());
        assert!(!refused("22021").is_transient());
        assert!(refused("57014").is_statement_timeout());
        assert!(!refused("55P03").is_statement_timeout());
    }
}
