//! The contract's promises: one golden JSON for each message, nothing lost on the wire, and no change that
//! breaks who reads version 1.

mod compatibility;
mod golden;
mod samples;
