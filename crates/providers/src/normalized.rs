use matchpurse_domain::event::{Payload, UnrecognizedKind};
use matchpurse_domain::time::Timestamp;

/// What a verified delivery means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// The provider's own name for what happened; empty when it sends none.
    pub provider_type: String,
    /// What happened, in the order in which it stands in the body; never empty. Something that is verified
    /// but not understood is one event with [`Payload::Unrecognized`].
    pub events: Vec<NewEvent>,
    /// True when an amount was within a millionth of a minor unit but not exact.
    pub amount_rounded: bool,
    /// Where the sender's answer decides about money: what is asked, and what would be answered today.
    pub question: Option<Question>,
}

/// Something that must get one answer for ever. Who receives deliveries keeps the first answer before anything else is
/// done, gives it again whenever the same is asked, and puts it into the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked, within the source.
    pub id: String,
    /// The answer by the policy of now: the provider's word. [`crate::Provider::reply`] has the words around it.
    pub answer: String,
}

/// One event of a delivery, before it has its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What it is about: the match, contest, player or offer.
    pub subject: String,
    /// When the provider says that it happened.
    pub occurred_at: Option<Timestamp>,
    /// What happened.
    pub payload: Payload,
}

/// Why a verified body cannot be read at all. It is answered with 422 and parked with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct NormalizeError {
    /// The field, as a path from the root: `groups[1].users[0].userId`; `body` for the whole.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl NormalizeError {
    /// The error as the word that is kept with the parked event.
    pub const KIND: UnrecognizedKind = UnrecognizedKind::Malformed;
}
