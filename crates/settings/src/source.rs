//! `[sources.NAME]`: one integration of one game with one provider.

use std::collections::BTreeMap;
use std::fmt;

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::{Currency, ParsedAmount, format_major, parse_major};
use matchpurse_domain::source::{Custody, OnDeadline, SourcePolicy, TiePolicy};
use matchpurse_service_kit::config::{SecretValue, nearest};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rewards::{RewardSettings, RewardsTable};

/// The most that a fee can be: the whole pot.
const FEE_BPS_MAX: u16 = 10_000;
/// A match that holds money for a year has been forgotten.
const HOLD_DEADLINE_HOURS_MAX: u32 = 8_760;
const HOLD_DEADLINE_HOURS_DEFAULT: u32 = 72;
/// The longest name of a game.
const GAME_LENGTH_MAX: usize = 40;
/// The largest body that a source may allow, in bytes: it is held in memory, and it travels in one message.
const BODY_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// A source, checked; its secrets are not shown by `Debug`.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    policy: SourcePolicy,
    rewards: RewardSettings,
    table: SourceTable,
}

/// A source as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct SourceTable {
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    game: Option<String>,
    #[serde(default)]
    secrets: Vec<SecretValue>,
    currency: String,
    currency_exponent: Option<u8>,
    custody: String,
    #[serde(default)]
    fee_bps: u16,
    #[serde(default = "tie_policy_default")]
    tie_policy: String,
    stake: Option<String>,
    #[serde(default = "hold_deadline_hours_default")]
    hold_deadline_hours: u32,
    #[serde(default = "on_deadline_default")]
    on_deadline: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    decides_linked: bool,
    max_body_bytes: Option<u32>,
    #[serde(default)]
    keys: BTreeMap<String, Vec<SecretValue>>,
    #[serde(default)]
    options: BTreeMap<String, OptionValue>,
    #[serde(default, skip_serializing_if = "RewardsTable::is_empty")]
    rewards: RewardsTable,
}

/// One option of an adapter. What options there are is the adapter's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Several texts.
    Texts(Vec<String>),
}

impl SourceSettings {
    /// Checks a source's table; every problem goes to `add` with its key, and then there is no source.
    pub(crate) fn new(
        name: &SourceName,
        table: SourceTable,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<Self> {
        let currency = table.currency(add);
        let custody =
            word(&table.custody, &CUSTODIES, Custody::as_str).map_err(|what| add("custody", what)).ok();
        let tie_policy = word(&table.tie_policy, &TIE_POLICIES, TiePolicy::as_str)
            .map_err(|what| add("tie_policy", what))
            .ok();
        let on_deadline = word(&table.on_deadline, &ON_DEADLINES, OnDeadline::as_str)
            .map_err(|what| add("on_deadline", what))
            .ok();
        let stake = match &currency {
            Some(currency) => table.stake(currency).map_err(|what| add("stake", what)).ok(),
            // Without a currency there is a problem already, and nothing to read the stake by.
            None => Some(None),
        };
        let rewards = table.rewards.read(currency.as_ref(), add);
        let sound = table.bounds(add);
        let policy = SourcePolicy {
            source: name.clone(),
            provider: table.provider.clone(),
            currency: currency?,
            custody: custody?,
            fee_bps: table.fee_bps,
            tie_policy: tie_policy?,
            stake: stake?,
            hold_deadline_s: i64::from(table.hold_deadline_hours) * 3600,
            on_deadline: on_deadline?,
        };
        let rewards = rewards?;
        sound.then_some(Self { policy, rewards, table })
    }

    /// The rules of the source, for whoever decides about its events.
    pub fn policy(&self) -> &SourcePolicy {
        &self.policy
    }

    /// Whether finals of this source end the matches of other sources that are linked to its own.
    pub fn decides_linked(&self) -> bool {
        self.table.decides_linked
    }

    /// The provider, as its adapter is called; whether there is such an adapter is not known here.
    pub fn provider(&self) -> &str {
        &self.table.provider
    }

    /// The game that is played: sources of one game share ratings and boards.
    pub fn game(&self) -> &str {
        self.table.game(self.policy.source.as_str())
    }

    /// The active secrets of the webhooks; may be empty.
    pub fn secrets(&self) -> &[SecretValue] {
        &self.table.secrets
    }

    /// The active secrets of another role: `keys.ROLE`; empty when there are none.
    pub fn keys(&self, role: &str) -> &[SecretValue] {
        self.table.keys.get(role).map_or(&[], Vec::as_slice)
    }

    /// The roles for which there are keys, so that one that the adapter does not have can be refused.
    pub fn key_roles(&self) -> impl Iterator<Item = &str> {
        self.table.keys.keys().map(String::as_str)
    }

    /// The largest body to take, in bytes; `None` leaves it to the adapter.
    pub fn max_body_bytes(&self) -> Option<usize> {
        self.table.max_body_bytes.and_then(|bytes| usize::try_from(bytes).ok())
    }

    /// What is wanted of its rewards.
    pub fn rewards(&self) -> &RewardSettings {
        &self.rewards
    }

    /// The adapter's own options, unchecked.
    pub fn options(&self) -> &BTreeMap<String, OptionValue> {
        &self.table.options
    }
}

impl SourceTable {
    /// The game; by default the source is one by itself.
    pub(crate) fn game<'t>(&'t self, source: &'t str) -> &'t str {
        self.game.as_deref().unwrap_or(source)
    }

    fn currency(&self, add: &mut dyn FnMut(&str, String)) -> Option<Currency> {
        use matchpurse_domain::money::CurrencyError as E;
        let key = |error: &E| match error {
            E::Code(_) => "currency",
            E::UnknownExponent(_) | E::Exponent(_) | E::Contradiction { .. } => "currency_exponent",
        };
        Currency::new(&self.currency, self.currency_exponent)
            .map_err(|error| add(key(&error), error.to_string()))
            .ok()
    }

    /// The stake in minor units.
    fn stake(&self, currency: &Currency) -> Result<Option<i64>, String> {
        let Some(text) = &self.stake else { return Ok(None) };
        match parse_major(text, currency.exponent) {
            Err(error) => Err(error.to_string()),
            Ok(ParsedAmount { minor_units, rounded: true }) => {
                let near = format_major(minor_units, currency.exponent);
                Err(format!("{text:?} is finer than {}; write {near:?}", currency.code))
            }
            Ok(ParsedAmount { minor_units: 0, .. }) => {
                Err("must be above 0; leave it out where a match moves no money".to_owned())
            }
            Ok(ParsedAmount { minor_units, .. }) => Ok(Some(minor_units)),
        }
    }

    /// Whether everything else is within its bounds.
    fn bounds(&self, add: &mut dyn FnMut(&str, String)) -> bool {
        let mut sound = true;
        let mut check = |good: bool, key: &str, what: &dyn fmt::Display| {
            if !good {
                sound = false;
                add(key, what.to_string());
            }
        };
        check(is_name(&self.provider), "provider", &"must be a provider's name: of a-z, 0-9, '-' and '_'");
        let game = self.game.as_deref().unwrap_or("a");
        check(
            is_name(game) && game.len() <= GAME_LENGTH_MAX,
            "game",
            &format_args!("must be 1 to {GAME_LENGTH_MAX} of a-z, 0-9, '-' and '_'"),
        );
        check(
            self.fee_bps <= FEE_BPS_MAX,
            "fee_bps",
            &format_args!("{} is above {FEE_BPS_MAX}, the whole pot", self.fee_bps),
        );
        let hours = self.hold_deadline_hours;
        check(
            (1..=HOLD_DEADLINE_HOURS_MAX).contains(&hours),
            "hold_deadline_hours",
            &format_args!("{hours} is not from 1 to {HOLD_DEADLINE_HOURS_MAX}"),
        );
        let bytes = self.max_body_bytes.unwrap_or(1);
        check(
            (1..=BODY_BYTES_MAX).contains(&bytes),
            "max_body_bytes",
            &format_args!("{bytes} is not from 1 to {BODY_BYTES_MAX}"),
        );
        for (role, secrets) in &self.keys {
            check(is_name(role), "keys", &format_args!("{role:?} is no role: of a-z, 0-9, '-' and '_'"));
            check(
                !secrets.is_empty(),
                "keys",
                &format_args!("the list of {role:?} is empty; leave it out instead"),
            );
        }
        sound
    }
}

const CUSTODIES: [Custody; 2] = [Custody::Provider, Custody::Studio];
const ON_DEADLINES: [OnDeadline; 2] = [OnDeadline::Refund, OnDeadline::Arbitrate];
const TIE_POLICIES: [TiePolicy; 3] = [TiePolicy::RefundFull, TiePolicy::RefundMinusFee, TiePolicy::Split];

/// The choice that `text` names.
fn word<T: Copy>(text: &str, choices: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    choices.iter().copied().find(|choice| name(*choice) == text).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|choice| name(*choice)).collect();
        let hint = nearest(text, names.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!("{text:?} is not one of {}{hint}", names.join(", "))
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
}

fn tie_policy_default() -> String {
    TiePolicy::default().as_str().to_owned()
}

fn on_deadline_default() -> String {
    OnDeadline::default().as_str().to_owned()
}

fn hold_deadline_hours_default() -> u32 {
    HOLD_DEADLINE_HOURS_DEFAULT
}

impl Serialize for SourceSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OptionValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionVisitor)
    }
}

struct OptionVisitor;

impl<'de> Visitor<'de> for OptionVisitor {
    type Value = OptionValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true or false, or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OptionValue, E> {
        Ok(OptionValue::Text(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OptionValue, E> {
        Ok(OptionValue::Flag(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OptionValue, E> {
        Ok(OptionValue::Number(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OptionValue, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(OptionValue::Texts(texts))
    }
}
