//! The dispatcher: takes the notices that workers left in the outbox and sends them to the studio's endpoints.
//!
//! What it promises: every notice reaches every endpoint that wants it, or is given up in sight of everybody; always
//! under the same `webhook-id` with the same bytes, so that a receiver which goes by the id does its work once.
//!
//! | part | what it is | touches the world |
//! | --- | --- | --- |
//! | [`policy`] | what an answer means, and when a delivery is tried again | no |
//! | [`breaker`] | how an endpoint fares, and what may be sent to it | no |
//! | [`slots`] | who may send how much at once | no |
//! | [`body`] | the bytes of a notice | no |
//! | [`answer`] | what came back, in the policy's words | no |
//! | [`Sender`] | one attempt: sign, ask where it may have arrived, send | HTTP |
//! | `callback` | one call to a provider: that a player has got the rewards | HTTP, PostgreSQL |
//! | `report` | one call to a provider: how a match went that it does not decide | HTTP, PostgreSQL |
//! | [`Dispatcher`] | turns: fan out, claim, send, call, write down, remove what is old | HTTP, PostgreSQL, clock |
//!
//! **Providers.** Where a source wants it, its provider is told once for each player of a contest when the studio has
//! everything that is ours to give. Such calls have their own leases and schedule, and their provider's limit is a
//! number of slots in the database, each of which is used by one call at a time and rests for the limit's time after it:
//! so the limit holds for all dispatchers together, and whatever is killed. A result that the studio told is reported to
//! its match's provider in the same way; where that takes a token, it is asked for under the same limit and kept in memory.
//!
//! **What bounds it.** At most `sends_max` sends at once, of which one endpoint has `sends_per_endpoint_max`; a body is
//! held while it is sent. Nothing is held in memory between turns: any number of dispatchers share the work by their
//! claims, and one that is killed is replaced when its leases end.
//!
//! **One dead endpoint.** It has its own slots, its own part of the index, and after some failures its circuit breaker
//! lets one delivery through from time to time. Others neither wait for its slots nor read past its backlog.

mod access;
pub mod answer;
mod attempt;
pub mod body;
pub mod breaker;
mod callback;
mod dispatcher;
pub mod metric;
pub mod policy;
mod process;
mod program;
mod reloading;
mod report;
mod send;
mod service;
pub mod slots;
mod spans;

pub use callback::check_callbacks;
pub use dispatcher::{Clock, Dispatcher, Turn};
pub use process::{healthcheck, serve};
pub use program::main;
pub use send::{Sender, Target};
pub use service::{Context, run, spawn};

/// What others find in their logs.
const USER_AGENT: &str = concat!("Matchpurse/", env!("CARGO_PKG_VERSION"));
