//! What a studio's endpoint must do with our webhooks, tried on it and told in plain words.
//!
//! [`verify`] sends the deliveries of every [`Case`], one case after the other, and judges the answers: a correct
//! endpoint accepts what is signed rightly, in whatever form and order it comes, refuses everything else, and acts once
//! on each `webhook-id`. The last of these cannot be seen from answers, so an endpoint's test system can tell what it
//! did (`state_url`). The URL that the dispatcher asks about what may have arrived (`status_url`) is tried too. Where the correct delivery is refused, the usual mistakes are tried, to name the one it makes.
//!
//! What is sent (`case`, `body`, `mistakes`) and what an answer means (`judge`, `words`) is pure; `run` does the rest.
//! Signatures are those of `domain::webhook`, which the dispatcher uses too.

mod answer;
mod body;
mod case;
mod delivery;
mod judge;
mod mistakes;
mod notes;
mod report;
mod run;
mod secret;
mod state;
mod words;

pub use body::SOURCE;
pub use case::Case;
pub use judge::{Finding, Verdict};
pub use report::Report;
pub use run::{Options, verify};
pub use secret::EndpointSecret;
