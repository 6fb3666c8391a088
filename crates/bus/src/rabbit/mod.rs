//! RabbitMQ.

mod address;
mod confirms;
mod connection;
mod consumer;
mod convert;
mod dead_letters;
mod error;
mod gather;
mod inspect;
mod lane;
mod permissions;
mod publisher;
mod secure;
mod settle;
mod shards;
mod subscription;
mod ticket;
mod topology;
mod transport;
mod window;
mod worker;

pub use connection::declare_topology;
pub use error::{RabbitError, TopologyError};
pub use inspect::{BrokerReport, Expected, QueueReport, inspect};
pub use permissions::{Permissions, permissions};
pub use publisher::RabbitPublisher;
pub use transport::RabbitTransport;
