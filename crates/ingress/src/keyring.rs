//! The keys of one source: those of the configuration, and public keys that are fetched from the provider.
//!
//! Fetched keys are kept while their endpoint is away, replaced with every answer, and fetched again when a
//! delivery does not verify, because the provider may have changed its key a moment ago. Whoever forges
//! deliveries could make us fetch as often as he likes, so it happens at most once in [`FETCH_PAUSE`].

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::{KeyError, KeySet, Keys, Provider, RemoteKeys};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::metrics;

/// The shortest time between two fetches for one source.
pub(crate) const FETCH_PAUSE: Duration = Duration::from_secs(10);

/// A key that the provider takes back is no longer trusted after this time.
const FETCH_EVERY: Duration = Duration::from_secs(600);

/// A delivery waits for the fetch that it caused, and senders wait seconds at most.
const FETCH_TIME_LIMIT: Duration = Duration::from_secs(3);

/// The largest answer that is read, in bytes: a realm's description is about one thousand.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// The bounds of the client that keys are fetched with.
pub(crate) fn client_options() -> HttpClientOptions {
    HttpClientOptions {
        time_limit: FETCH_TIME_LIMIT,
        connect_time_limit: FETCH_TIME_LIMIT,
        response_bytes_max: KEY_BYTES_MAX,
        user_agent: "matchpurse",
        ..HttpClientOptions::default()
    }
}

/// The keys of one source.
pub(crate) struct Keyring {
    source: SourceName,
    configured: Keys,
    known: RwLock<Known>,
    remote: Option<Remote>,
}

/// The keys of a moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The keys.
    pub(crate) keys: Arc<Keys>,
    /// Those of them that were fetched, once any were.
    fetched: Option<Vec<Bytes>>,
    /// Grows with every answer of the endpoint that brought other keys.
    generation: u64,
}

/// Where the public keys are fetched.
struct Remote {
    adapter: &'static dyn Provider,
    url: String,
    client: HttpClient,
    pause: Duration,
    /// When the last fetch began. Held while fetching, so that those who come meanwhile wait for its end.
    last: Mutex<Option<Instant>>,
}

/// Why no key was fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the URL of the public keys is none")]
    Url(#[source] http::Error),
    #[error("the endpoint of the public keys did not answer")]
    Http(#[source] HttpError),
    #[error("the endpoint of the public keys answered {0}")]
    Status(StatusCode),
    #[error("the endpoint of the public keys answered something else")]
    Keys(#[source] KeyError),
}

impl Keyring {
    /// The keys of the configuration only.
    pub(crate) fn new(source: SourceName, configured: Keys) -> Self {
        let known = Known { keys: Arc::new(configured.clone()), fetched: None, generation: 0 };
        Self { source, configured, known: RwLock::new(known), remote: None }
    }

    /// Adds the keys that are fetched, at most once in `pause`; none are known yet.
    pub(crate) fn with_remote(
        mut self,
        adapter: &'static dyn Provider,
        remote: RemoteKeys,
        client: HttpClient,
        pause: Duration,
    ) -> Self {
        self.remote = Some(Remote { adapter, url: remote.url, client, pause, last: Mutex::default() });
        self
    }

    /// Takes over what `old` has fetched, where it is fetched from the same place: whoever changes another key must not
    /// make us forget these, for nobody knows when they can be fetched again.
    pub(crate) async fn taking_over(self, old: &Self) -> Self {
        if let (Some(remote), Some(before)) = (&self.remote, &old.remote)
            && remote.url == before.url
            && remote.adapter.id() == before.adapter.id()
        {
            // Whoever fetches at this moment is waited for, so that its answer is not lost.
            *remote.last.lock().await = *before.last.lock().await;
            let fetched = old.known.read().unwrap_or_else(PoisonError::into_inner).fetched.clone();
            if let Some(fetched) = fetched {
                self.replace(fetched);
            }
        }
        self
    }

    /// The keys of now.
    pub(crate) fn known(&self) -> Known {
        // A panic elsewhere leaves a whole state behind: it is replaced by one assignment.
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other keys than `seen`, if there are any: those that came since, or those that are fetched now unless
    /// it was done a moment ago.
    pub(crate) async fn newer_than(&self, seen: &Known) -> Option<Known> {
        self.refresh().await;
        let known = self.known();
        (known.generation > seen.generation).then_some(known)
    }

    /// Keeps the fetched keys fresh for ever; returns at once when there are none to fetch.
    pub(crate) async fn keep_fresh(&self) {
        let Some(remote) = &self.remote else { return };
        loop {
            self.refresh().await;
            let none_yet = self.known().generation == 0;
            tokio::time::sleep(if none_yet { remote.pause } else { FETCH_EVERY }).await;
        }
    }

    /// Fetches the keys, unless it was done a moment ago.
    async fn refresh(&self) {
        let Some(remote) = &self.remote else { return };
        let mut last = remote.last.lock().await;
        if last.is_some_and(|last| last.elapsed() < remote.pause) {
            return;
        }
        *last = Some(Instant::now());
        let outcome = match remote.fetch().await {
            Ok(fetched) => {
                self.replace(fetched);
                "ok"
            }
            Err(error) => {
                let (source, error) = (self.source.as_str(), &error as &dyn std::error::Error);
                tracing::warn!(source, error, "cannot fetch public keys; those that are known stay");
                "failed"
            }
        };
        metrics::key_fetch(&self.source, outcome);
    }

    fn replace(&self, fetched: Vec<Bytes>) {
        let configured = self.configured.webhook.iter().map(Bytes::copy_from_slice);
        let webhook = KeySet::new(configured.chain(fetched.iter().cloned()));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let same = known.generation > 0 && known.keys.webhook.iter().eq(webhook.iter());
        if !same {
            let keys = Arc::new(Keys { webhook, ..self.configured.clone() });
            *known = Known { keys, fetched: Some(fetched), generation: known.generation.saturating_add(1) };
            tracing::info!(source = self.source.as_str(), "public keys fetched");
        }
    }
}

impl Remote {
    async fn fetch(&self) -> Result<Vec<Bytes>, FetchError> {
        let request = Request::get(&self.url).body(Bytes::new()).map_err(FetchError::Url)?;
        let response = self.client.send_within(FETCH_TIME_LIMIT, request).await.map_err(FetchError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        self.adapter.read_remote_keys(response.body()).map_err(FetchError::Keys)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.known().keys)
    }
}

#[cfg(test)]
mod tests;
