use matchpurse_domain::escrow::Refusal;
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::money::CurrencyCode;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was not done; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source has no such match.
    #[error("there is no such match")]
    NoMatch,
    /// The source has matches of several kinds with this id.
    #[error("there are matches of several kinds with this id: {}", kinds(.0))]
    SeveralMatches(Vec<MatchKind>),
    /// There is no such correction.
    #[error("there is no such correction")]
    NoCorrection,
    /// The archive has no such event, or it is no snapshot of this match.
    #[error("event {0} is no archived snapshot of this match")]
    NoSnapshot(EventId),
    /// A player has two amounts.
    #[error("{0:?} is named twice")]
    NamedTwice(String),
    /// A side or a player has two scores.
    #[error("{name:?} is named twice in {member}")]
    ScoredTwice {
        /// `groups` or `players`.
        member: &'static str,
        /// Who.
        name: String,
    },
    /// The event's amounts are in another currency than the match's.
    #[error("the event's amounts are in {0}, not in the match's currency")]
    ForeignCurrency(CurrencyCode),
    /// The rules of the escrow do not allow it.
    #[error("the escrow refuses it")]
    Refused(#[source] Refusal),
    /// The match has a result already, and it is another one.
    #[error("another result of this match was accepted before")]
    OtherResult,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The match has a correction that waits for a decision.
    #[error("another correction of this match waits for a decision")]
    AnotherOpen,
    /// The correction was applied or rejected before.
    #[error("the correction is {0} already")]
    Decided(&'static str),
    /// Something happened to the match since the correction was proposed.
    #[error("the match is not any more what it was when the correction was proposed")]
    Outdated,
    /// The second person is the first one.
    #[error("{0} proposed the correction, so somebody else must decide")]
    SamePerson(String),
    /// Only where the studio holds the stakes do players have money here.
    #[error("a provider holds this source's stakes, so there is no money to move here")]
    NotOurs,
    /// The player's account is of a time when a provider held the source's stakes: it has no floor, and what stands on it
    /// was never paid in.
    #[error("the player's account records what a provider did, so there is no money to move here")]
    Recorded,
    /// The amount is not between 1 and the most that one amount may be.
    #[error("the amount must be from 1 to {max} minor units")]
    Amount {
        /// The most, minor units.
        max: i64,
    },
    /// The amount is in another currency than the source's.
    #[error("the source's currency is {0}")]
    Currency(CurrencyCode),
    /// The player has less.
    #[error("the player has {balance} minor units")]
    Insufficient {
        /// What the player has.
        balance: i64,
    },
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

fn kinds(kinds: &[MatchKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}
