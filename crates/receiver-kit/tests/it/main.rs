//! What the kit says of endpoints that are right, and of endpoints that are wrong in one way each.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod examples;
mod faults;
mod stand_in;
