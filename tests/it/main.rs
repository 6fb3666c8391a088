//! The integration tests: one binary, the real programs against real PostgreSQL and RabbitMQ.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod answers;
mod api;
mod architecture;
mod audit;
mod demo;
mod effects;
mod errors;
mod forgeries;
mod kill;
mod losses;
mod observability;
mod orders;
mod programs;
mod repair;
mod replay;
mod results;
mod rights;
mod spool;
mod system;
mod tls;
