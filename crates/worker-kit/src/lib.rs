//! How every worker runs.
//!
//! A batch is one transaction: inbox rows, then the worker's [`Effects`], then commit, and only then are the
//! deliveries acknowledged. Statements go in a fixed order (inbox, then the worker's tables, each by ascending
//! key), so two workers never wait for each other in a circle.
//!
//! | what happens | what becomes of it |
//! | --- | --- |
//! | the transaction commits | every delivery of it is acknowledged |
//! | the database is away | the batch waits for it in place, for seconds; then it is retried later, and nothing is counted |
//! | some rows cannot be had in time | the batch is halved at once, the failing half last; what is left when its time is up is retried later, in smaller parts; alone, an event is retried and not counted, unless it is its own statement that takes too long: that counts |
//! | anything else | the batch is halved until the one culprit is alone; the others are applied |
//! | the culprit | is counted in PostgreSQL, tried again after a growing pause, and parked after so many attempts |
//! | it can never be applied ([`store::Error::Rejected`](matchpurse_store::Error::Rejected)) | parked at once |
//! | it is no event | parked at once |
//!
//! What a worker never got although the archive has it, because its queue was deleted, is brought to it from there.
//! What is replayed comes by the spool, also where there is a broker, and is applied although the inbox knows it.
//! [`rehearse`] says what events would do, and does nothing.
//!
//! [`main`] is the whole of a worker's `main.rs`; [`spawn`] runs the same in a process that has other work.

mod apply;
mod backoff;
mod command;
mod effects;
pub mod metric;
mod missed;
mod plan;
mod rehearsal;
mod service;
mod spans;
mod worker;

pub use command::main;
pub use effects::Effects;
pub use missed::Search;
pub use plan::{Context, Plan};
pub use rehearsal::{Rehearsed, rehearse};
pub use service::{run, spawn};
pub use worker::{Worker, WorkerOptions};
