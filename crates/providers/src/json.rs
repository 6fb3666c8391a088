//! Reading JSON bodies: shapes by serde, errors with the path of the field.
//!
//! The types here are for wire structs. Each checks itself while it is read, so that an error names its
//! field without anybody passing paths around; only amounts are finished later, because the number of
//! decimal places comes from the source. None of them is wrapped in `Option` inside: a field that may be
//! missing or null is an `Option` in the wire struct.
//!
//! What JSON leaves open is decided so: a key that stands twice in an object that we read is an error, so
//! are a byte order mark, `NaN`, and bytes that are no UTF-8. Unknown fields are skipped, however deep.
//! U+0000, which is allowed in JSON but not in PostgreSQL's texts, becomes U+FFFD.

mod nul;
mod problem;

#[cfg(test)]
mod tests;

use std::fmt;

use matchpurse_domain::money::{Currency, Money, parse_major};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use crate::normalized::NormalizeError;

pub(crate) use nul::compact;
use nul::{without_nul, without_nul_escapes};

/// The longest id that is taken, in characters. The providers' are UUIDs or numbers; the bound keeps an
/// index entry of the database far below its limit.
pub(crate) const ID_CHARS_MAX: usize = 200;

/// Error texts show at most this many characters of what a provider sent.
const CLIP_CHARS: usize = 120;

/// Reads the whole body as `T`. Errors name the field as a path from the root, or `body`, and never quote
/// what stood there: it may be a secret.
///
/// # Errors
/// [`NormalizeError`]: no UTF-8, no JSON, another shape, something after the end.
pub(crate) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, NormalizeError> {
    let text = std::str::from_utf8(body)
        .map_err(|e| wrong("body", &format!("no UTF-8 from byte {} on", e.valid_up_to())))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let problem = problem::without_values(&e.inner().to_string());
        wrong(&field_of(&e.path().to_string(), &problem), &problem)
    })?;
    json.end().map_err(|e| wrong("body", &e.to_string()))?;
    Ok(value)
}

/// The path of the field that an error is about. serde finds a missing or doubled field at its parent, and
/// names it in the message only.
fn field_of(path: &str, problem: &str) -> String {
    let named = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|words| problem.strip_prefix(words)?.split_once('`'))
        .map(|(name, _)| name);
    // The path of a broken key ends in a question mark, because the key has no name yet.
    let path = path.strip_suffix('?').map_or(path, |parent| parent.trim_end_matches('.'));
    match (if path.is_empty() { "." } else { path }, named) {
        (".", None) => "body".to_owned(),
        (".", Some(name)) => name.to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(name)) => format!("{path}.{name}"),
    }
}

/// An error at a field, with what the provider sent cut short.
pub(crate) fn wrong(field: &str, problem: &str) -> NormalizeError {
    NormalizeError { field: clip(field), problem: clip(problem) }
}

/// The text, cut to what an error or a reason may show, on one line.
pub(crate) fn clip(text: &str) -> String {
    let mut shown: String = text.chars().take(CLIP_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.replace(char::is_control, "\u{fffd}")
}

/// An id that is a JSON string: not empty, at most [`ID_CHARS_MAX`] characters, none of them a control
/// character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id(String);

/// An id that is a JSON string or a whole number, whose digits it keeps; otherwise like [`Id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LooseId(String);

/// A text of any length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text(String);

/// Any JSON value as a text: a string as it is, everything else as its JSON without white space. For
/// fields that are sent now as an object, now as a string that holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonText(String);

/// A number as it stood in the JSON, or a string that holds one; see [`DecimalText::money`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecimalText(String);

impl Id {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl LooseId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// The text, unless it is empty; the wire cannot tell an empty text from none.
    pub(crate) fn into_non_empty(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

impl JsonText {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, unless it is empty; the wire cannot tell an empty text from none.
    pub(crate) fn into_non_empty(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

impl DecimalText {
    /// The number as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount in major units of `currency`; `rounded` becomes true when it was a hair off, see
    /// [`parse_major`].
    ///
    /// # Errors
    /// [`NormalizeError`] at `field`: no number, negative, too fine, too large.
    pub(crate) fn money(
        &self,
        currency: &Currency,
        rounded: &mut bool,
        field: impl FnOnce() -> String,
    ) -> Result<Money, NormalizeError> {
        money(&self.0, currency, rounded, field)
    }
}

/// Like [`DecimalText::money`], for an amount that came in a text field.
///
/// # Errors
/// [`NormalizeError`] at `field`.
pub(crate) fn money(
    text: &str,
    currency: &Currency,
    rounded: &mut bool,
    field: impl FnOnce() -> String,
) -> Result<Money, NormalizeError> {
    let amount = parse_major(text, currency.exponent).map_err(|e| wrong(&field(), &e.to_string()))?;
    *rounded |= amount.rounded;
    Ok(Money::new(amount.minor_units, currency.code.clone()))
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        check_id(String::deserialize(from)?).map(Self)
    }
}

impl<'de> Deserialize<'de> for LooseId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match scalar(<&RawValue>::deserialize(from)?) {
            Scalar::Text(text) => check_id(text).map(Self),
            Scalar::Number(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
                check_id(digits.to_owned()).map(Self)
            }
            _ => Err(D::Error::custom("expected a string or a whole number")),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(without_nul(text)))
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        Ok(Self(match scalar(raw) {
            Scalar::Text(text) => without_nul_escapes(&without_nul(text)),
            _ => compact(raw.get()),
        }))
    }
}

impl<'de> Deserialize<'de> for DecimalText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match scalar(<&RawValue>::deserialize(from)?) {
            Scalar::Text(text) => Ok(Self(without_nul(text))),
            Scalar::Number(number) => Ok(Self(number.to_owned())),
            Scalar::Other => Err(D::Error::custom("expected a number or a string that holds one")),
        }
    }
}

/// For `deserialize_with`: an id that may also be null or empty, which says as little.
///
/// # Errors
/// As for an [`Id`] that is not empty.
pub(crate) fn id_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Id>, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) if !text.is_empty() => check_id(text).map(|id| Some(Id(id))),
        _ => Ok(None),
    }
}

/// For `deserialize_with`: like [`id_or_none`], for an id that may be a number.
///
/// # Errors
/// As for a [`LooseId`] that is not empty.
pub(crate) fn loose_id_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LooseId>, D::Error> {
    match Option::<&RawValue>::deserialize(from)? {
        Some(raw) if raw.get() != "\"\"" => LooseId::deserialize(raw).map(Some).map_err(D::Error::custom),
        _ => Ok(None),
    }
}

/// A JSON value, as far as it is one string or one number.
enum Scalar<'r> {
    Text(String),
    Number(&'r str),
    Other,
}

fn scalar(raw: &RawValue) -> Scalar<'_> {
    let text = raw.get();
    match text.bytes().next() {
        // A string with half a surrogate pair passes the parser's skipping, but is no text.
        Some(b'"') => serde_json::from_str(text).map_or(Scalar::Other, Scalar::Text),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(text),
        _ => Scalar::Other,
    }
}

fn check_id<E: Error>(text: String) -> Result<String, E> {
    if text.is_empty() {
        Err(E::custom("the id is empty"))
    } else if text.chars().count() > ID_CHARS_MAX {
        Err(E::custom(format_args!("the id is longer than {ID_CHARS_MAX} characters")))
    } else if text.chars().any(char::is_control) {
        Err(E::custom("the id has a control character in it"))
    } else {
        Ok(text)
    }
}
