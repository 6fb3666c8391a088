//! For tests: isolated databases and virtual hosts, a fault proxy, builders.

mod broker;
mod database;
mod dice;
mod fault_proxy;
mod ledger;
mod trial;

pub use broker::{Answer, Vhost};
pub use database::Database;
pub use dice::Dice;
pub use fault_proxy::FaultProxy;
pub use ledger::{LEDGER_SOURCES, fill_ledger};
pub use trial::{Trial, event};
