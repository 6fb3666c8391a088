//! Stored words and digests, read back as what they stand for; and strangers' texts, made fit to be stored.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use crate::{Error, Result};

/// A stored value that this version does not know.
pub(crate) fn unknown(what: &'static str) -> Error {
    Error::Stored { what, source: "a value that this version does not know".into() }
}

/// Reads a word through its parser.
pub(crate) fn word<T>(row: &Row, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(row.try_get(column)?).ok_or_else(|| unknown(column))
}

/// Reads a word that may be null through its parser.
pub(crate) fn optional_word<T>(
    row: &Row,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(text).ok_or_else(|| unknown(column))).transpose()
}

/// Reads a SHA-256.
pub(crate) fn digest(row: &Row, column: &'static str) -> Result<Option<[u8; 32]>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| unknown(column))).transpose()
}

/// A stranger's text as the database can keep it: without NUL, which PostgreSQL's texts do not take, and of at
/// most `chars_max` characters.
pub(crate) fn storable(text: &str, chars_max: usize) -> Cow<'_, str> {
    let kept = text.char_indices().nth(chars_max).and_then(|(end, _)| text.get(..end));
    let kept = kept.unwrap_or(text);
    if kept.contains('\0') { Cow::Owned(kept.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(kept) }
}

/// The longest key of an index that strangers have a part in, in bytes. An entry of a b-tree ends at 2,704.
const KEY_BYTES_MAX: usize = 1_000;
/// What is left to read of a longer one.
const KEY_CHARS_KEPT: usize = 100;

/// A permanent key that fits into an index: as it is, or its beginning with the SHA-256 of the whole. Equal
/// keys stay equal, and different ones different.
pub(crate) fn bounded_key(key: &str) -> Cow<'_, str> {
    if key.len() <= KEY_BYTES_MAX && !key.contains('\0') {
        return Cow::Borrowed(key);
    }
    let digest: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("{}/sha256:{digest}", storable(key, KEY_CHARS_KEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_cut_between_characters_and_without_nul() {
        assert_eq!(storable("a\0é", 3), "a\u{FFFD}é");
        assert_eq!(storable("ééé", 2), "éé");
        assert_eq!(storable("", 0), "");
    }

    #[test]
    fn keys_stay_different_and_short_ones_stay_as_they_are() {
        let long = "é".repeat(KEY_BYTES_MAX);
        let (one, two) = (format!("{long}1"), format!("{long}2"));
        assert_eq!(bounded_key("stats/s/m1"), "stats/s/m1");
        assert_eq!(bounded_key(&one), bounded_key(&one));
        assert_ne!(bounded_key(&one), bounded_key(&two));
        assert_ne!(bounded_key("a\0"), bounded_key("a\u{FFFD}"));
        assert!(bounded_key(&one).len() < KEY_BYTES_MAX);
    }
}
