//! Notices on their way to the studio's endpoints.
//!
//! | step | what it does | locks, in this order |
//! | --- | --- | --- |
//! | [`take_in_tx`], [`fan_out_in_tx`] | a notice becomes one delivery an endpoint, and its body is made | one fan-out at a time; endpoints that want order; notices |
//! | [`claim`] | takes what is due, as many of each endpoint as the caller may send | endpoints that are probed; deliveries, skipping what is locked; grants |
//! | the sending | none of this module's business | none: no transaction is open |
//! | [`finish`] | writes what came of it | the endpoint, where it wants order or fares differently; the delivery; the one that waits for it; the grant, or all that the player has in its contest, by id; the call to the provider |
//! | [`withdraw`] | ends what must not be sent any more | as [`finish`] |
//! | [`give_up_removed`], [`end_handed_on`] | ends what is left of endpoints that are no more | the endpoint; deliveries, skipping what is locked; grants |
//! | [`prune`] | removes what ended long ago | one pruning at a time; deliveries, skipping what is locked; notices |
//!
//! A claim is a lease: it moves the time at which a delivery is due to the lease's end, so whoever is killed gives
//! back what he held by doing nothing. The claim's number tells one lease from the next: a failure that comes after
//! its lease has run out changes nothing, a success always counts, because the studio has it.
//!
//! A claim reads each endpoint's own part of a small index from its beginning, so neither a long backlog nor a dead
//! endpoint makes it slower. What is delivered leaves that index.
//!
//! **Order.** Where an endpoint wants it, only the first unfinished delivery of a subject is `waiting`; those behind
//! it are `behind`, out of the claims' sight, and each that finishes makes the next one due. Fan-out and [`finish`]
//! take turns by the endpoint's row, so that none is left behind nobody. Fan-out runs in one dispatcher at a time, in
//! the order of positions; who writes notices of one subject holds a lock on it, so positions are in its order too.

mod claim;
mod endpoints;
mod fan_out;
mod finish;
mod grants;
mod list;
mod listen;
mod operate;
mod overview;
mod page;
mod prune;
mod removal;
mod requests;
mod secrets;
mod test_notice;

use matchpurse_domain::time::Timestamp;

pub use claim::{Claimed, Wanted, claim};
pub use endpoints::{
    Brought, Configured, Disabled, Endpoint, EndpointSpec, NameTaken, Origin, bring, endpoints, next_due,
};
pub use fan_out::{FannedOut, NewNotice, fan_out_in_tx, has_new, take_in_tx};
pub use finish::{Attempt, Ended, Finished, Next, finish, withdraw};
pub use list::{AttemptLine, DeliveryFilter, DeliveryLine, DeliveryState, attempts, deliveries, delivery};
pub use listen::listen;
pub use operate::{
    Changed, Retried, add_in_tx, change_in_tx, disable_in_tx, enable_in_tx, hand_out_again_in_tx,
    remove_in_tx, retry_in_tx,
};
pub use overview::{
    EndpointFilter, EndpointLine, EndpointState, LockedEndpoint, OperationLine, endpoint_line,
    endpoint_lines, lock_endpoint_in_tx, operations_on_delivery, operations_on_endpoint, page_of_endpoints,
};
pub use page::{
    DeliveryPage, NoticeLine, PageFilter, attempts_of, body_of, notices_about, page_of_deliveries,
    place_in_tx,
};
pub use prune::{Pruned, prune};
pub use removal::{Because, LeftBehind, end_handed_on, give_up_removed};
pub use requests::{Asked, RequestKind, added_by_in_tx, ask_in_tx};
pub use secrets::{SecretLine, secret_id, secret_lines, secrets_in_tx, set_secrets_in_tx};
pub use test_notice::{TEST, test_in_tx, test_notice};

/// An endpoint's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub i32);

/// How an endpoint fares; all dispatchers share it. The default is that of one that is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures since the last success.
    pub failures: u32,
    /// How often its circuit breaker opened since the last success; 0 while it is closed.
    pub openings: u32,
    /// How many sends at once it can take, where that is less than what is configured.
    pub width: Option<u32>,
    /// Until when nothing is sent to it.
    pub paused_until: Option<Timestamp>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The studio answered 2xx.
    Delivered,
    /// The studio said, when asked, that it has it.
    Confirmed,
    /// The studio answered something else.
    Refused,
    /// The studio answered 410.
    Gone,
    /// The studio answered that it cannot take more.
    Throttled,
    /// Nothing was sent: no connection, or an address that may not be sent to.
    NotSent,
    /// It was sent, and no answer came.
    Unknown,
    /// The sender died, or was stopped for as long as its lease.
    Abandoned,
    /// The provider does not take our key; only of calls to providers.
    KeyRefused,
}

impl AttemptOutcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Confirmed,
        Self::Refused,
        Self::Gone,
        Self::Throttled,
        Self::NotSent,
        Self::Unknown,
        Self::Abandoned,
        Self::KeyRefused,
    ];

    /// The word for it in the database, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Throttled => "throttled",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Abandoned => "abandoned",
            Self::KeyRefused => "key_refused",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}
