//! Which rewards a contest, a match, a conversion on an offerwall or a credit wish gives to whom.
//!
//! Every such thing is a *contest* here: a row that is decided once, and that holds the grants it gave.
//! [`Claim::of`] reads what an event says about one contest, [`apply`] decides what that changes.
//!
//! Guarantees, for any order of arrival and any number of repeats of events that do not contradict each
//! other: the same grants in the same states, with the same values. A contradiction changes no grant: it is returned as an
//! [`Anomaly`], and the first decision stays. What was given leaves that state only when the offerwall that credited
//! it takes it back; a reversal that comes before its conversion leaves a tombstone, and the conversion then gives
//! nothing.
//!
//! What the studio demands of a reward (its schemas, its [`Limits`]) is asked last, by [`Outcome::withhold`]. Limits
//! are the one thing here that depends on the order of arrival: of two grants of which one fits, the first is given.

mod apply;
mod claim;
mod contest;
mod conversions;
mod grant;
mod limits;
mod payload;
#[cfg(test)]
mod tests;

pub use apply::{Anomaly, AnomalyKind, Notice, Outcome, apply};
pub use claim::{Claim, ConversionWish, Reversal, Statement, Verdict};
pub use contest::{Contest, ContestKey, ContestKind, Decision, Ending, Entry};
pub use grant::{Grant, GrantKind, GrantState, Objection, ReviewReason, Slot, grant_id};
pub use limits::{Allowance, Cap, Counted, Limits, Taken, Window};
pub use payload::MAX_PAYLOAD_BYTES;
