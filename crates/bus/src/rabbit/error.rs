use std::error::Error;
use std::time::Duration;

use matchpurse_tls::TlsError;

/// The client library's error; boxed, so that nobody outside comes to depend on the library.
type Source = Box<dyn Error + Send + Sync>;

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RabbitError {
    /// The URL is no AMQP URL. It is not shown, because it has a password.
    #[error("the broker's URL cannot be read: {0}")]
    Url(String),
    /// The certificates to believe for `amqps` cannot be had.
    #[error("the broker cannot be reached over TLS")]
    Tls(#[from] TlsError),
    /// No connection.
    #[error("failed to connect to the broker")]
    Connect(#[source] Source),
    /// Something at the broker's address accepts connections, but does not speak.
    #[error("the broker did not finish the handshake within {0:?}")]
    Handshake(Duration),
    /// An exchange or queue could not be declared.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Why an exchange, queue or binding is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It exists with other properties.
    #[error(
        "{kind} `{name}` exists on the broker with other properties than this version declares; stop its \
         publishers, let its messages be consumed, then delete it (`rabbitmqctl delete_queue` for a queue) \
         and start again"
    )]
    Different {
        /// `queue` or `exchange`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the broker says differs.
        #[source]
        source: Source,
    },
    /// The broker refused, or the connection broke.
    #[error("failed to declare {kind} `{name}`")]
    Failed {
        /// `queue`, `exchange` or `binding`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The broker's reason.
        #[source]
        source: Source,
    },
    /// The broker does not answer: a queue without a leader, or a broker without memory or disk.
    #[error("the broker did not declare the topology within {0:?}")]
    TimedOut(Duration),
}
