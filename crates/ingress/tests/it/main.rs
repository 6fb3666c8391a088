//! The ingress as its senders and operators see it: a real server on a free port, real adapters, and a
//! publisher that fails on demand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answers;
mod conversions;
mod drain;
mod harness;
mod http;
mod keys;
mod limits;
mod operators;
mod process;
mod publisher;
mod reload;
mod start;
mod strangers;
mod tls;
mod traces;
