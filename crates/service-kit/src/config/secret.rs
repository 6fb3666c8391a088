//! Settings that must not be shown: given inline, or as `{ file = "/run/secrets/name" }`.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret is a line of text; a file beyond this, in bytes, is the wrong file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What stands for a secret wherever a configuration is shown.
const REDACTED: &str = "[redacted]";

/// A secret; never empty, never shown by `Debug` or when serialized.
#[derive(Clone)]
pub struct SecretValue(SecretString);

/// A URL that may carry a password; shown with the password replaced.
#[derive(Clone)]
pub struct SecretUrl(SecretValue);

impl SecretValue {
    /// A secret from its text; `None` when it is empty.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret in the wrapper that wipes its memory when dropped.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl SecretUrl {
    /// A URL from its text; `None` when it does not begin with a scheme and `://`.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let (scheme, _) = text.split_once("://")?;
        let scheme_ok = !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+');
        if scheme_ok { SecretValue::new(text).map(Self) } else { None }
    }

    /// The URL with its password.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The URL to show: the password, and whatever a query says about a password, replaced.
    pub fn redacted(&self) -> String {
        let (scheme, rest) = self.expose().split_once("://").unwrap_or_default();
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // The last `@` of all, not of the authority: an unescaped `/` or `?` in a password must not end it early.
        let host_start = rest.rfind('@').map_or(0, |at| at + 1);
        let (user_info, after) = rest.split_at(host_start);
        let user = user_info.split([':', '@']).next().unwrap_or_default();
        let user_info = match (user_info.contains(':'), host_start > authority_end) {
            (true, _) => format!("{user}:{REDACTED}@"),
            (false, true) => format!("{REDACTED}@"),
            (false, false) => user_info.to_owned(),
        };
        match after.split_once('?') {
            None => format!("{scheme}://{user_info}{after}"),
            Some((path, query)) => {
                let shown: Vec<String> = query.split('&').map(redacted_parameter).collect();
                format!("{scheme}://{user_info}{path}?{}", shown.join("&"))
            }
        }
    }
}

fn redacted_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={REDACTED}"),
        _ => parameter.to_owned(),
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Asks for a text, so that an environment variable's secret is taken verbatim even when it looks
        // like a number; a table arrives all the same.
        deserializer.deserialize_str(SecretVisitor)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secret = SecretValue::deserialize(deserializer)?;
        Self::new(secret.expose())
            .ok_or_else(|| de::Error::custom("not a URL: it must begin with `scheme://`"))
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret as text or { file = \"path\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretValue, E> {
        SecretValue::new(text).ok_or_else(|| E::custom("the secret is empty"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretValue, A::Error> {
        let mut secret = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "file" {
                return Err(de::Error::unknown_field(&key, &["file"]));
            }
            let path: String = map.next_value()?;
            secret = Some(read_secret(&path).map_err(de::Error::custom)?);
        }
        secret.ok_or_else(|| de::Error::missing_field("file"))
    }
}

/// Reads a secret's file; relative paths are relative to the working directory. Editors and `echo` end a
/// file with a newline that is no part of the secret.
fn read_secret(path: &str) -> Result<SecretValue, String> {
    let failed = |what: &dyn fmt::Display| format!("cannot read the secret file {path}: {what}");
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(failed(&format!("it is larger than {SECRET_BYTES_MAX} bytes")));
    }
    SecretValue::new(text.trim_end_matches(['\r', '\n']))
        .ok_or_else(|| format!("the secret file {path} is empty"))
}
