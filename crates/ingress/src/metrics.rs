//! The metrics of the ingress. Labels are bounded: sources are configured, everything else is an enum's word.

use std::time::Duration;

use matchpurse_domain::ids::SourceName;
use matchpurse_providers::VerifyError;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::refusal::Refusal;

/// Requests, by `source` and `outcome`; a source that is not configured counts as `unknown`.
pub const DELIVERIES_TOTAL: &str = "matchpurse_ingress_deliveries_total";
/// Deliveries that nobody vouched for, by `source` and `reason`.
pub const VERIFY_FAILURES_TOTAL: &str = "matchpurse_ingress_verify_failures_total";
/// Fetches of public keys, by `source` and `outcome`.
pub const KEY_FETCHES_TOTAL: &str = "matchpurse_ingress_key_fetches_total";
/// Seconds from a request's head to the answer, by `source` and `outcome`; of sources that are configured.
pub const REQUEST_SECONDS: &str = "matchpurse_ingress_request_seconds";
/// Seconds from handing events to the publisher to its answer, whatever it is.
pub const PUBLISH_SECONDS: &str = "matchpurse_ingress_publish_seconds";
/// Connections that were ended because their address had too many.
pub const CONNECTIONS_ENDED_TOTAL: &str = "matchpurse_ingress_connections_ended_total";
/// Connections that ended before they had shaken hands over TLS, by `reason`.
pub const HANDSHAKES_FAILED_TOTAL: &str = "matchpurse_ingress_handshakes_failed_total";
/// Deliveries in work.
pub const IN_FLIGHT: &str = "matchpurse_ingress_in_flight";

/// What stands for every source that is not configured; it cannot be confused with one called so, because
/// only a name that is not configured is counted by it.
const UNKNOWN_SOURCE: &str = "unknown";

/// The `outcome` of a delivery that is kept.
pub(crate) const KEPT: &str = "kept";

/// Why a connection never shook hands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HandshakeFailure {
    /// Its address was refused too often, and nothing was begun.
    RefusedTooOften,
    /// No TLS, nothing that both sides speak, or the other side does not believe the certificate.
    Failed,
    /// The other side has hung up.
    HungUp,
    /// The time was over.
    TooSlow,
}

impl HandshakeFailure {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RefusedTooOften => "refused_too_often",
            Self::Failed => "failed",
            Self::HungUp => "hung_up",
            Self::TooSlow => "too_slow",
        }
    }
}

/// The metrics of one source.
pub(crate) struct SourceMeter {
    source: String,
    kept: Counter,
    kept_seconds: Histogram,
}

/// The metrics of the whole ingress.
#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) in_flight: Gauge,
    pub(crate) publish_seconds: Histogram,
}

impl SourceMeter {
    /// The recorder must have been installed.
    pub(crate) fn new(source: &SourceName) -> Self {
        let source = source.as_str().to_owned();
        // What the fast path records is looked up once.
        let kept = counter!(DELIVERIES_TOTAL, "source" => source.clone(), "outcome" => KEPT);
        let kept_seconds = histogram!(REQUEST_SECONDS, "source" => source.clone(), "outcome" => KEPT);
        Self { source, kept, kept_seconds }
    }

    /// Counts a delivery that was kept, and took so long.
    pub(crate) fn kept(&self, took: Duration) {
        self.kept.increment(1);
        self.kept_seconds.record(took);
    }

    /// Counts one that was refused, after so long.
    pub(crate) fn refused(&self, refusal: &Refusal, took: Duration) {
        let outcome = outcome(refusal);
        counter!(DELIVERIES_TOTAL, "source" => self.source.clone(), "outcome" => outcome).increment(1);
        histogram!(REQUEST_SECONDS, "source" => self.source.clone(), "outcome" => outcome).record(took);
        if let Refusal::NotBelieved(reason) = refusal {
            self.not_verified(*reason);
        }
        if matches!(refusal, Refusal::NoKey) {
            self.not_verified(VerifyError::NoKey);
        }
    }

    fn not_verified(&self, reason: VerifyError) {
        counter!(VERIFY_FAILURES_TOTAL, "source" => self.source.clone(), "reason" => reason.as_str())
            .increment(1);
    }
}

impl Meter {
    /// The recorder must have been installed.
    pub(crate) fn new() -> Self {
        Self { in_flight: gauge!(IN_FLIGHT), publish_seconds: histogram!(PUBLISH_SECONDS) }
    }
}

/// Counts a request that came to no source.
pub(crate) fn astray(refusal: &Refusal) {
    counter!(DELIVERIES_TOTAL, "source" => UNKNOWN_SOURCE, "outcome" => outcome(refusal)).increment(1);
}

/// Counts a fetch of public keys.
pub(crate) fn key_fetch(source: &SourceName, outcome: &'static str) {
    counter!(KEY_FETCHES_TOTAL, "source" => source.as_str().to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a connection that never shook hands.
pub(crate) fn handshake_failed(why: HandshakeFailure) {
    counter!(HANDSHAKES_FAILED_TOTAL, "reason" => why.as_str()).increment(1);
}

/// Counts a connection that was ended because its address had too many.
pub(crate) fn connection_ended() {
    counter!(CONNECTIONS_ENDED_TOTAL).increment(1);
}

/// The word for a refusal.
pub(crate) fn outcome(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownPath => "unknown_path",
        Refusal::UnknownSource => "unknown_source",
        Refusal::MethodNotAllowed { .. } => "method_not_allowed",
        Refusal::RefusedTooOften { .. } => "refused_too_often",
        Refusal::TooMany => "too_many",
        Refusal::NoMemory => "no_memory",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::TooSlow => "too_slow",
        Refusal::BrokenBody => "broken_body",
        Refusal::NotBelieved(_) => "not_believed",
        Refusal::NoKey => "no_key",
        Refusal::Malformed(_) => "malformed",
        Refusal::NoAnswer(_) => "no_answer",
        Refusal::Unavailable(_) => "unavailable",
    }
}
