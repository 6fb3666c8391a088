//! The metrics of a pool's connections; each has the label `pool`, the name by which the database knows it.

use std::sync::Arc;
use std::time::Instant;

use metrics::{Gauge, SharedString, counter, gauge, histogram};

/// Gauge: connections that are in somebody's hands.
pub const IN_USE: &str = "matchpurse_database_connections_in_use";
/// Gauge: the most connections that the pool makes.
pub const MAX: &str = "matchpurse_database_connections_max";
/// Gauge: how many wait for a connection.
pub const WAITING: &str = "matchpurse_database_connections_waited_for";
/// Histogram: seconds until a connection was had, or was given up.
pub const WAIT_SECONDS: &str = "matchpurse_database_connection_wait_seconds";
/// Counter: connections that were not had: none was free in time, or the database is away.
pub const FAILURES: &str = "matchpurse_database_connection_failures_total";

/// Counts what a pool's connections are doing.
#[derive(Clone)]
pub(crate) struct PoolMeter(Arc<str>);

/// One that is counted until it is dropped.
pub(crate) struct Counted(Gauge);

impl PoolMeter {
    pub(crate) fn new(pool: &str) -> Self {
        Self(pool.into())
    }

    /// Somebody wants one of `max` connections.
    pub(crate) fn wanted(&self, max: usize) -> (Counted, Instant) {
        gauge!(MAX, "pool" => self.label()).set(f64::from(u32::try_from(max).unwrap_or(u32::MAX)));
        (Counted::by(gauge!(WAITING, "pool" => self.label())), Instant::now())
    }

    /// That is over, one way or the other.
    pub(crate) fn waited(&self, since: Instant, had: bool) {
        histogram!(WAIT_SECONDS, "pool" => self.label()).record(since.elapsed());
        if !had {
            counter!(FAILURES, "pool" => self.label()).increment(1);
        }
    }

    /// A connection is handed out.
    pub(crate) fn handed_out(&self) -> Counted {
        Counted::by(gauge!(IN_USE, "pool" => self.label()))
    }

    fn label(&self) -> SharedString {
        SharedString::from_shared(Arc::clone(&self.0))
    }
}

impl Counted {
    fn by(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
