//! What the fuzzers call. Each function takes any bytes and panics when something is not as it must be.
//!
//! `tests/fuzz/run` looks for new inputs, guided by coverage; `corpus/` keeps those that cover most, and the tests
//! try them again with every change.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a finding is reported"
)]

#[path = "../../../crates/providers/tests/sources/mod.rs"]
mod sources;

mod adapter;
mod amount;
mod corpus;
mod message;

use adapter::adapter;
use amount::amount;
pub use corpus::{corpus, pack, unpack};
use message::message;

/// A function that a fuzzer calls.
pub type Target = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A target by name: an adapter's by its provider's.
pub fn target(name: &str) -> Option<Target> {
    match name {
        "amount" => Some(Box::new(amount)),
        "message" => Some(Box::new(message)),
        _ => {
            let provider = matchpurse_providers::by_id(name)?.id();
            Some(Box::new(move |data: &[u8]| adapter(provider, data)))
        }
    }
}

/// The names of all targets.
pub fn targets() -> Vec<&'static str> {
    let adapters = matchpurse_providers::all().iter().map(|provider| provider.id());
    ["amount", "message"].into_iter().chain(adapters).collect()
}

/// Inputs to begin with.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "amount" => amount::seeds(),
        "message" => adapter::messages(),
        provider => adapter::fixtures(provider),
    }
}
