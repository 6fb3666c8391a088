//! What the ingress refused, as its admin port tells it.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use serde::Deserialize;
use serde_json::json;

use super::beginning;
use crate::moment::{clock_ms, printable, stamp};
use crate::out::{Out, Paint};
use crate::say;

/// The log of one ingress, from now on.
pub(super) struct Refusals {
    client: HttpClient,
    url: String,
    source: Option<String>,
    /// How many there had been in all at the last look.
    total: u64,
    since: Timestamp,
    away: bool,
}

/// The log as the admin port tells it.
#[derive(Debug, Deserialize)]
struct Log {
    total: u64,
    last: Vec<Refused>,
}

/// One refused delivery.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    at_unix_ms: i64,
    source: String,
    reason: String,
    remote: Option<String>,
}

impl Refusals {
    pub(super) async fn begin(admin: &str, source: Option<String>) -> Result<Self> {
        let client = HttpClient::new(&HttpClientOptions {
            proxy_from_environment: false,
            user_agent: "matchpurse-listen",
            response_bytes_max: 16 * 1024 * 1024,
            ..HttpClientOptions::default()
        })?;
        let url = format!("{}/rejected", admin.trim_end_matches('/'));
        let mut refusals = Self { client, url, source, total: 0, since: beginning(), away: false };
        refusals.total = refusals.read().await?.total;
        Ok(refusals)
    }

    async fn read(&self) -> Result<Log> {
        let request = Request::get(&self.url).body(Bytes::new()).context("the admin port's URL is none")?;
        let answer = self.client.send(request).await;
        let answer =
            answer.with_context(|| format!("no answer from the ingress's admin port {}", self.url))?;
        serde_json::from_slice(answer.body())
            .with_context(|| format!("{} answers {} and no log of refusals", self.url, answer.status()))
    }

    /// Those since the last look, oldest first. An ingress that is away, or began anew, is no reason to stop.
    pub(super) async fn look(&mut self) -> Vec<Refused> {
        let log = match self.read().await {
            Ok(log) => log,
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    say(&format!("{error}; trying again"));
                }
                return Vec::new();
            }
        };
        self.away = false;
        // Fewer than before: it is another process, which began after we did.
        let new = if log.total < self.total { log.total } else { log.total - self.total };
        self.total = log.total;
        let skip = log.last.len().saturating_sub(usize::try_from(new).unwrap_or(usize::MAX));
        let wanted = |refused: &Refused| {
            self.source.as_ref().is_none_or(|source| *source == refused.source)
                && refused.at().micros() / 1000 >= self.since.micros() / 1000
        };
        log.last.into_iter().skip(skip).filter(wanted).collect()
    }
}

impl Refused {
    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at_unix_ms.saturating_mul(1000))
    }

    /// Prints it; false when nobody reads any more.
    pub(super) fn print(&self, out: Out) -> bool {
        let Self { source, reason, remote, .. } = self;
        let printed = if out.json() {
            out.try_line(
                json!({ "at": stamp(self.at()), "source": source, "rejected": reason, "remote": remote }),
            )
        } else {
            let from =
                remote.as_ref().map_or_else(String::new, |remote| format!(", from {}", printable(remote)));
            out.try_line(format_args!(
                "{}  {:12}  {}  {:24}  {}{from}",
                out.painted(Some(Paint::Faint), &clock_ms(self.at())),
                printable(source),
                out.painted(Some(Paint::Bad), &format!("{:20}", "refused")),
                "-",
                printable(reason)
            ))
        };
        printed.is_ok()
    }
}
