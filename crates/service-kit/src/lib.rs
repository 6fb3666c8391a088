//! What every service needs and no business word: configuration, logs, metrics, health, graceful shutdown,
//! problem documents and an HTTP client.
//!
//! Nothing here knows what the services do. The schema of the configuration, the names of the metrics and
//! the meaning of a health check are their owners'.

pub mod admin;
pub mod config;
pub mod health;
pub mod healthcheck;
pub mod http_client;
pub mod metrics;
pub mod network;
pub mod problem;
pub mod reload;
pub mod shutdown;
pub mod target;
pub mod telemetry;
pub mod trace;
pub mod traceparent;
