//! Match escrow: the life cycle of a match, and what it does with the players' stakes.
//!
//! | what comes in | what goes out |
//! | --- | --- |
//! | the match as we know it (or none), one event about it, the source's rules, the players' funds | the match as it is now, transfers, anomalies, notices |
//!
//! **Order does not matter.** Snapshots come in any order and repeat: a status only climbs by rank,
//! attributes are filled where they were empty, participants only grow until the end, and the end's own
//! list of players is authoritative. For every set of events that do not contradict each other, all orders
//! end with the same status and the same net movement of money.
//!
//! **First end wins.** Money never moves back by itself: what contradicts an end is an [`Anomaly`] for a
//! person, and the money stays where it is. Only [`correct`] sets another end, by a person's word: it undoes the
//! generation by reversals and settles the next one. [`decide`] ends what another than the provider decides, and
//! [`expire`] what nobody has told the end of.
//!
//! **Conservation.** `paid + refunded + fee = pot` once a match is settled, and before that the escrow
//! account holds what is left of the pot. Every amount is a checked integer of minor units.

mod apply;
mod close;
mod contest;
mod correct;
mod expire;
mod outcome;
mod result;
mod split;
mod state;

pub use apply::{Funds, Trust, apply};
pub use contest::{apply_contest, contest_tells_its_end};
pub use correct::{Refusal, Verdict, correct};
pub use expire::expire;
pub use outcome::tells_its_end;
pub use result::{GroupResult, MatchResult, decide, takes_result};
pub use split::{fee_of, shares};
pub use state::{
    Account, Anomaly, AnomalyKind, MatchState, Notice, Outcome, Seat, SeatState, Settlement, Transfer,
    TransferKind,
};
