//! Stored words and digests, read back as what they stand for.

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
