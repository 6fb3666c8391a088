//! What both ends of an outgoing webhook must agree about: how it is signed, where it may go, what it is about.
//!
//! The signatures are those of Standard Webhooks, version 1. Dispatcher, API and the receivers' kit use these same
//! functions, so what one of them makes, the others understand.

mod filter;
mod signature;
mod target;

pub use filter::{EndpointName, EndpointNameError, EventPattern, EventPatternError};
pub use signature::{KeyError, SigningKey, TOLERANCE_S, VerifyError, sign, verify};
pub use target::{TargetError, TargetUrl};
