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

use std::fmt;

use matchpurse_domain::money::{Currency, Money, parse_major};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use crate::normalized::NormalizeError;

/// The longest id that is taken, in characters. The providers' are UUIDs or numbers; the bound keeps an
/// index entry of the database far below its limit.
pub(crate) const ID_CHARS_MAX: usize = 200;

/// Error texts show at most this many characters of what a provider sent.
const CLIP_CHARS: usize = 120;

/// Reads the whole body as `T`. Errors name the field as a path from the root, or `body`.
///
/// # Errors
/// [`NormalizeError`]: no UTF-8, no JSON, another shape, something after the end.
pub(crate) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, NormalizeError> {
    let text = std::str::from_utf8(body)
        .map_err(|e| wrong("body", &format!("no UTF-8 from byte {} on", e.valid_up_to())))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        wrong(&field_of(&e.path().to_string(), &e.inner().to_string()), &e.inner().to_string())
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

fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The same for JSON inside a text: whoever reads it later would find the character then.
fn without_nul_escapes(json: &str) -> String {
    let mut kept = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        kept.push_str(before);
        kept.push('\\');
        // What stands behind a backslash belongs to it: a second one is no beginning.
        let escape = after.chars().next().map_or(0, char::len_utf8);
        let (escape, behind) = after.split_at_checked(escape).unwrap_or((after, ""));
        match after.strip_prefix("u0000") {
            Some(behind) => {
                kept.push_str("ufffd");
                rest = behind;
            }
            None => {
                kept.push_str(escape);
                rest = behind;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// JSON without the white space between its tokens, and without escaped U+0000. It works on the text, so
/// numbers keep their digits and objects their order; it does not recurse, so depth does not matter.
pub(crate) fn compact(json: &str) -> String {
    let mut shorter = String::with_capacity(json.len());
    let mut rest = json;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let token = match c {
            // An escape is copied whole, so that an escaped quote does not end the string.
            '\\' if in_string => rest.get(..2).unwrap_or(rest),
            _ => rest.get(..c.len_utf8()).unwrap_or(rest),
        };
        match rest.strip_prefix("\\u0000") {
            Some(behind) if in_string => {
                shorter.push_str("\\ufffd");
                rest = behind;
                continue;
            }
            _ => rest = rest.get(token.len()..).unwrap_or_default(),
        }
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' => in_string = !in_string,
            _ => {}
        }
        shorter.push_str(token);
    }
    shorter
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        id: Id,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        amount: Option<DecimalText>,
        metadata: Option<JsonText>,
        app: Option<LooseId>,
        name: Option<Text>,
    }

    /// The error, without the line and column that serde adds.
    fn error(body: &[u8]) -> String {
        let shown = read::<Outer>(body).unwrap_err().to_string();
        shown.split(" at line ").next().unwrap().to_owned()
    }

    #[test]
    fn every_form_of_a_field_is_read() {
        let outer: Outer = read(
            br#"{"id": "a", "unknown": {"x": [1e999]}, "inner": [
                {"amount": 28.499999999999996, "metadata": {"a" : "b c\" d", "n": 1.50}, "app": 2, "name": "x\u0000y"},
                {"amount": "10.00", "metadata": "{\"a\": 1}", "app": "2", "name": null},
                {"amount": null, "metadata": null}]}"#,
        )
        .unwrap();
        let inner =
            |amount: Option<&str>, metadata: Option<&str>, app: Option<&str>, name: Option<&str>| Inner {
                amount: amount.map(|t| DecimalText(t.to_owned())),
                metadata: metadata.map(|t| JsonText(t.to_owned())),
                app: app.map(|t| LooseId(t.to_owned())),
                name: name.map(|t| Text(t.to_owned())),
            };
        assert_eq!(
            outer.inner,
            [
                inner(
                    Some("28.499999999999996"),
                    Some(r#"{"a":"b c\" d","n":1.50}"#),
                    Some("2"),
                    Some("x\u{fffd}y")
                ),
                inner(Some("10.00"), Some(r#"{"a": 1}"#), Some("2"), None),
                inner(None, None, None, None),
            ]
        );
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(error(b"\xff"), "body: no UTF-8 from byte 0 on");
        assert_eq!(error(b""), "body: EOF while parsing a value");
        assert_eq!(error(b"\xef\xbb\xbf{}"), "body: expected value");
        assert_eq!(error(br#"{"id":"a"} x"#), "body: trailing characters");
        assert_eq!(error(br#"{"id":""}"#), "id: the id is empty");
        assert_eq!(error(br#"{"id":"a", x}"#), "body: key must be a string");
        assert_eq!(error(br#"{"inner":[{...}]}"#), "inner[0]: key must be a string");
        assert_eq!(error(br#"{"id":"a\nb"}"#), "id: the id has a control character in it");
        assert_eq!(error(br#"{"id":"a","id":"b"}"#), "id: duplicate field `id`");
        assert_eq!(error(br#"{}"#), "id: missing field `id`");
        assert_eq!(
            error(br#"{"id":"a","inner":[{},{"amount":true}]}"#),
            "inner[1].amount: expected a number or a string that holds one"
        );
        assert_eq!(
            error(br#"{"id":"a","inner":[{"app":2,"app":2}]}"#),
            "inner[0].app: duplicate field `app`"
        );
        assert_eq!(
            error(br#"{"id":"a","inner":[{"app":1.5}]}"#),
            "inner[0].app: expected a string or a whole number"
        );
        assert_eq!(error(br#"{"id":"a","inner":[{"amount":NaN}]}"#), "inner[0].amount: expected value");
        assert!(error(format!(r#"{{"id":"{}"}}"#, "x".repeat(201)).as_bytes()).contains("longer than 200"));
    }

    #[test]
    fn errors_show_little_of_what_was_sent() {
        let long = format!(r#"{{"id":"a","inner":"{}"}}"#, "secret ".repeat(100));
        assert!(error(long.as_bytes()).len() < 200);
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!(r#"{{"id":"a","unknown":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(read::<Outer>(deep.as_bytes()).is_ok());
        let deep =
            format!(r#"{{"id":"a","inner":[{{"metadata":{}{}}}]}}"#, "[ ".repeat(10_000), "]".repeat(10_000));
        let outer: Outer = read(deep.as_bytes()).unwrap();
        assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0.len(), 20_000);
    }

    #[test]
    fn half_a_surrogate_pair_is_kept_as_its_json() {
        let outer: Outer = read(br#"{"id":"a","inner":[{"metadata":"\ud800"}]}"#).unwrap();
        assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0, r#""\ud800""#);
    }

    #[test]
    fn no_nul_is_left_for_whoever_reads_the_json_later() {
        assert_eq!(compact(r#"{"a": "\u0000\\u0000\\\u0000"}"#), r#"{"a":"\ufffd\\u0000\\\ufffd"}"#);
        assert_eq!(without_nul_escapes("ends with \\"), "ends with \\");
        let outer: Outer = read(br#"{"id":"a","inner":[{"metadata":"{\"a\":\"\\u0000\u0000\"}"}]}"#).unwrap();
        assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0, "{\"a\":\"\\ufffd\u{fffd}\"}");
    }

    #[test]
    fn amounts_become_minor_units() {
        let currency = Currency::new("USD", None).unwrap();
        let mut rounded = false;
        let read = |text: &str, rounded: &mut bool| {
            DecimalText(text.to_owned()).money(&currency, rounded, || "a.b[0]".to_owned())
        };
        assert_eq!(read("10", &mut rounded).unwrap().minor_units, 1000);
        assert!(!rounded);
        assert_eq!(read("28.499999999999996", &mut rounded).unwrap().minor_units, 2850);
        assert!(rounded);
        assert_eq!(
            read("12,50", &mut rounded).unwrap_err().to_string(),
            r#"a.b[0]: "12,50" is not a decimal number"#
        );
    }

    #[test]
    fn compact_json_has_no_nul_in_any_spelling() {
        assert_eq!(
            compact(r#"{ "a\u0000" : "\\u0000 \\\u0000\"\u0000" }"#),
            r#"{"a\ufffd":"\\u0000 \\\ufffd\"\ufffd"}"#
        );
    }

    proptest::proptest! {
        #[test]
        fn compact_json_means_the_same(text in proptest::collection::vec("[^\0]{0,10}", 0..5)) {
            let pretty = serde_json::to_string_pretty(&text).unwrap();
            proptest::prop_assert_eq!(compact(&pretty), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            drop(read::<Outer>(&body));
            if let Ok(text) = std::str::from_utf8(&body) {
                drop(compact(text));
                drop(without_nul_escapes(text));
            }
        }
    }
}
