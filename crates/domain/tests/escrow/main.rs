//! The escrow's rules at their boundary: snapshots in, one line of text out for each; and their properties
//! over every order of a match's events.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod book;
mod corrections;
mod language;
mod life_cycle;
mod lives;
mod orders;
mod properties;
mod readme;
mod regressions;
mod results;
