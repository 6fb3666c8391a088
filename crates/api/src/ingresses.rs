//! What the ingress says of itself at its operators' port: the deliveries that nobody vouched for. They are in its memory
//! only, because nothing is stored for who is not believed.

use std::time::Duration;

use actix_web::web::Bytes;
use http::Request;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::Settings;
use serde::Deserialize;

/// A page waits no longer for it.
const TIME_LIMIT: Duration = Duration::from_millis(700);
/// A thousand lines are 120 kB.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the ingress is.
pub(crate) struct Ingress {
    client: Option<HttpClient>,
    /// Where it takes deliveries, as the configuration says.
    listen: String,
    /// The log of refused deliveries; none where it has no such port.
    log: Option<String>,
}

/// A delivery that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) at: Timestamp,
    pub(crate) source: String,
    /// `signature_mismatch`, …
    pub(crate) reason: String,
    pub(crate) remote: Option<String>,
}

/// The log as the ingress writes it.
#[derive(Deserialize)]
struct Log {
    last: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    at_unix_ms: i64,
    source: String,
    reason: String,
    remote: Option<String>,
}

impl Ingress {
    pub(crate) fn new(settings: &Settings) -> Self {
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: TIME_LIMIT,
            connect_time_limit: TIME_LIMIT,
            response_bytes_max: LOG_BYTES_MAX,
            ..HttpClientOptions::default()
        });
        // It is no more than a look at something else: without it a page says so.
        let client = client.inspect_err(|error| tracing::warn!(%error, "the ingress cannot be asked")).ok();
        let admin = settings.ingress.admin_listen.as_deref().filter(|listen| !listen.is_empty());
        let log = admin.map(|listen| format!("http://{}/rejected", reachable(listen)));
        Self { client, listen: reachable(&settings.ingress.listen), log }
    }

    /// A source's address on this machine.
    pub(crate) fn url_of(&self, source: &str) -> String {
        format!("http://{}/hooks/{source}", self.listen)
    }

    /// Where the log of refused deliveries can be read.
    pub(crate) fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    /// The refused deliveries that it still knows, the newest first; none where it cannot be asked.
    pub(crate) async fn rejected(&self) -> Option<Vec<Rejected>> {
        let request = Request::get(self.log.as_deref()?).body(Bytes::new()).ok()?;
        let answer =
            self.client.as_ref()?.send(request).await.ok().filter(|answer| answer.status().is_success())?;
        let log: Log = serde_json::from_slice(answer.body()).ok()?;
        let rejected = log.last.into_iter().rev().map(|row| Rejected {
            at: Timestamp::from_micros(row.at_unix_ms.saturating_mul(1000)),
            source: row.source,
            reason: row.reason,
            remote: row.remote,
        });
        Some(rejected.collect())
    }
}

/// What listens on every address is asked at this machine's own.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]", port)) => format!("127.0.0.1:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:9100"), "127.0.0.1:9100");
        assert_eq!(reachable("[::]:9100"), "127.0.0.1:9100");
        assert_eq!(reachable("ingress:9100"), "ingress:9100");
    }
}
