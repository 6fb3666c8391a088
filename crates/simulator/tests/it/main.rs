//! The simulator as its callers use it: plans are repeatable, what it expects is what the rules give, an
//! audit sees every difference, and playing ends with everything taken, whatever the other side does.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod apis;
mod effects;
mod ingress;
mod model;
mod plans;
mod playing;
mod sources;
