//! What a provider is told when a player has got the rewards that it promised.
//!
//! | step | what it does | locks, in this order |
//! | --- | --- | --- |
//! | a delivery that fulfils a grant | notes that there is a call to make, or that it must wait for the player's other grants | delivery; the player's grants of the contest, by id; the call |
//! | a grant that is taken back | frees a call that waited for it, or withdraws one that has lost its reason | contest; grant; the call |
//! | [`claim`] | takes a slot of the provider's limit ([`crate::calls`]) and a call for each | slots, then calls, skipping what is locked |
//! | the call | none of this module's business | none: no transaction is open |
//! | [`finish`] | writes what came of it, and gives the slot back for later | the call; slots by number |
//!
//! One player of one contest is one call, whatever the number of rewards: the provider knows no more than that they
//! were redeemed. It goes out when nothing that is ours to give is on its way any more: what is held for review or
//! could not be delivered is, what was taken back is not.
//!
//! As with deliveries, a claim is a lease, and a call that may have arrived is made again: the provider takes a repeat
//! for what it is. A success counts whoever holds the lease by then.

mod claim;
mod list;
mod note;

use std::collections::BTreeMap;

use matchpurse_domain::grants::ContestKind;

pub use claim::{CallEnded, Claimed, claim, due, finish};
pub use list::{CallFilter, CallLine, CallState, calls, of_grant};
pub use note::retry_in_tx;
pub(crate) use note::{given_in_tx, taken_back_in_tx};

/// Whose providers want to be told, by source: of which kinds of contests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience(BTreeMap<String, Vec<ContestKind>>);

impl Audience {
    /// The kinds of contests of which the source's provider wants to be told; none when it wants nothing.
    pub fn of(&self, source: &str) -> &[ContestKind] {
        self.0.get(source).map_or(&[], Vec::as_slice)
    }
}

impl FromIterator<(String, Vec<ContestKind>)> for Audience {
    fn from_iter<I: IntoIterator<Item = (String, Vec<ContestKind>)>>(sources: I) -> Self {
        Self(sources.into_iter().collect())
    }
}
