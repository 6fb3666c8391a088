//! The integration tests: one binary, the real programs against real PostgreSQL and RabbitMQ.

mod architecture;
mod effects;
mod system;
