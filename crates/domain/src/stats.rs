//! A match's statistics: which of its snapshots counts, and what its players' totals gain, once.
//!
//! Every delivery carries all counters from the match's start, and deliveries come late, twice and in any
//! order. So the snapshot that is furthest counts, whole, and the others are dropped. The first end of a
//! match stays: a *final* adds to the totals of those who played, once; a *cancellation* counts for nothing.
//! An end that contradicts it changes nothing and is returned as an [`Anomaly`]; only an operator's word, by
//! [`correct`], puts it in the place of the first.

mod apply;
mod figures;
mod form;
mod state;
#[cfg(test)]
mod tests;

pub use apply::{Anomaly, AnomalyKind, Outcome, Refusal, apply, correct};
pub use figures::{Figure, Fraction};
pub use form::Form;
pub use state::{MATCH_CANCELED, MATCH_ENDED, MatchOutcome, MatchStats, Totals, Winner};
