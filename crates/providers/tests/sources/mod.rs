//! One configured source for each provider, with its fixtures: what every test of this folder walks over.
//!
//! `src/PROVIDER/fixtures/source.json` configures the source; a key that begins with `@` names a file beside
//! it. Every other `NAME.json` there is the body of a delivery, with `NAME.meta.json` for what is not usual
//! about it: `{"method": "DELETE", "role": "postback"}`.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod oracle;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{
    AdapterSettings, Delivery, KeyRole, KeySet, Keys, Method, OptionValue, Provider, SignRequest, Verified,
};
use serde::Deserialize;

/// Where the adapters are; this file is part of a crate elsewhere too, whose folder is as deep.
const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/providers/src");

/// When the tests take place.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_720_729_570);

/// A provider as one studio may have configured it.
pub(crate) struct Source {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) settings: AdapterSettings,
    pub(crate) keys: BTreeMap<&'static str, RoleKeys>,
    /// True when what is signed says until when it holds.
    pub(crate) expires: bool,
    /// The field that names the event, where the provider has one.
    pub(crate) event_field: Option<String>,
    folder: PathBuf,
}

/// The key in use, and another that would do as well.
pub(crate) struct RoleKeys {
    pub(crate) role: KeyRole,
    pub(crate) active: KeyPair,
    pub(crate) other: KeyPair,
}

/// What signs, and what verifies; the same for a shared secret.
#[derive(Clone)]
pub(crate) struct KeyPair {
    pub(crate) sign: Bytes,
    pub(crate) verify: Bytes,
}

/// One delivery.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) role: &'static str,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    currency: String,
    exponent: Option<u8>,
    stake: Option<i64>,
    #[serde(default)]
    expires: bool,
    event_field: Option<String>,
    keys: BTreeMap<String, RoleKeysFile>,
    #[serde(default)]
    options: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleKeysFile {
    sign: String,
    verify: Option<String>,
    other: KeyPairFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPairFile {
    sign: String,
    verify: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Meta {
    method: Option<String>,
    role: Option<String>,
}

/// A source for every provider of this build.
pub(crate) fn all() -> Vec<Source> {
    matchpurse_providers::all().iter().map(|provider| Source::read(*provider)).collect()
}

impl Source {
    fn read(provider: &'static dyn Provider) -> Self {
        let folder = Path::new(ADAPTERS).join(provider.id());
        let fixtures = folder.join("fixtures");
        let file: SourceFile = serde_json::from_slice(&read(&fixtures.join("source.json"))).unwrap();
        let policy = SourcePolicy {
            source: SourceName::parse("golden").unwrap(),
            provider: provider.id().to_owned(),
            currency: Currency::new(&file.currency, file.exponent).unwrap(),
            custody: Custody::Provider,
            fee_bps: 0,
            tie_policy: TiePolicy::RefundFull,
            stake: file.stake,
            hold_deadline_s: 86_400,
            on_deadline: matchpurse_domain::source::OnDeadline::Refund,
        };
        let options = file.options.into_iter().map(|(name, value)| (name, option(value))).collect();
        let key = |text: &str| match text.strip_prefix('@') {
            Some(name) => read(&fixtures.join(name)),
            None => Bytes::copy_from_slice(text.as_bytes()),
        };
        let pair = |sign: &str, verify: Option<&str>| KeyPair {
            sign: key(sign),
            verify: key(verify.unwrap_or(sign)),
        };
        let keys = file.keys.iter().map(|(name, keys)| {
            let (name, role) = role(name);
            let active = pair(&keys.sign, keys.verify.as_deref());
            let other = pair(&keys.other.sign, keys.other.verify.as_deref());
            (name, RoleKeys { role, active, other })
        });
        Self {
            provider,
            settings: AdapterSettings { policy, options },
            keys: keys.collect(),
            expires: file.expires,
            event_field: file.event_field,
            folder,
        }
    }

    /// The deliveries, by name.
    pub(crate) fn fixtures(&self) -> Vec<Fixture> {
        let folder = self.folder.join("fixtures");
        let names = names(&folder);
        let names = names.into_iter().filter(|name| name != "source" && !name.ends_with(".meta"));
        let fixtures: Vec<Fixture> = names
            .map(|name| {
                let meta = folder.join(format!("{name}.meta.json"));
                let meta: Meta = if meta.exists() {
                    serde_json::from_slice(&read(&meta)).unwrap()
                } else {
                    Meta::default()
                };
                let method = meta.method.map(|text| Method::parse(&text).unwrap());
                Fixture {
                    method: method.unwrap_or(self.provider.methods()[0]),
                    role: role(meta.role.as_deref().unwrap_or("webhook")).0,
                    body: read(&folder.join(format!("{name}.json"))),
                    name,
                }
            })
            .collect();
        assert!(!fixtures.is_empty(), "{} has no fixtures", self.provider.id());
        fixtures
    }

    /// The folder of the expected events.
    pub(crate) fn golden_folder(&self) -> PathBuf {
        self.folder.join("golden")
    }

    /// The key in use, of every role.
    pub(crate) fn active_keys(&self) -> Keys {
        keys(self.keys.values().map(|keys| (keys.role, vec![keys.active.verify.clone()])))
    }

    /// A delivery with the headers that the provider would send.
    pub(crate) fn signed(&self, method: Method, role: &str, body: &Bytes) -> Delivery {
        self.signed_with(method, &self.keys[role].active.sign, self.keys[role].role, body, NOW)
    }

    /// Like [`Source::signed`], with another key or time.
    pub(crate) fn signed_with(
        &self,
        method: Method,
        key: &[u8],
        role: KeyRole,
        body: &Bytes,
        now: Timestamp,
    ) -> Delivery {
        let request = SignRequest { method, body, key, role, now, settings: &self.settings };
        let headers = self.provider.sign(&request).unwrap().headers;
        Delivery { method, headers: headers.into_iter().collect(), body: body.clone() }
    }

    /// The body, vouched for.
    pub(crate) fn verified(&self, method: Method, role: &str, body: &Bytes) -> Verified {
        let delivery = self.signed(method, role, body);
        self.provider.verify(&delivery, &self.settings, &self.active_keys(), NOW).unwrap()
    }
}

/// The names of a folder's JSON files, without their ending, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The keys of a source.
pub(crate) fn keys(sets: impl IntoIterator<Item = (KeyRole, Vec<Bytes>)>) -> Keys {
    let mut keys = Keys::default();
    for (role, set) in sets {
        match role {
            KeyRole::Webhook => keys.webhook = KeySet::new(set),
            KeyRole::Postback => keys.postback = KeySet::new(set),
            KeyRole::Api => keys.api = KeySet::new(set),
        }
    }
    keys
}

#[allow(clippy::disallowed_methods, reason = "tests read their fixtures; the adapters themselves do no I/O")]
pub(crate) fn read(path: &Path) -> Bytes {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into()
}

fn role(name: &str) -> (&'static str, KeyRole) {
    match name {
        "webhook" => ("webhook", KeyRole::Webhook),
        "postback" => ("postback", KeyRole::Postback),
        other => panic!("no key role {other:?}"),
    }
}

fn option(value: serde_json::Value) -> OptionValue {
    match value {
        serde_json::Value::String(text) => OptionValue::Text(text),
        serde_json::Value::Bool(flag) => OptionValue::Flag(flag),
        serde_json::Value::Number(number) => OptionValue::Number(number.as_i64().unwrap()),
        serde_json::Value::Array(texts) => {
            OptionValue::Texts(texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect())
        }
        other => panic!("no option value: {other}"),
    }
}
