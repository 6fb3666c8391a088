//! The names of the bus's metrics.

/// Counter: events by `outcome` of their publish to the broker.
pub const PUBLISHED: &str = "matchpurse_bus_published_total";
/// Histogram: seconds from a publish to its last confirm.
pub const CONFIRM_SECONDS: &str = "matchpurse_bus_confirm_seconds";
/// Histogram: events in a message that was sent to the broker; more than 1 where events travel together.
pub const MESSAGE_EVENTS: &str = "matchpurse_bus_message_events";
/// Gauge: events that wait for their confirm.
pub const WAITING: &str = "matchpurse_bus_waiting_confirms";
/// Counter: messages put into the spool because of `cause`.
pub const SPOOLED: &str = "matchpurse_bus_spooled_total";
/// Counter: messages that the relay brought from the spool to the broker.
pub const RELAYED: &str = "matchpurse_bus_relayed_total";
/// Gauge: messages that wait in the spool, by `destination`.
pub const SPOOL_WAITING: &str = "matchpurse_bus_spool_waiting";
/// Gauge: seconds that the oldest of them has waited, by `destination`; 0 when none waits.
pub const SPOOL_OLDEST_SECONDS: &str = "matchpurse_bus_spool_oldest_seconds";
/// Counter: deliveries by `queue` and what became of them: `disposition`.
pub const DELIVERIES: &str = "matchpurse_bus_deliveries_total";
/// Histogram: deliveries in a batch, by `queue`.
pub const BATCH_SIZE: &str = "matchpurse_bus_batch_size";
/// Histogram: seconds that a handler took for a batch, by `queue`.
pub const BATCH_SECONDS: &str = "matchpurse_bus_batch_seconds";
/// Counter: connections to the broker that were made, by `service`.
pub const CONNECTIONS: &str = "matchpurse_bus_connections_total";
/// Gauge: 1 while the broker is connected and has what we declare, 0 while that is wanted in vain; by `connection`. One
/// that is closed because it is not wanted any more keeps its last value.
pub const CONNECTED: &str = "matchpurse_bus_connected";
/// Gauge: 1 while the broker has blocked publishers, for want of memory or disk; by `connection`.
pub const BLOCKED: &str = "matchpurse_bus_blocked";
/// Counter: handlers that panicked, by `queue`.
pub const HANDLER_PANICS: &str = "matchpurse_bus_handler_panics_total";
