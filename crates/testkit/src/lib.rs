//! For tests: isolated databases and virtual hosts, a fault proxy, builders.

mod broker;
mod database;
mod fault_proxy;

pub use broker::{Answer, Vhost};
pub use database::Database;
pub use fault_proxy::FaultProxy;
