//! Plays the providers, signed as they sign, and knows the effects that must result.
//!
//! | step | what it is |
//! | --- | --- |
//! | [`Plan::new`] | whole lives of every source, interleaved, out of order, with repeats and forgeries; a pure function of its options |
//! | [`play`] | sends the plan, as fast as the other side takes it or at a rate, and repeats what it must until it is taken |
//! | [`Plan::expected`] | the effects that exactly the deliveries taken must have |
//! | [`Apis`] | answer what the providers' APIs would, also about deliveries that were lost on purpose |
//! | [`audit`] | compares them with what is there |
//!
//! What a delivery looks like is only known to its provider's adapter: a script comes from
//! `matchpurse_providers::play`. A plan with the same options has the same bytes in the same order, on any
//! machine.

mod apis;
mod audit;
mod expected;
mod forgery;
mod journal;
mod plan;
mod play;
mod report;
mod sending;
mod signer;
mod single;
mod source;

pub use apis::{ApiFigures, ApiTroubles, Apis};
pub use audit::{Difference, audit};
pub use expected::{Accepted, Expected};
pub use forgery::Forgery;
pub use journal::{Journal, JournalError};
pub use matchpurse_providers::play::{Effects, SourceEffects};
pub use plan::{Item, Life, Losses, Plan, PlanError, PlanOptions, Signed};
pub use play::{Pace, PlayError, PlayOptions, Played, play};
pub use report::{Latency, Progress, Report, Surprise};
pub use source::{SimulatedSource, SourceError};
