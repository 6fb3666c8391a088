//! The reconciler: asks providers for what their webhooks did not tell, and hands on what it finds as if it had been
//! delivered.
//!
//! | asked | when | what becomes of the answer |
//! | --- | --- | --- |
//! | a list of offers | every `offers_every_s` | what came and what went, with the list's own time |
//! | a match | no news for `silent_s`, or its deadline is near | the match as it stands, as a delivery would have told it |
//! | a match of which an anomaly is open | the same | evidence beside the anomaly; no event, so nothing settles by it |
//! | a player's matches | every `pull_every_s`, while the player has one that has not ended | new ones, as deliveries |
//!
//! | part | what it is | touches the world |
//! | --- | --- | --- |
//! | [`Asker`] | one source that can be asked | – |
//! | `asking` | one question, from why it is asked to when it is asked again | HTTP, PostgreSQL, broker |
//! | `turn` | looks for questions and has them asked, a few at a time | PostgreSQL, clock |
//!
//! **What it promises.** What is found is published with confirms before the question is written down as answered, under
//! ids that follow from the bytes: who dies between has it asked and published once more, and it is applied once. An answer
//! is never a guess: what a provider does not know, or does not list any more where its list is not the whole truth, stays
//! as it is. A provider that is down costs nothing but delay.
//!
//! **What bounds it.** Each source asks `asks_max` questions at once, and every request takes a slot of its key's limit in
//! the database, so any number of reconcilers share the work and keep the limit.

mod asker;
mod asking;
mod ended;
mod handing;
pub mod metric;
mod process;
mod program;
mod service;
mod turn;

pub use asker::{Asker, check_inquiries};
pub use process::{healthcheck, serve};
pub use program::main;
pub use service::{Context, run, spawn};

/// What others find in their logs.
const USER_AGENT: &str = concat!("Matchpurse/", env!("CARGO_PKG_VERSION"));
