//! The integration tests: one binary, the real programs against real PostgreSQL and RabbitMQ.

mod answers;
mod architecture;
mod demo;
mod effects;
mod errors;
mod forgeries;
mod kill;
mod orders;
mod spool;
mod system;
