//! The worker against PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod copies;
mod events;
mod limits;
mod reversals;
mod tables;
mod validation;
