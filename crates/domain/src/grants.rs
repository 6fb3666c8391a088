//! Which rewards a contest, a match, a conversion on an offerwall or a credit wish gives to whom.
//!
//! Every such thing is a *contest* here: a row that is decided once, and that holds the grants it gave.
//! [`Claim::of`] reads what an event says about one contest, [`apply`] decides what that changes.
//!
//! Guarantees, for any order of arrival and any number of repeats of events that do not contradict each
//! other: the same grants in the same states, with the same values. A contradiction changes no grant: it is returned as an
//! [`Anomaly`], and the first decision stays. A grant never leaves `granted` here, so what is on its way
//! to the studio cannot be called back by a late delivery.

mod apply;
mod claim;
mod contest;
mod grant;
mod payload;
#[cfg(test)]
mod tests;

pub use apply::{Anomaly, AnomalyKind, Notice, Outcome, apply};
pub use claim::{Claim, ConversionWish, Statement, Verdict};
pub use contest::{Contest, ContestKey, ContestKind, Decision, Ending, Entry};
pub use grant::{Grant, GrantKind, GrantState, ReviewReason, Slot, grant_id};
pub use payload::MAX_PAYLOAD_BYTES;
