//! The names of a worker's metrics; each has the label `worker`.

/// Events by `outcome`: `applied`, `duplicate`, `replayed`, `retried` or `parked`.
pub const EVENTS: &str = "matchpurse_worker_events_total";

/// Seconds of a transaction, from before it begins until it has ended, by `outcome`: `committed` or `failed`.
pub const TRANSACTION_SECONDS: &str = "matchpurse_worker_transaction_seconds";

/// Events of a transaction.
pub const TRANSACTION_EVENTS: &str = "matchpurse_worker_transaction_events";

/// Seconds from the arrival of an event at the ingress to the commit of its effects.
pub const EVENT_AGE_SECONDS: &str = "matchpurse_worker_event_age_seconds";

/// Transactions that failed because the database was away or busy.
pub const DATABASE_FAILURES: &str = "matchpurse_worker_database_failures_total";

/// Batches that were halved in search of the one event that fails.
pub const SPLITS: &str = "matchpurse_worker_splits_total";

/// Archived events that had never reached the worker, and were brought to it: somebody has meddled with its queue.
pub const MISSED: &str = "matchpurse_worker_missed_total";
