//! The names of the dispatcher's metrics. The label `endpoint` is one of those that are configured or were added.

/// Attempts by `endpoint` and `outcome`.
pub const ATTEMPTS: &str = "matchpurse_dispatcher_attempts_total";

/// Seconds of an attempt, until its answer or its time limit, by `endpoint`.
pub const ATTEMPT_SECONDS: &str = "matchpurse_dispatcher_attempt_seconds";

/// Seconds from a notice's being written to its being delivered, by `endpoint`.
pub const DELIVERY_SECONDS: &str = "matchpurse_dispatcher_delivery_seconds";

/// Deliveries that were given up, by `endpoint`.
pub const GIVEN_UP: &str = "matchpurse_dispatcher_given_up_total";

/// Deliveries that were made of new notices.
pub const FANNED_OUT: &str = "matchpurse_dispatcher_fanned_out_total";

/// Calls to providers about rewards that were given and results of matches, by `source` and `outcome`.
pub const CALLS: &str = "matchpurse_dispatcher_calls_total";

/// Seconds of such a call, by `source`.
pub const CALL_SECONDS: &str = "matchpurse_dispatcher_call_seconds";

/// Calls that were refused or given up, by `source`.
pub const CALLS_LEFT: &str = "matchpurse_dispatcher_calls_left_total";

/// 1 while a provider does not take the key that it is called with; by `source`.
pub const KEY_REFUSED: &str = "matchpurse_dispatcher_provider_key_refused";

/// Deliveries that were not sent because what they say was given had been taken back, by `endpoint`.
pub const WITHDRAWN: &str = "matchpurse_dispatcher_withdrawn_total";

/// Old deliveries that were removed.
pub const PRUNED: &str = "matchpurse_dispatcher_pruned_total";

/// Sends in flight.
pub const IN_FLIGHT: &str = "matchpurse_dispatcher_in_flight";

/// 1 while nothing is sent to an endpoint because it fails, is paused or is disabled; by `endpoint`.
pub const PAUSED: &str = "matchpurse_dispatcher_endpoint_paused";
