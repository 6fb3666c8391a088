//! The metrics of the API. Labels are bounded: routes are ours, methods and statuses are few.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// Requests, by `route`, `method` and `status`.
pub const REQUESTS_TOTAL: &str = "matchpurse_api_requests_total";
/// Seconds from a request's head to the answer's, by `route`.
pub const REQUEST_SECONDS: &str = "matchpurse_api_request_seconds";
/// Questions about offers that were asked of the database together.
pub const OFFER_QUESTIONS_TOGETHER: &str = "matchpurse_api_offer_questions_together";
/// Streams of offers that are open.
pub const OFFER_STREAMS: &str = "matchpurse_api_offer_streams";

/// Records how many questions one statement answers.
pub(crate) fn asked_together(questions: usize) {
    histogram!(OFFER_QUESTIONS_TOGETHER).record(u32::try_from(questions).unwrap_or(u32::MAX));
}

/// Shows how many streams are open.
pub(crate) fn streams_open(count: u32) {
    gauge!(OFFER_STREAMS).set(count);
}

/// Counts one answer.
pub(crate) fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    let status = status.to_string();
    counter!(REQUESTS_TOTAL, "route" => route.clone(), "method" => method, "status" => status).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}
