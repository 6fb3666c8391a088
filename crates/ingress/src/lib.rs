//! Verifies, normalizes and publishes what providers send to `/hooks/{source}`.
//!
//! A success means that the delivery is on durable storage; everything else tells the sender to try again,
//! or why that is of no use. The module `receive` has the order of work.
//!
//! | case | answer | kept |
//! | --- | --- | --- |
//! | confirmed by the broker, or spooled durably | the adapter's: 200; about money the first that was ever given | yes |
//! | verified, but of an unknown type or status | the adapter's: 200 | parked |
//! | verified, but it cannot be read | 422, naming the field | parked, with the raw body |
//! | nobody vouches for it | 401, without the reason | no; counted, and in the rejected log |
//! | unknown source, wrong method | 404, 405 | no |
//! | body too large, too slow, not whole | 413, 408, 400 | no |
//! | as many deliveries, or bytes of bodies, in work as may be; a stranger who was refused too often | 429 with `Retry-After` | no |
//! | no public key known yet, no durable storage confirms, or an answer about money cannot be kept | 503 with `Retry-After` | no |

mod admin;
mod answers;
mod application;
mod body;
mod caller;
mod connections;
mod egress;
mod envelope;
mod hooks;
mod keyring;
mod log_gate;
mod memory;
pub mod metrics;
mod over_tls;
mod port;
mod problem;
mod process;
mod program;
mod receive;
mod refusal;
mod rejected;
mod reloading;
mod sources;
mod spans;
mod strangers;
mod traceparent;

pub use application::{Application, BuildError};
pub use egress::{Egress, EgressError};
pub use hooks::Hooks;
pub use matchpurse_reading::adapter_settings;
pub use process::{healthcheck, run};
pub use program::main;
pub use rejected::{Rejected, RejectedLog};
pub use sources::check_sources;
