use matchpurse_bus::PublishError;
use matchpurse_providers::{NormalizeError, VerifyError};

use crate::answers::NoAnswer;

/// Why a delivery is not answered with success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The path is not `/hooks/{source}`.
    #[error("nothing is at this path")]
    UnknownPath,
    /// No source of this name is configured.
    #[error("no such source")]
    UnknownSource,
    /// The provider does not use this method.
    #[error("the method is not allowed")]
    MethodNotAllowed {
        /// The methods that it uses, as the `Allow` header has them.
        allow: String,
    },
    /// A stranger who was refused too often.
    #[error("too many requests of a stranger were refused")]
    RefusedTooOften {
        /// How long to wait, in seconds.
        wait_s: u64,
    },
    /// As many deliveries are in work as may be.
    #[error("too many deliveries are in work")]
    TooMany,
    /// The bodies in work take as much memory as they may.
    #[error("no memory is left for the body")]
    NoMemory,
    /// The body is larger than the source allows.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body did not arrive whole.
    #[error("the body did not arrive whole")]
    BrokenBody,
    /// Nobody vouches for it.
    #[error("the delivery is not believed")]
    NotBelieved(#[source] VerifyError),
    /// No key is known at the moment to verify with: not the sender's fault.
    #[error("no key is known to verify with")]
    NoKey,
    /// Verified, but it cannot be read. It has been published as such.
    #[error("the body cannot be read")]
    Malformed(#[source] NormalizeError),
    /// Verified, but it asks about money and the answer is not known to be on durable storage.
    #[error("the delivery cannot be answered now")]
    NoAnswer(#[source] NoAnswer),
    /// Verified, but not known to be on durable storage.
    #[error("the delivery cannot be kept now")]
    Unavailable(#[source] PublishError),
}
