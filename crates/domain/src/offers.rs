//! Which offers are open and which players are banned from an offerwall.
//!
//! A removal is not the end: an offer may come back, and its events come in any order. So state and data
//! are registers, each with the time of its last writer: the later event wins, and of two at one time the
//! one that is safe (removed, banned). Any order and any number of repeats gives the same result.

mod eligibility;
mod offer;
mod standing;
#[cfg(test)]
mod tests;

pub use eligibility::Eligibility;
pub use offer::{Description, Offer, OfferNotice, OfferState, apply_offer};
pub use standing::{PlayerRecord, StandingNotice, apply_standing};
