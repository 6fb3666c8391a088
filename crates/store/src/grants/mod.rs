//! Contests and the grants that they gave.
//!
//! A batch takes these steps in one transaction, each one or two statements whatever its size:
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_in_tx`]: contests are made where they are new, then read with their grants | `contest` by key |
//! | the decision, in `domain` | none |
//! | [`save_in_tx`]: decisions, grants, wishes for credit | rows of the locked contests |
//!
//! A grant that is more than a promise is never overwritten, whatever the caller believes: the statement
//! leaves it, and a trigger refuses. Only a value or payload that it lacks is filled in.

mod load;
mod save;

use std::collections::BTreeMap;

use matchpurse_domain::grants::{ConversionWish, Decision, Grant, Slot};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;

pub use load::load_in_tx;
pub use save::save_in_tx;

/// What a batch does to a contest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContestChange {
    /// Its decision, if it is new or longer than before.
    pub decision: Option<(Decision, Cause)>,
    /// The grants that are new or changed.
    pub grants: BTreeMap<Slot, (Grant, Cause)>,
    /// The grants that were given before and now have what the promise says of them.
    pub completed: BTreeMap<Slot, (Grant, Cause)>,
    /// The wish for credit, if it is new.
    pub wish: Option<(ConversionWish, Cause)>,
}

/// The event that caused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The event.
    pub event_id: EventId,
    /// When it happened or reached us.
    pub at: Timestamp,
}
