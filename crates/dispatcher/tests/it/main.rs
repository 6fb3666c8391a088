//! The dispatcher against a real PostgreSQL and a studio's back-end on the loopback. Time is set, not waited for, but
//! where a request must run into its time limit.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod callbacks;
mod endpoints;
mod faults;
mod grants;
mod history;
mod leases;
mod locks;
mod neighbours;
mod operate;
mod order;
mod program;
mod removal;
mod reports;
mod reversals;
mod rewards;
mod running;
mod signature;
mod silence;
mod stage;
mod traces;
