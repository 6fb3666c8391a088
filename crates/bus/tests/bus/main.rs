//! The bus against a real RabbitMQ and a real PostgreSQL: what both transports promise alike, and what each
//! does when its server fails. And the model of a broker against the same questions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod brokers;
mod bytes;
mod conformance;
mod dead_letters;
mod fallback;
mod groups;
mod permissions;
mod publishing;
mod reconnecting;
mod rig;
mod shards;
mod spool;
mod tls;
mod topology;
mod way;
