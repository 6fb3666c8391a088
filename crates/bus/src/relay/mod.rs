//! From the spool onwards: to the broker when it is back, or straight to the workers when there is none.

mod to_broker;
mod to_workers;

pub use to_broker::{Relay, relay_to_broker};
pub use to_workers::EmbeddedTransport;
