//! The broker, and everything that speaks its protocol.
//!
//! Two transports stand behind one interface: RabbitMQ, and the spool (a table, reached through the
//! [`Spool`] trait), which also catches events while RabbitMQ is away. A worker sees only [`Handler`]: it
//! gets a batch and returns a [`Disposition`] for each delivery; only this crate turns that into
//! acknowledgements.

mod backoff;
mod delivery;
mod failure;
mod fallback;
pub mod metric;
mod options;
mod processing;
mod publish;
mod rabbit;
mod relay;
mod spool;
mod spool_publisher;
mod spool_watch;
mod status;
mod transport;

pub use delivery::{Delivery, Disposition, Handler};
pub use failure::{FailureLog, FailureLogError, ParkedDelivery};
pub use fallback::FallbackPublisher;
pub use options::BusOptions;
pub use processing::process;
pub use publish::{PublishError, Publisher};
pub use rabbit::{
    BrokerReport, Expected, Permissions, QueueReport, RabbitError, RabbitPublisher, RabbitTransport,
    TopologyError, declare_topology, inspect, permissions,
};
pub use relay::{EmbeddedTransport, Relay, relay_to_broker};
pub use spool::{Destination, Spool, SpoolError, Spooled};
pub use spool_publisher::SpoolPublisher;
pub use spool_watch::watch_spool;
pub use status::{State, Status};
pub use transport::Transport;
