//! The log of deliveries that nobody vouched for: who asked, where and why, never what.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::VerifyError;
use serde::Serialize;

/// The last refused deliveries, in memory; bounded, because anybody can add to it.
#[derive(Debug)]
pub struct RejectedLog {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    total: u64,
    last: VecDeque<Rejected>,
}

/// One refused delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// When it came.
    pub at: Timestamp,
    /// The source that it claimed to be from.
    pub source: SourceName,
    /// Why it was not believed.
    pub reason: VerifyError,
    /// The peer's address, or the one that a trusted proxy tells; of other proxies their own, because what they add anybody
    /// can add too.
    pub remote: Option<IpAddr>,
}

/// A [`Rejected`] as the admin port shows it.
#[derive(Serialize)]
struct Row<'r> {
    at_unix_ms: i64,
    source: &'r str,
    reason: &'static str,
    remote: Option<IpAddr>,
}

impl RejectedLog {
    /// A log of at most `capacity` deliveries.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    /// Adds a delivery; the oldest goes when there are too many.
    pub(crate) fn add(&self, rejected: Rejected) {
        let mut kept = self.lock();
        kept.total = kept.total.saturating_add(1);
        if self.capacity == 0 {
            return;
        }
        while kept.last.len() >= self.capacity {
            kept.last.pop_front();
        }
        kept.last.push_back(rejected);
    }

    /// How many there were since the start.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// Those that are still known, oldest first.
    pub fn last(&self) -> Vec<Rejected> {
        self.lock().last.iter().cloned().collect()
    }

    /// The log as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let (total, last) = (self.total(), self.last());
        let rows: Vec<Row<'_>> = last
            .iter()
            .map(|rejected| Row {
                at_unix_ms: rejected.at.micros().div_euclid(1000),
                source: rejected.source.as_str(),
                reason: rejected.reason.as_str(),
                remote: rejected.remote,
            })
            .collect();
        serde_json::json!({ "total": total, "last": rows }).to_string().into_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves a whole state behind: at worst one entry is missing.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_log_is_full() {
        let log = RejectedLog::new(2);
        for seconds in 1..=3 {
            log.add(Rejected {
                at: Timestamp::from_seconds(seconds),
                source: SourceName::parse("duel").unwrap(),
                reason: VerifyError::SignatureMismatch,
                remote: None,
            });
        }
        assert_eq!(log.total(), 3);
        let times: Vec<i64> = log.last().iter().map(|rejected| rejected.at.seconds()).collect();
        assert_eq!(times, [2, 3]);
    }
}
