use lapin::ConnectionProperties;
use lapin::uri::{AMQPScheme, AMQPUri};
use matchpurse_tls::{Connector, Names};

use super::connection::FRAME_MAX;
use super::error::RabbitError;
use super::secure;
use crate::BusOptions;

/// Where the broker is, and whom to believe there. No `Debug`: the URI has the password.
#[derive(Clone)]
pub(crate) struct Address {
    pub(super) uri: AMQPUri,
    /// For `amqps`.
    tls: Option<Connector>,
}

impl Address {
    /// Reads a URL, and fills in what it leaves open.
    pub(crate) fn new(url: &str, options: &BusOptions) -> Result<Self, RabbitError> {
        let mut uri: AMQPUri = url.parse().map_err(RabbitError::Url)?;
        let heartbeat = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat.max(1));
        let millis = u64::try_from(options.connection_timeout.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(millis);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(Connector::new(options.tls_ca.as_deref(), Names::Checked)?),
        };
        Ok(Self { uri, tls })
    }

    /// Over TLS where the URL says so, and never without then.
    pub(super) async fn open(&self, properties: ConnectionProperties) -> lapin::Result<lapin::Connection> {
        match &self.tls {
            Some(tls) => secure::connect(&self.uri, tls, properties).await,
            None => lapin::Connection::connect_uri(self.uri.clone(), properties).await,
        }
    }

    /// Whether a handshake that is given up leaves nothing behind: lapin has not begun before the other side has spoken.
    pub(super) const fn begins_by_itself(&self) -> bool {
        self.tls.is_some()
    }
}
