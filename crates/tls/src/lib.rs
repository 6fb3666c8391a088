//! TLS, for connections to the broker and the database, and for those of providers to us: the one place that knows rustls.
//!
//! The cryptography is aws-lc's, named at each use and never installed for the whole process, so that no other crate's
//! choice can change it. Versions are 1.2 and 1.3.

mod client;
mod error;
mod names;
mod server;

pub use client::{ClientStream, Connector, Names};
pub use error::TlsError;
pub use server::{Acceptor, Identity, ServerStream};
