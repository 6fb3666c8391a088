//! The API as its clients and operators see it: a real server on a free port, and a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod attention;
mod backend;
mod corrections;
mod deliveries;
mod endpoints;
mod events;
mod funds;
mod harness;
// The system tests' client.
#[path = "../../../../tests/it/system/http.rs"]
mod http;
mod leaderboards;
mod ledger;
mod matches;
mod offer_stream;
mod offers;
mod operators;
mod process;
mod requests;
mod rewards;
mod script;
mod statistics;
