//! The pure core of Matchpurse: ids, money, the match life cycle, escrow, grants, statistics and offers.
//!
//! Every rule has the shape `apply(state, event, now) -> outcome`: it decides, and returns what must be
//! written; it never writes. There is no I/O here, no clock, no randomness, no `async` and no float, so a
//! decision can be replayed years later with the same result.

#![cfg_attr(
    not(test),
    warn(clippy::as_conversions, clippy::float_arithmetic, clippy::arithmetic_side_effects)
)]

pub mod boards;
pub mod escrow;
pub mod event;
pub mod grants;
pub mod ids;
pub mod money;
pub mod offers;
pub mod rhythm;
pub mod source;
pub mod stats;
pub mod time;
pub mod webhook;
