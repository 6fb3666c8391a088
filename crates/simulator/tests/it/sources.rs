//! One source for each provider of this build, configured by its own fixtures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_providers::{AdapterSettings, KeySet, Keys, OptionValue, Provider};
use matchpurse_simulator::SimulatedSource;
use serde::Deserialize;

/// What a test changes about every source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) custody: Custody,
    pub(crate) tie_policy: TiePolicy,
    pub(crate) fee_bps: u16,
}

pub(crate) const PROVIDER_HOLDS: Rules =
    Rules { custody: Custody::Provider, tie_policy: TiePolicy::RefundFull, fee_bps: 0 };

/// A source with what signs it and what verifies it.
pub(crate) struct Source {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) settings: AdapterSettings,
    pub(crate) keys: Keys,
    sign: BTreeMap<String, Bytes>,
    foreign: Bytes,
}

#[derive(Deserialize)]
struct File {
    currency: String,
    exponent: Option<u8>,
    stake: Option<i64>,
    keys: BTreeMap<String, KeyFile>,
    #[serde(default)]
    options: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct KeyFile {
    sign: String,
    verify: Option<String>,
    other: Option<Box<KeyFile>>,
}

pub(crate) fn all(rules: Rules) -> Vec<Source> {
    matchpurse_providers::all().iter().map(|provider| read(*provider, rules)).collect()
}

pub(crate) fn simulated(sources: &[Source]) -> Vec<SimulatedSource> {
    sources.iter().map(Source::simulated).collect()
}

impl Source {
    pub(crate) fn name(&self) -> &SourceName {
        &self.settings.policy.source
    }

    pub(crate) fn simulated(&self) -> SimulatedSource {
        let source = SimulatedSource::new(self.settings.clone(), self.sign["webhook"].clone()).unwrap();
        let source = source.with_foreign_key(self.foreign.clone());
        match self.sign.get("postback") {
            Some(key) => source.with_postback_key(key.clone()),
            None => source,
        }
    }
}

fn read(provider: &'static dyn Provider, rules: Rules) -> Source {
    let folder: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/src").join(provider.id()).join("fixtures");
    let bytes = |name: &str| Bytes::from(std::fs::read(folder.join(name)).unwrap());
    let file: File = serde_json::from_slice(&bytes("source.json")).unwrap();
    let key = |text: &str| match text.strip_prefix('@') {
        Some(name) => bytes(name),
        None => Bytes::copy_from_slice(text.as_bytes()),
    };
    let verify = |role: &str| {
        KeySet::new(file.keys.get(role).map(|keys| key(keys.verify.as_deref().unwrap_or(&keys.sign))))
    };
    let policy = SourcePolicy {
        source: SourceName::parse(&format!("{}-played", provider.id())).unwrap(),
        provider: provider.id().to_owned(),
        currency: Currency::new(&file.currency, file.exponent).unwrap(),
        custody: rules.custody,
        fee_bps: rules.fee_bps,
        tie_policy: rules.tie_policy,
        stake: file.stake,
        hold_deadline_s: 86_400,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    };
    let options = file.options.iter().map(|(name, value)| (name.clone(), option(value))).collect();
    let other = file.keys["webhook"].other.as_ref().unwrap();
    let source = Source {
        provider,
        settings: AdapterSettings { policy, options },
        keys: Keys { webhook: verify("webhook"), postback: verify("postback"), ..Keys::default() },
        sign: file.keys.iter().map(|(role, keys)| (role.clone(), key(&keys.sign))).collect(),
        foreign: key(&other.sign),
    };
    provider.check(&source.settings, &source.keys).unwrap();
    source
}

fn option(value: &serde_json::Value) -> OptionValue {
    use serde_json::Value;
    match value {
        Value::String(text) => OptionValue::Text(text.clone()),
        Value::Bool(flag) => OptionValue::Flag(*flag),
        Value::Number(number) => OptionValue::Number(number.as_i64().unwrap()),
        Value::Array(texts) => {
            OptionValue::Texts(texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect())
        }
        other => panic!("no option value: {other}"),
    }
}
