//! The names of the metrics of calls to providers' APIs.

/// Calls by `source` and `outcome`: `answered`, `refused`, `key_refused`, `too_many`, `failed`, `no_answer`.
pub const CALLS: &str = "matchpurse_provider_calls_total";

/// Seconds of a call, by `source`.
pub const CALL_SECONDS: &str = "matchpurse_provider_call_seconds";
