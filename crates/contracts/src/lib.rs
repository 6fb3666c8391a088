//! What crosses the broker: the events of `proto-schemas/`, generated, and the names of exchanges, queues
//! and routing keys.

mod from_domain;
pub mod group;
mod to_domain;
pub mod topology;
pub mod wire;

pub use to_domain::ConvertError;

/// Version 1 of the events, generated from `proto-schemas/matchpurse/events/v1`. Serde's view of them is the
/// protobuf JSON mapping: an `int64` is a JSON string.
#[allow(
    missing_docs,
    rustdoc::all,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    unreachable_pub,
    elided_lifetimes_in_paths,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/matchpurse.events.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/matchpurse.events.v1.serde.rs"));
}

/// The compiled schemas, as a `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
