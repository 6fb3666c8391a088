//! What the ingresses say of themselves at their operators' ports: the deliveries that nobody vouched for. They are in
//! their memory only, because nothing is stored for who is not believed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::future::join_all;
use http::Request;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::Settings;
use serde::Deserialize;

/// A page waits no longer for it.
const TIME_LIMIT: Duration = Duration::from_millis(700);
/// A thousand lines are 120 kB.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the ingresses are.
pub(crate) struct Ingress {
    client: Option<HttpClient>,
    /// Where they take deliveries, as the configuration says.
    listen: String,
    /// Their operators' ports; none where they have no such port.
    admins: Vec<String>,
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
        let own = settings.ingress.admin_listen.iter().filter(|listen| !listen.is_empty());
        let admins = if settings.api.ingress_addresses.is_empty() {
            own.map(|listen| reachable(listen)).collect()
        } else {
            settings.api.ingress_addresses.clone()
        };
        Self { client, listen: reachable(&settings.ingress.listen), admins }
    }

    /// A source's address on this machine.
    pub(crate) fn url_of(&self, source: &str) -> String {
        format!("http://{}/hooks/{source}", self.listen)
    }

    /// Where the logs of refused deliveries can be read, in words.
    pub(crate) fn log(&self) -> Option<String> {
        let logs: Vec<String> = self.admins.iter().map(|admin| format!("http://{admin}/rejected")).collect();
        (!logs.is_empty()).then(|| logs.join(", "))
    }

    /// The refused deliveries that those who answer still know, the newest first; none where nobody answers.
    pub(crate) async fn rejected(&self) -> Option<Vec<Rejected>> {
        let client = self.client.as_ref()?;
        let addresses = join_all(self.admins.iter().map(|admin| addresses(admin))).await;
        let addresses: BTreeSet<SocketAddr> = addresses.into_iter().flatten().collect();
        let logs = join_all(addresses.into_iter().map(|address| log_of(client, address))).await;
        let logs: Vec<Log> = logs.into_iter().flatten().collect();
        if logs.is_empty() {
            return None;
        }
        let rows = logs.into_iter().flat_map(|log| log.last.into_iter().rev());
        let mut rejected: Vec<Rejected> = rows
            .map(|row| Rejected {
                at: Timestamp::from_micros(row.at_unix_ms.saturating_mul(1000)),
                source: row.source,
                reason: row.reason,
                remote: row.remote,
            })
            .collect();
        // Each log is in order already, and equal times keep it.
        rejected.sort_by_key(|rejected| std::cmp::Reverse(rejected.at));
        Some(rejected)
    }
}

/// All that a name stands for: replicas may share one.
async fn addresses(admin: &str) -> Vec<SocketAddr> {
    match tokio::time::timeout(TIME_LIMIT, tokio::net::lookup_host(admin)).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

async fn log_of(client: &HttpClient, address: SocketAddr) -> Option<Log> {
    let request = Request::get(format!("http://{address}/rejected")).body(Bytes::new()).ok()?;
    let answer = client.send(request).await.ok().filter(|answer| answer.status().is_success())?;
    serde_json::from_slice(answer.body()).ok()
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
