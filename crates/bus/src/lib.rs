//! The broker, and everything that speaks its protocol.
//!
//! Two transports stand behind one interface: RabbitMQ, and the spool (a table, reached through the
//! [`Spool`] trait), which also catches events while RabbitMQ is away. A worker sees only [`Handler`]: it
//! gets a batch and returns a [`Disposition`] for each delivery; only this crate turns that into
//! acknowledgements.

mod delivery;
mod failure;
mod publish;
mod spool;

pub use delivery::{Delivery, Disposition, Handler};
pub use failure::{FailureLog, FailureLogError, ParkedDelivery};
pub use publish::{PublishError, Publisher};
pub use spool::{Destination, Spool, SpoolError, Spooled};
