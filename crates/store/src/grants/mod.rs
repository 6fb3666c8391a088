//! Contests and the grants that they gave.
//!
//! A batch takes these steps in one transaction, each one or two statements whatever its size:
//!
//! | step | locks, in ascending order |
//! | --- | --- |
//! | [`load_in_tx`]: contests are made where they are new, then read with their grants | `contest` by key; grants that may be completed or taken back, by id |
//! | [`load_allowance_in_tx`]: what was given in the windows that have limits | `reward_count` by key |
//! | the decision, in `domain` | none |
//! | [`save_in_tx`], [`save_allowance_in_tx`]: decisions, grants, wishes for credit, counts | rows of the locked contests and windows |
//!
//! A grant that is more than a promise is never overwritten, whatever the caller believes: the statement
//! leaves it, and a trigger refuses. Only a value or payload that it lacks is filled in, and its state changes by rules
//! that the trigger knows too.
//!
//! A person changes a grant by [`lock_in_tx`] and [`set_state_in_tx`], which lock in the same order.

mod allowance;
mod list;
mod load;
mod operate;
mod save;
pub mod tell;
mod windows;

use std::collections::BTreeMap;

use matchpurse_domain::grants::{ConversionWish, Decision, Grant, GrantState, Slot, Taken};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;

pub use allowance::{load_allowance_in_tx, save_allowance_in_tx};
pub use list::{COUNTED_MAX, GrantFilter, GrantLine, OperationLine, find, list, operations, waiting};
pub use load::load_in_tx;
pub use operate::{lock_in_tx, resolve_anomalies_in_tx, set_state_in_tx};
pub use save::save_in_tx;
pub use windows::{WindowLine, windows};

/// What a batch does to a contest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContestChange {
    /// Its decision, if it is new or longer than before.
    pub decision: Option<(Decision, Cause)>,
    /// The grants that are new or changed.
    pub grants: BTreeMap<Slot, (Grant, Cause)>,
    /// The grants that were given before and now have what the promise says of them.
    pub completed: BTreeMap<Slot, (Grant, Cause)>,
    /// The grants that were given or held before and go to another state, with the one that they leave.
    pub moved: BTreeMap<Slot, (Grant, GrantState, Cause)>,
    /// The windows in which grants were counted.
    pub counted: BTreeMap<Slot, Taken>,
    /// The wish for credit, if it is new.
    pub wish: Option<(ConversionWish, Cause)>,
}

impl ContestChange {
    /// Takes what has become of a grant that was given or held in `from` before.
    pub fn take_given(&mut self, slot: &Slot, from: GrantState, grant: &Grant, cause: Cause) {
        // Of what a batch does to one grant in several steps the first leaves what is stored.
        let from = self.moved.get(slot).map_or(from, |(_, from, _)| *from);
        if grant.state == from {
            self.moved.remove(slot);
            self.completed.insert(slot.clone(), (grant.clone(), cause));
        } else {
            self.completed.remove(slot);
            self.moved.insert(slot.clone(), (grant.clone(), from, cause));
        }
    }
}

/// The event that caused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The event.
    pub event_id: EventId,
    /// When it happened or reached us.
    pub at: Timestamp,
}
