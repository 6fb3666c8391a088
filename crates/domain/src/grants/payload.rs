use serde_json::Value;

use super::grant::{Objection, ReviewReason};

/// The longest payload of a grant, in bytes. A player's client writes it, and every grant keeps it and
/// sends it to the studio; a SKU with its options needs some hundred.
pub const MAX_PAYLOAD_BYTES: usize = 8 * 1024;

/// The most digits of a number's exponent: PostgreSQL's `numeric` ends beyond 131,072 digits.
const MAX_EXPONENT_DIGITS: usize = 3;

/// The most whole digits of a number: 64 bits hold any of so many, and a notice must not round what the
/// studio sent along as an id.
const MAX_WHOLE_DIGITS: usize = 18;

/// The payload in `metadata` as a JSON text that the database can keep, or why there is none. An absent or
/// blank one is no payload and no flaw.
pub(super) fn judge(metadata: Option<&str>) -> Result<Option<String>, Objection> {
    let Some(text) = metadata.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > MAX_PAYLOAD_BYTES {
        let detail = format!("{} bytes, of which {MAX_PAYLOAD_BYTES} are kept at most", text.len());
        return Err(Objection { reason: ReviewReason::PayloadTooLarge, detail: Some(detail) });
    }
    // The parser's words name a place and quote nothing.
    let value: Value = serde_json::from_str(text).map_err(|error| Objection {
        reason: ReviewReason::PayloadNotJson,
        detail: Some(error.to_string()),
    })?;
    if has_nul(&value) || has_endless_number(text) {
        return Err(ReviewReason::PayloadNotStorable.into());
    }
    Ok(if value.is_null() { None } else { Some(text.to_owned()) })
}

/// True when a text or key in `value` holds a NUL, which `jsonb` refuses. The depth is bounded by the
/// parser's limit of 128.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// True when a number in the JSON text has an exponent that `numeric` may not hold (`1e-99999` is zero to
/// a parser of doubles, and an error to `jsonb`), or so many whole digits that a reader would round it.
fn has_endless_number(json: &str) -> bool {
    let mut in_text = false;
    let mut escaped = false;
    let mut part = Part::None;
    for c in json.bytes() {
        if in_text {
            in_text = escaped || c != b'"';
            escaped = !escaped && c == b'\\';
            continue;
        }
        in_text = c == b'"';
        part = match (c, part) {
            // The last letter of `true` and `false` starts no exponent: no digit follows it.
            (b'e' | b'E', _) => Part::Exponent(0),
            (b'+' | b'-', Part::Exponent(0)) => Part::Exponent(0),
            (b'0'..=b'9', Part::Exponent(digits)) => Part::Exponent(digits.saturating_add(1)),
            (b'0'..=b'9', Part::Whole(digits)) => Part::Whole(digits.saturating_add(1)),
            (b'0'..=b'9', Part::None) => Part::Whole(1),
            (b'.', _) | (b'0'..=b'9', Part::Fraction) => Part::Fraction,
            _ => Part::None,
        };
        match part {
            Part::Exponent(digits) if digits > MAX_EXPONENT_DIGITS => return true,
            Part::Whole(digits) if digits > MAX_WHOLE_DIGITS => return true,
            _ => {}
        }
    }
    false
}

/// Which part of a number the text is in, with its digits so far.
#[derive(Clone, Copy)]
enum Part {
    None,
    Whole(usize),
    Fraction,
    Exponent(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_along_is_kept_only_when_the_database_can() {
        let long = format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES));
        let deep = "[".repeat(200);
        let table: [(&str, Result<Option<&str>, ReviewReason>); 16] = [
            ("", Ok(None)),
            ("null", Ok(None)),
            (" {} ", Ok(Some("{}"))),
            (r#"{"sku":"drink","qty":1}"#, Ok(Some(r#"{"sku":"drink","qty":1}"#))),
            (r#"{"note":"take\"e99999\""}"#, Ok(Some(r#"{"note":"take\"e99999\""}"#))),
            ("[true,1e3,1E-300]", Ok(Some("[true,1e3,1E-300]"))),
            (
                "[123456789012345678,0.30000000000000004]",
                Ok(Some("[123456789012345678,0.30000000000000004]")),
            ),
            ("[1,-1234567890123456789]", Err(ReviewReason::PayloadNotStorable)),
            ("{", Err(ReviewReason::PayloadNotJson)),
            ("NaN", Err(ReviewReason::PayloadNotJson)),
            (r#""\ud800""#, Err(ReviewReason::PayloadNotJson)),
            (r#"{"a\u0000":1}"#, Err(ReviewReason::PayloadNotStorable)),
            (r#"["x",{"a":"\u0000"}]"#, Err(ReviewReason::PayloadNotStorable)),
            ("[1e-99999]", Err(ReviewReason::PayloadNotStorable)),
            (&long, Err(ReviewReason::PayloadTooLarge)),
            (&deep, Err(ReviewReason::PayloadNotJson)),
        ];
        for (text, expected) in table {
            let got = judge(Some(text)).map_err(|objection| objection.reason);
            assert_eq!(got.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{text:.40}");
        }
        assert_eq!(judge(None), Ok(None));
        let words = |text: &str| judge(Some(text)).unwrap_err().detail.unwrap();
        assert_eq!(words("{\"sku\":drink}"), "expected value at line 1 column 8");
        assert_eq!(words(&long), "8194 bytes, of which 8192 are kept at most");
    }
}
