//! What people and the clock do to the ledger, against a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod corrections;
mod deadlines;
mod erasures;
mod funds;
mod ground;
mod links;
mod match_links;
mod parked;
mod records;
mod results;
mod rewards;
mod stats;
