//! The shared types, generated from proto-schemas, and the names on the broker.
