//! Starts and stops private PostgreSQL and RabbitMQ servers as child processes, for `demo`, `dev`, tests,
//! fault tests and benches.
//!
//! A private server listens on 127.0.0.1 only, on a free port, keeps everything in one folder and ends with
//! the process that started it, however that process ends. Nothing of the machine's own servers is touched,
//! so any number of them run side by side.
//!
//! Each server has the same life: `start` in a kept folder or `start_temporary` in one that is deleted again,
//! `kill9` and `restart` for fault tests (PostgreSQL also has `stop_immediately`), and `stop`, which waits until
//! no process is left. Dropping a server stops it too, but blocks the thread while it waits, so `stop` is the
//! better way.
//!
//! A folder is held by a lock for as long as its server lives. The lock belongs to the open file, so a killed
//! run leaves none behind.
//!
//! Unix only: servers are stopped by signals.

mod account;
mod error;
mod folder;
pub mod install;
mod output;
mod ports;
pub mod postgres;
mod process;
pub mod rabbitmq;
mod tls;

pub use error::Error;
pub use install::{Say, install_postgres, install_rabbitmq};
pub use postgres::{Postgres, PostgresBinaries, PostgresOptions, find_postgres};
pub use rabbitmq::{Rabbitmq, RabbitmqBinaries, RabbitmqOptions, find_rabbitmq};
pub use tls::ServerTls;
