//! The configured sources, each with its adapter and its keys, or every reason why they cannot work.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::{AdapterSettings, KeySet, Keys, Provider};
use matchpurse_reading::adapter_settings;
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join, nearest};
use matchpurse_service_kit::http_client::HttpClient;
use matchpurse_settings::{SecretValue, Settings, SourceSettings};

use crate::keyring::Keyring;
use crate::metrics::SourceMeter;

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

/// The configured sources by name.
pub(crate) struct Sources(HashMap<String, Source>);

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
        let ready = |checked: Checked| {
            let source = checked.into_source(client, fetch_pause);
            (source.name.as_str().to_owned(), source)
        };
        Ok(Self(check(settings)?.into_iter().map(ready).collect()))
    }

    /// The source of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Source> {
        self.0.get(name)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.values()
    }
}

/// Checks the sources as the start does, without starting anything: the adapter of each must be known, have
/// what it needs to verify, and know each of its options.
///
/// # Errors
/// [`ConfigError::Problems`], with the problems of all sources.
pub fn check_sources(settings: &Settings) -> Result<(), ConfigError> {
    check(settings).map(drop)
}

fn check(settings: &Settings) -> Result<Vec<Checked>, ConfigError> {
    let mut problems = Vec::new();
    let mut add = |key: String, what: String| {
        problems.push(Problem { key, origin: None, reason: Reason::Invalid(what) });
    };
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
            Checked::new(name, source, settings.ingress.body_memory_max_bytes, &mut |key, what| {
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
