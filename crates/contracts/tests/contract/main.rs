//! The contract's promises: one golden JSON for each message, nothing lost on the wire, and no change that
//! breaks who reads version 1.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod compatibility;
mod golden;
mod groups;
mod samples;
