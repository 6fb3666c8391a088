//! What every worker promises, on a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod embedded;
mod failures;
mod missed;
mod replays;
mod samples;
mod silence;
mod traces;
