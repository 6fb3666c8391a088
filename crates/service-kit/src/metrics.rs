//! The process's metrics, for Prometheus.
//!
//! Services record with the `metrics` crate's macros; names are constants of whoever records. Histograms
//! whose name ends in `_seconds` get buckets from a tenth of a millisecond to a minute, so that percentiles
//! can be computed over several processes; other histograms are rendered as summaries.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of latency buckets, in seconds.
const LATENCY_BUCKETS_S: [f64; 18] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// How often samples are folded into their buckets. Until then each takes memory, also when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The recorder could not be installed; somebody else installed one.
    #[error("cannot install the metrics recorder")]
    Install(#[source] BuildError),
    /// The upkeep thread could not be started.
    #[error("cannot start the metrics upkeep thread")]
    Upkeep(#[source] std::io::Error),
}

/// Reads the process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Installs the process's recorder with the first call; later calls return the same metrics, so that
/// services which share a process may all call it.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<Metrics, MetricsError> {
    static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(metrics) = installed.as_ref() {
        return Ok(metrics.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS_S)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(MetricsError::Install)?;
    let metrics = Metrics(handle.clone());
    *installed = Some(metrics.clone());
    // A thread rather than a task: it must outlive the runtime that happened to be there first.
    thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                thread::park_timeout(UPKEEP_EVERY);
                handle.run_upkeep();
            }
        })
        .map_err(MetricsError::Upkeep)?;
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_services_share_one_recorder() {
        let first = install().unwrap();
        let second = install().unwrap();
        ::metrics::counter!("kit_test_total", "source" => "a").increment(2);
        ::metrics::histogram!("kit_test_seconds").record(0.004);
        for text in [first.render(), second.render()] {
            assert!(text.contains("kit_test_total{source=\"a\"} 2"), "{text}");
            assert!(text.contains("kit_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        }
    }
}
