//! What the store promises, against a real PostgreSQL; each test has a database of its own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod archive;
mod audit;
mod balances;
mod gaps;
mod inbox;
mod inquiries;
mod later;
mod ledger_guards;
mod lists;
mod migrations;
mod notices;
mod offers;
mod outage;
mod parked;
mod rebuild;
mod rights;
mod samples;
mod spool;
mod tls;
