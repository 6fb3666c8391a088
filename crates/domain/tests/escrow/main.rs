//! The escrow's rules at their boundary: snapshots in, one line of text out for each; and their properties
//! over every order of a match's events.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod corrections;
mod language;
mod properties;
mod table;
