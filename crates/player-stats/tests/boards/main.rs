//! Leaderboards and skill ratings on a real PostgreSQL, fed by the workers that count matches.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod changes;
mod orders;
mod running;
mod stage;
