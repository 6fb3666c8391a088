//! `[sources.NAME.rewards]`: what a studio wants of a source's rewards before they are given.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;

use matchpurse_domain::grants::{Cap, GrantKind, Limits};
use matchpurse_domain::money::{Currency, ParsedAmount, format_major, parse_major};
use matchpurse_service_kit::config::{join, nearest};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kinds of rewards that a schema can be for. What a provider pays itself comes with nothing.
const KINDS: [GrantKind; 3] = [GrantKind::Studio, GrantKind::Points, GrantKind::Credit];

/// A schema beyond this, in bytes, is the wrong file.
const SCHEMA_BYTES_MAX: u64 = 256 * 1024;

/// What is wanted of a source's rewards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewardSettings {
    /// How much may be given in a time; none is no limit.
    pub limits: Option<Limits>,
    /// The JSON Schemas of what comes along, by what is given; whether they are any only their user knows.
    pub schemas: BTreeMap<GrantKind, SchemaText>,
}

/// A JSON Schema as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The text.
    pub text: String,
    /// The file that it was read from.
    pub file: Option<String>,
}

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct RewardsTable {
    player_day_count: Option<u32>,
    player_day_amount: Option<String>,
    source_hour_count: Option<u32>,
    source_hour_amount: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    schemas: BTreeMap<String, SchemaText>,
}

impl RewardsTable {
    /// True when nothing is wanted; then there is nothing to show either.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { player_day_count, player_day_amount, source_hour_count, source_hour_amount, schemas } =
            self;
        player_day_count.is_none()
            && player_day_amount.is_none()
            && source_hour_count.is_none()
            && source_hour_amount.is_none()
            && schemas.is_empty()
    }

    /// Checks the table; every problem goes to `add` with its key below the source's, and then there is none.
    pub(crate) fn read(
        &self,
        currency: Option<&Currency>,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<RewardSettings> {
        let mut sound = true;
        let mut add = |key: &str, what: String| {
            sound = false;
            add(&format!("rewards.{key}"), what);
        };
        let mut amount = |key: &str, text: &Option<String>| {
            let (Some(text), Some(currency)) = (text, currency) else { return None };
            minor_units(text, currency).map_err(|what| add(key, what)).ok()
        };
        let player_day_amount = amount("player_day_amount", &self.player_day_amount);
        let source_hour_amount = amount("source_hour_amount", &self.source_hour_amount);
        let player_day = Cap { count: self.player_day_count.map(i64::from), amount: player_day_amount };
        let source_hour = Cap { count: self.source_hour_count.map(i64::from), amount: source_hour_amount };
        let mut schemas = BTreeMap::new();
        for (name, schema) in &self.schemas {
            match KINDS.into_iter().find(|kind| kind.as_str() == name) {
                Some(kind) => drop(schemas.insert(kind, schema.clone())),
                None => add(&join("schemas", name), unknown_kind(name)),
            }
        }
        let limited = player_day.is_some() || source_hour.is_some();
        let limits = currency.filter(|_| limited).map(|currency| Limits {
            currency: currency.code.clone(),
            player_day,
            source_hour,
        });
        sound.then_some(RewardSettings { limits, schemas })
    }
}

fn unknown_kind(name: &str) -> String {
    let kinds = KINDS.map(GrantKind::as_str);
    let hint = nearest(name, kinds).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("{name:?} is not one of {}{hint}", kinds.join(", "))
}

fn minor_units(text: &str, currency: &Currency) -> Result<i64, String> {
    match parse_major(text, currency.exponent) {
        Err(error) => Err(error.to_string()),
        Ok(ParsedAmount { minor_units, rounded: true }) => {
            let near = format_major(minor_units, currency.exponent);
            Err(format!("{text:?} is finer than {}; write {near:?}", currency.code))
        }
        Ok(ParsedAmount { minor_units, .. }) => Ok(minor_units),
    }
}

impl Serialize for SchemaText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.file {
            Some(file) => BTreeMap::from([("file", file)]).serialize(serializer),
            None => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for SchemaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Asks for a text, so that a variable's JSON is taken as it is; a table arrives all the same.
        deserializer.deserialize_str(SchemaVisitor)
    }
}

struct SchemaVisitor;

impl<'de> Visitor<'de> for SchemaVisitor {
    type Value = SchemaText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON Schema as text or { file = \"path\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SchemaText, E> {
        Ok(SchemaText { text: text.to_owned(), file: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SchemaText, A::Error> {
        let mut schema = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "file" {
                return Err(de::Error::unknown_field(&key, &["file"]));
            }
            let path: String = map.next_value()?;
            schema = Some(read_file(path).map_err(de::Error::custom)?);
        }
        schema.ok_or_else(|| de::Error::missing_field("file"))
    }
}

/// Reads a schema's file; relative paths are relative to the working directory, as those of secrets.
fn read_file(path: String) -> Result<SchemaText, String> {
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(SCHEMA_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot read the schema {path}: {error}")),
        Ok(_) if text.len() as u64 > SCHEMA_BYTES_MAX => {
            Err(format!("cannot read the schema {path}: it is larger than {SCHEMA_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(SchemaText { text, file: Some(path) }),
    }
}
