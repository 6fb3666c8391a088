//! PostgreSQL: the pool, the migrations, and one module an aggregate. The only user of `tokio-postgres`.
//!
//! A function whose name ends in `_in_tx` needs the caller's open transaction, [`Tx`], and does its part of
//! it: it locks and writes in the ascending order of keys, so that no two workers wait for each other in a
//! circle, and it writes a set in one statement, whatever its size. A duplicate is recognised by a permanent
//! unique key and moves nothing.

pub mod anomalies;
pub mod archive;
pub mod attempts;
pub mod audit;
pub mod balances;
pub mod boards;
pub mod calls;
mod client;
mod conditions;
pub mod conversions;
pub mod corrections;
mod database;
pub mod dispatch;
pub mod erasure;
mod error;
pub mod escrow;
pub mod events;
pub mod flow;
pub mod funds;
pub mod gaps;
pub mod grants;
pub mod heard;
pub mod inbox;
pub mod inquiries;
pub mod inspect;
mod kept;
mod later;
pub mod links;
mod listener;
pub mod match_links;
pub mod match_results;
pub mod metric;
mod migrate;
pub mod missed;
pub mod offers;
pub mod operations;
pub mod outbox;
pub mod parked;
pub mod player_search;
pub mod players;
mod pool;
pub mod rebuild;
pub mod redemptions;
pub mod rehearsal;
pub mod replays;
pub mod search;
mod shared;
mod silence;
pub mod spool;
pub mod standing;
pub mod stats;
pub mod story;
pub mod survey;
mod tell;
mod time;
mod tls;
mod words;

pub use client::{Client, Tx};
pub use database::recreate_database;
pub use error::{Error, chain};
pub use listener::Listener;
pub use migrate::Migrations;
pub use pool::{Store, StoreOptions};
pub use secrecy::{ExposeSecret, SecretString};
pub use spool::SpoolTable;
pub use time::now;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;
