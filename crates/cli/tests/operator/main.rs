//! What an operator does with the command, run as an operator runs it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod archive;
mod doctor;
mod erasure;
mod gaps;
mod ground;
mod live;
mod parked;
mod people;
mod rebuild;
mod redaction;
mod traces;
