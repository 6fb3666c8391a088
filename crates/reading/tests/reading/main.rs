//! Archived deliveries, read once more by the real adapters.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../../providers/tests/sources/mod.rs"]
mod sources;

mod again;
