//! The providers' fixtures, and sources that are configured for them.
//!
//! `crates/providers/src/PROVIDER/fixtures/source.json` says how a source is configured; every other
//! `NAME.json` there is the body of a delivery, with `NAME.meta.json` for its method and key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::{Currency, format_major};
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{
    AdapterSettings, KeyRole, KeySet, Keys, Method, OptionValue, Provider, SignRequest,
};
use serde::Deserialize;
use serde_json::Value;

use super::http::{Headers, Request};

/// One configured source.
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) provider: &'static dyn Provider,
    pub(crate) settings: AdapterSettings,
    pub(crate) keys: BTreeMap<&'static str, RoleKeys>,
    /// True when what is signed says until when it holds.
    pub(crate) expires: bool,
    /// More lines for its table in the configuration.
    pub(crate) more: String,
}

/// The key in use, and another that would do as well.
#[derive(Clone)]
pub(crate) struct RoleKeys {
    pub(crate) role: KeyRole,
    pub(crate) sign: Vec<u8>,
    pub(crate) verify: String,
    pub(crate) other: Vec<u8>,
}

/// One delivery, and what its provider's adapter says of it.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) provider: &'static str,
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) role: &'static str,
    pub(crate) body: Vec<u8>,
    /// What `golden/` has.
    pub(crate) golden: Value,
}

#[derive(Deserialize)]
struct SourceFile {
    currency: String,
    exponent: Option<u8>,
    stake: Option<i64>,
    #[serde(default)]
    expires: bool,
    keys: BTreeMap<String, KeysFile>,
    #[serde(default)]
    options: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct KeysFile {
    sign: String,
    verify: Option<String>,
    other: OtherFile,
}

#[derive(Deserialize)]
struct OtherFile {
    sign: String,
}

#[derive(Deserialize, Default)]
struct Meta {
    method: Option<String>,
    role: Option<String>,
}

fn folder(provider: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/providers/src").join(provider)
}

/// The deliveries of a provider, by name.
pub(crate) fn fixtures(provider: &'static dyn Provider) -> Result<Vec<Fixture>> {
    let folder = folder(provider.id());
    let mut fixtures = Vec::new();
    for entry in std::fs::read_dir(folder.join("fixtures"))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".json") else { continue };
        if name == "source" || name.ends_with(".meta") {
            continue;
        }
        let meta = folder.join("fixtures").join(format!("{name}.meta.json"));
        let meta: Meta =
            if meta.exists() { serde_json::from_slice(&std::fs::read(meta)?)? } else { Meta::default() };
        let method = meta.method.map(|text| Method::parse(&text).context("no method")).transpose()?;
        let golden = std::fs::read(folder.join("golden").join(&file)).with_context(|| file.clone())?;
        fixtures.push(Fixture {
            provider: provider.id(),
            name: name.to_owned(),
            method: method.or_else(|| provider.methods().first().copied()).context("no method")?,
            role: if meta.role.as_deref() == Some("postback") { "postback" } else { "webhook" },
            body: std::fs::read(folder.join("fixtures").join(&file))?,
            golden: serde_json::from_slice(&golden)?,
        });
    }
    fixtures.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(fixtures)
}

/// One fixture.
pub(crate) fn fixture(provider: &str, name: &str) -> Result<Fixture> {
    let adapter = matchpurse_providers::by_id(provider).with_context(|| format!("no provider {provider}"))?;
    let found = fixtures(adapter)?.into_iter().find(|fixture| fixture.name == name);
    found.with_context(|| format!("{provider} has no fixture {name}"))
}

impl Fixture {
    /// The same with other words in the body.
    pub(crate) fn replace(&self, from: &str, to: &str) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert!(body.contains(from), "{} has no {from}", self.name);
        Self { body: body.replace(from, to).into_bytes(), ..self.clone() }
    }
}

impl Source {
    /// A source that is configured as the provider's fixtures want it.
    pub(crate) fn new(provider: &'static dyn Provider, name: &str) -> Result<Self> {
        let folder = folder(provider.id()).join("fixtures");
        let file: SourceFile = serde_json::from_slice(&std::fs::read(folder.join("source.json"))?)?;
        let name = SourceName::parse(name)?;
        let policy = SourcePolicy {
            source: name.clone(),
            provider: provider.id().to_owned(),
            currency: Currency::new(&file.currency, file.exponent)?,
            custody: Custody::Provider,
            fee_bps: 0,
            tie_policy: TiePolicy::RefundFull,
            stake: file.stake,
            hold_deadline_s: 259_200,
            on_deadline: matchpurse_domain::source::OnDeadline::Refund,
        };
        let key = |text: &str| match text.strip_prefix('@') {
            Some(name) => std::fs::read(folder.join(name)).with_context(|| name.to_owned()),
            None => Ok(text.as_bytes().to_vec()),
        };
        let mut keys = BTreeMap::new();
        for (role, file) in &file.keys {
            let (name, role) = match role.as_str() {
                "postback" => ("postback", KeyRole::Postback),
                _ => ("webhook", KeyRole::Webhook),
            };
            let sign = key(&file.sign)?;
            let verify = String::from_utf8(key(file.verify.as_deref().unwrap_or(&file.sign))?)?;
            keys.insert(name, RoleKeys { role, sign, verify, other: key(&file.other.sign)? });
        }
        let options = file.options.into_iter().map(|(name, value)| Ok((name, option(&value)?)));
        let options = options.collect::<Result<_>>()?;
        let settings = AdapterSettings { policy, options };
        Ok(Self { name, provider, settings, keys, expires: file.expires, more: String::new() })
    }

    /// By the provider's name.
    pub(crate) fn of(provider: &str, name: &str) -> Result<Self> {
        Self::new(matchpurse_providers::by_id(provider).context("no such provider")?, name)
    }

    /// Its table in the configuration.
    pub(crate) fn toml(&self) -> Result<String> {
        let Self { name, provider, settings, keys, more, .. } = self;
        let currency = &settings.policy.currency;
        let mut toml = format!("[sources.{name}]\nprovider = \"{}\"\n", provider.id());
        writeln!(toml, "currency = \"{}\"\ncurrency_exponent = {}", currency.code, currency.exponent)?;
        writeln!(toml, "custody = \"provider\"\n{more}")?;
        if let Some(stake) = settings.policy.stake {
            writeln!(toml, "stake = \"{}\"", format_major(stake, currency.exponent))?;
        }
        for (role, keys) in keys {
            // The keys are ASCII, and a text of Rust is one of TOML then.
            let key = if *role == "webhook" { "secrets" } else { "keys.postback" };
            writeln!(toml, "{key} = [{:?}]", keys.verify)?;
        }
        for (option, value) in &settings.options {
            match value {
                OptionValue::Text(text) => writeln!(toml, "options.{option} = {text:?}")?,
                OptionValue::Flag(flag) => writeln!(toml, "options.{option} = {flag}")?,
                OptionValue::Number(number) => writeln!(toml, "options.{option} = {number}")?,
                OptionValue::Texts(texts) => writeln!(toml, "options.{option} = {texts:?}")?,
            }
        }
        Ok(toml)
    }

    /// The keys that its ingress verifies with.
    pub(crate) fn active_keys(&self) -> Keys {
        let set = |name: &str| {
            KeySet::new(self.keys.get(name).map(|keys| Bytes::copy_from_slice(keys.verify.as_bytes())))
        };
        Keys { webhook: set("webhook"), postback: set("postback"), api: set("api") }
    }

    /// The headers with which the provider would send a body now, or at another time, or with another key.
    pub(crate) fn sign(
        &self,
        role: &str,
        method: Method,
        body: &[u8],
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Headers> {
        let keys = self.keys.get(role).with_context(|| format!("{} has no key for {role}", self.name))?;
        let key = key.unwrap_or(&keys.sign);
        let request = SignRequest { method, body, key, role: keys.role, now, settings: &self.settings };
        let signed = self.provider.sign(&request)?.headers;
        Ok(signed.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect())
    }

    /// A delivery as the provider would send it.
    pub(crate) fn delivery(&self, role: &str, method: Method, body: &[u8]) -> Result<Request> {
        let mut request = Request::new(method.as_str(), &format!("/hooks/{}", self.name), body);
        request.headers = self.sign(role, method, body, None, now())?;
        Ok(request)
    }
}

fn option(value: &Value) -> Result<OptionValue> {
    Ok(match value {
        Value::String(text) => OptionValue::Text(text.clone()),
        Value::Bool(flag) => OptionValue::Flag(*flag),
        Value::Number(number) => OptionValue::Number(number.as_i64().context("no whole number")?),
        Value::Array(texts) => OptionValue::Texts(
            texts
                .iter()
                .map(|text| text.as_str().map(str::to_owned).context("no text"))
                .collect::<Result<_>>()?,
        ),
        other => anyhow::bail!("no option's value: {other}"),
    })
}

/// The time of the wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
