//! The configured sources, each with its adapter and its keys, or every reason why they cannot work.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::{AdapterSettings, KeySet, Keys, Provider};
use matchpurse_reading::adapter_settings;
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join, nearest};
use matchpurse_service_kit::http_client::HttpClient;
use matchpurse_settings::{SecretValue, Settings, SourceSettings};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::keyring::Keyring;
use crate::metrics::SourceMeter;
use crate::over_tls;

/// The role of [`Keys::postback`] in the configuration: `keys.postback`.
const POSTBACK_ROLE: &str = "postback";
/// That of [`Keys::api`]: `keys.api`. Nothing here is called, but a key that no adapter would use is refused here.
const API_ROLE: &str = "api";

/// One configured source, ready to verify.
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) adapter: &'static dyn Provider,
    pub(crate) settings: AdapterSettings,
    pub(crate) keyring: Keyring,
    /// The largest body that is taken, in bytes.
    pub(crate) max_body: usize,
    pub(crate) meter: SourceMeter,
}

/// The configured sources.
pub(crate) struct Sources {
    by_name: RwLock<Arc<ByName>>,
    client: HttpClient,
    fetch_pause: Duration,
    /// Of all bodies, in bytes.
    body_memory: u64,
    /// Tells who keeps their keys fresh that they are others.
    replaced: watch::Sender<()>,
}

type ByName = HashMap<String, Arc<Source>>;

impl Sources {
    /// Checks the sources and makes them ready. Public keys are fetched later, by `client`, each source's at
    /// most once in `fetch_pause`.
    ///
    /// # Errors
    /// As [`check_sources`].
    pub(crate) fn new(
        settings: &Settings,
        client: &HttpClient,
        fetch_pause: Duration,
    ) -> Result<Self, ConfigError> {
        let body_memory = settings.ingress.body_memory_max_bytes;
        let ready = |checked: Checked| {
            let source = checked.into_source(client, fetch_pause);
            (source.name.as_str().to_owned(), Arc::new(source))
        };
        let by_name: ByName = check(settings, body_memory)?.into_iter().map(ready).collect();
        Ok(Self {
            by_name: RwLock::new(Arc::new(by_name)),
            client: client.clone(),
            fetch_pause,
            body_memory,
            replaced: watch::Sender::new(()),
        })
    }

    /// The source of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Source>> {
        self.all().get(name).cloned()
    }

    /// The largest body that any of them takes, in bytes.
    pub(crate) fn largest_body(&self) -> usize {
        self.all().values().map(|source| source.max_body).max().unwrap_or(0)
    }

    /// Takes over what may change while deliveries come: keys, the adapter's options, the size of bodies. A delivery in
    /// work goes on with what it began with. Everything else of a source (which there are, and the rules by which money
    /// moves) is the workers' business too, and stays as it is until all are started anew.
    ///
    /// # Errors
    /// As [`check_sources`]; then nothing has changed.
    pub(crate) async fn take_over(&self, settings: &Settings) -> Result<(), ConfigError> {
        let mut by_name = ByName::clone(&self.all());
        for checked in check(settings, self.body_memory)? {
            let Some(before) = by_name.get(checked.name.as_str()) else { continue };
            if checked.adapter.id() != before.adapter.id() {
                continue;
            }
            let mut source = checked.into_source(&self.client, self.fetch_pause);
            source.settings.policy = before.settings.policy.clone();
            source.keyring = source.keyring.taking_over(&before.keyring).await;
            by_name.insert(source.name.as_str().to_owned(), Arc::new(source));
        }
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_name);
        self.replaced.send_replace(());
        Ok(())
    }

    /// Keeps the public keys of the sources fresh, for ever.
    pub(crate) async fn keep_keys_fresh(&self) {
        let mut replaced = self.replaced.subscribe();
        loop {
            let mut fetchers = JoinSet::new();
            for source in self.all().values().cloned() {
                fetchers.spawn(async move { source.keyring.keep_fresh().await });
            }
            if replaced.changed().await.is_err() {
                return;
            }
        }
    }

    fn all(&self) -> Arc<ByName> {
        // A panic elsewhere leaves a whole state behind: it is replaced by one assignment.
        Arc::clone(&self.by_name.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Checks the sources as the start does, without starting anything: the adapter of each must be known, have
/// what it needs to verify, and know each of its options. And what they are reached by, where that is TLS.
///
/// # Errors
/// [`ConfigError::Problems`], with the problems of all.
pub fn check_sources(settings: &Settings) -> Result<(), ConfigError> {
    check(settings, settings.ingress.body_memory_max_bytes).map(drop)
}

fn check(settings: &Settings, body_memory: u64) -> Result<Vec<Checked>, ConfigError> {
    let mut problems = Vec::new();
    let mut add = |key: String, what: String| {
        problems.push(Problem { key, origin: None, reason: Reason::Invalid(what) });
    };
    if let Err(error) = over_tls::identity(&settings.ingress) {
        add("ingress.tls".to_owned(), error.to_string());
    }
    if settings.sources.is_empty() {
        add(
            "sources".to_owned(),
            "none is configured, so nothing could be received; add a table [sources.NAME]".to_owned(),
        );
    }
    let sources: Vec<Checked> = settings
        .sources
        .iter()
        .filter_map(|(name, source)| {
            let table = join("sources", name.as_str());
            Checked::new(name, source, body_memory, &mut |key, what| {
                add(if key.is_empty() { table.clone() } else { join(&table, key) }, what);
            })
        })
        .collect();
    if problems.is_empty() { Ok(sources) } else { Err(ConfigError::Problems(problems)) }
}

/// A source whose adapter says that it can work.
struct Checked {
    name: SourceName,
    adapter: &'static dyn Provider,
    settings: AdapterSettings,
    keys: Keys,
    max_body: usize,
}

impl Checked {
    /// Every problem goes to `add`, with its key within the source's table.
    fn new(
        name: &SourceName,
        source: &SourceSettings,
        body_memory: u64,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<Self> {
        for role in source.key_roles().filter(|role| ![POSTBACK_ROLE, API_ROLE].contains(role)) {
            add("keys", format!("no role {role:?}; there are `{POSTBACK_ROLE}` and `{API_ROLE}`"));
        }
        let Some(adapter) = matchpurse_providers::by_id(source.provider()) else {
            add("provider", unknown_provider(source.provider()));
            return None;
        };
        let settings = adapter_settings(source);
        let keys = Keys {
            webhook: key_set(source.secrets()),
            postback: key_set(source.keys(POSTBACK_ROLE)),
            api: key_set(source.keys(API_ROLE)),
        };
        if let Err(error) = adapter.check(&settings, &keys) {
            add("", error.to_string());
            return None;
        }
        let keys = Keys { api: KeySet::default(), ..keys };
        let max_body = source.max_body_bytes().unwrap_or_else(|| adapter.max_body_bytes());
        if u64::try_from(max_body).unwrap_or(u64::MAX) > body_memory {
            let all =
                format!("{body_memory} bytes of all bodies, the value of `ingress.body_memory_max_bytes`");
            add("max_body_bytes", format!("a body of {max_body} bytes would never fit into the {all}"));
            return None;
        }
        Some(Self { name: name.clone(), adapter, settings, keys, max_body })
    }

    fn into_source(self, client: &HttpClient, fetch_pause: Duration) -> Source {
        let Self { name, adapter, settings, keys, max_body } = self;
        let mut keyring = Keyring::new(name.clone(), keys);
        if let Some(remote) = adapter.remote_keys(&settings) {
            keyring = keyring.with_remote(adapter, remote, client.clone(), fetch_pause);
        }
        let meter = SourceMeter::new(&name);
        Source { name, adapter, settings, keyring, max_body, meter }
    }
}

fn unknown_provider(id: &str) -> String {
    let known: Vec<&str> = matchpurse_providers::all().iter().map(|adapter| adapter.id()).collect();
    let hint = nearest(id, known.iter().copied())
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("no adapter is called {id:?}; there are {}{hint}", known.join(", "))
}

fn key_set(secrets: &[SecretValue]) -> KeySet {
    KeySet::new(secrets.iter().map(|secret| Bytes::copy_from_slice(secret.expose().as_bytes())))
}
