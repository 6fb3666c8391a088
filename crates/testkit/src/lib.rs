//! For tests: isolated databases and virtual hosts, a model of the broker, a fault proxy, a studio's back-end, a
//! provider's API, a collector of traces, builders.

mod authority;
mod broker;
mod collector;
mod database;
mod dice;
mod fault_proxy;
mod ledger;
pub mod model_broker;
mod provider_api;
mod studio;
mod trial;

pub use authority::{Authority, Identity};
pub use broker::{Answer, Vhost};
pub use collector::{Collector, Exported};
pub use database::Database;
pub use dice::Dice;
pub use fault_proxy::FaultProxy;
pub use ledger::{LEDGER_SOURCES, fill_ledger};
pub use provider_api::ProviderApi;
pub use studio::{Reply, Request, Studio};
pub use trial::{Trial, event};
