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

/// Gauge: of the latest 1000 events that a `worker` wants, those that it has neither applied nor parked.
pub const WORKER_WAITING: &str = "matchpurse_worker_waiting_events";
/// Gauge: seconds since the oldest of them came, by `worker`; 0 when none waits.
pub const WORKER_OLDEST_SECONDS: &str = "matchpurse_worker_oldest_event_seconds";
/// Gauge: parked deliveries that nobody has decided about, by `kind`; 10,000 at most, like all counts here.
pub const PARKED: &str = "matchpurse_parked_open";
/// Gauge: anomalies that nobody has decided about, by `source` and `kind`.
pub const ANOMALIES: &str = "matchpurse_anomalies_open";
/// Gauge: rewards that wait for a person, by `source` and `state`.
pub const REWARDS_WAITING: &str = "matchpurse_rewards_waiting";
/// Gauge: notices that no dispatcher has handed out to endpoints.
pub const NOTICES_NEW: &str = "matchpurse_outbox_new_notices";
/// Gauge: seconds since the oldest of them was written; 0 when there is none.
pub const NOTICES_NEW_SECONDS: &str = "matchpurse_outbox_new_oldest_seconds";
/// Gauge: deliveries that wait for an `endpoint`.
pub const OUTBOX_WAITING: &str = "matchpurse_outbox_waiting";
/// Gauge: deliveries that were given up, by `endpoint`.
pub const OUTBOX_GIVEN_UP: &str = "matchpurse_outbox_given_up";
/// Gauge: seconds since the oldest delivery that waits was made, by `endpoint`; 0 when none waits.
pub const OUTBOX_OLDEST_SECONDS: &str = "matchpurse_outbox_oldest_seconds";
/// Gauge: what matches hold now, in minor units, by `currency`.
pub const ESCROW: &str = "matchpurse_escrow_minor_units";
/// Gauge: what all accounts hold together, in minor units, by `currency`; anything but 0 is a defect.
pub const LEDGER_IMBALANCE: &str = "matchpurse_ledger_imbalance_minor_units";
/// Gauge: when the two gauges above were read last, in seconds since 1970.
pub const LEDGER_READ: &str = "matchpurse_ledger_read_timestamp_seconds";
/// Gauge: 1 while a `source` is silent against its own rhythm, else 0; none of one whose habits are not known.
pub const SOURCE_SILENT: &str = "matchpurse_source_silent";
/// Gauge: seconds since the last delivery of a `source` that was archived.
pub const SOURCE_SILENCE_SECONDS: &str = "matchpurse_source_silence_seconds";
/// Gauge: matches of which something is missing, by `source`, `about` and `gap`; 500 at most.
pub const GAPS: &str = "matchpurse_gaps";
/// Gauge: seconds since the oldest of them, by `source`, `about` and `gap`; 0 when there is none.
pub const GAPS_OLDEST_SECONDS: &str = "matchpurse_gaps_oldest_seconds";
/// Gauge: when the four gauges above were read last, in seconds since 1970.
pub const GAPS_READ: &str = "matchpurse_gaps_read_timestamp_seconds";
/// Gauge: when the gauges above, those of the ledger and of gaps aside, were read last, in seconds since 1970.
pub const STANDING_READ: &str = "matchpurse_standing_read_timestamp_seconds";

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
