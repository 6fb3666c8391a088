//! The API as its clients and operators see it: a real server on a free port, and a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod attention;
mod backend;
mod clients;
mod conformance;
mod console;
mod console_studio;
mod corrections;
mod deliveries;
mod docs;
mod endpoints;
mod erasures;
mod event_stream;
mod events;
mod funds;
mod gaps;
mod harness;
// The system tests' client.
#[path = "../../../../tests/it/system/http.rs"]
mod http;
mod leaderboards;
mod ledger;
mod match_list;
mod match_tokens;
mod matches;
mod offer_stream;
mod offers;
mod openapi;
mod operators;
mod process;
mod requests;
mod results;
mod rewards;
mod schemathesis;
mod script;
mod standing;
mod statistics;
mod tokens;
mod world;
