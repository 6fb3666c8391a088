//! The ingress as its senders and operators see it: a real server on a free port, real adapters, and a
//! publisher that fails on demand.

mod answers;
mod drain;
mod harness;
mod http;
mod keys;
mod limits;
mod operators;
mod publisher;
mod start;
