//! All state anew, beside the one that is there: in a schema of its own, from the archive and from what people did.
//!
//! | module | does |
//! | --- | --- |
//! | [`schema`](self) | makes the schema: the same migrations, with the live archive in sight |
//! | `plan` | writes down every input in the order in which it must be applied |
//! | `inputs` | hands them out, and keeps how far it is |
//! | [`tables`] | which tables are compared and by what, and which are not and why |
//! | [`diff`] | compares |
//!
//! `docs/adr/0010-rebuild.md` says how the order is found, and what cannot be equal.

pub mod diff;
mod inputs;
mod plan;
mod schema;
pub mod tables;

pub use inputs::{Input, Progress, set_grant_state_in_tx};
pub use plan::Planned;
pub use schema::{Rebuild, RebuildError};
