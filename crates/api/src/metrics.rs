//! The metrics of the API. Labels are bounded: routes are ours, methods and statuses are few.

use std::time::Duration;

use metrics::{counter, histogram};

/// Requests, by `route`, `method` and `status`.
pub const REQUESTS_TOTAL: &str = "matchpurse_api_requests_total";
/// Seconds from a request's head to the answer's, by `route`.
pub const REQUEST_SECONDS: &str = "matchpurse_api_request_seconds";

/// Counts one answer.
pub(crate) fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    let status = status.to_string();
    counter!(REQUESTS_TOTAL, "route" => route.clone(), "method" => method, "status" => status).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}
