//! Usual mistakes in checking a signature.
//!
//! An endpoint that refuses what is signed correctly is asked again with signatures as they would be if it were right:
//! the one that it takes shows what it does wrong.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::delivery::Delivery;
use crate::secret::EndpointSecret;

/// What an endpoint takes instead of a correct signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The same again: it does not always decide in the same way.
    Unsteady,
    /// It computes another signature than we do.
    Signature(Key, Signed, Written),
    /// It takes the timestamp for milliseconds.
    Milliseconds,
    /// It signs not the bytes that came, but the JSON as its own library writes it.
    Rewritten(Rewriting),
    /// It signs an empty body.
    Empty,
    /// It signs what JavaScript makes of an object as text.
    ObjectText,
}

/// How libraries write JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewriting {
    /// With a space behind each comma and colon.
    Spaced,
    /// With the members in the order of their names.
    Sorted,
    SortedSpaced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Decoded,
    /// The text with `whsec_`.
    Text,
    /// The text behind `whsec_`.
    Encoded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    IdTimeBody,
    TimeBody,
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// `v1,` and base64.
    Listed,
    /// `v1,` and hexadecimal digits.
    ListedHex,
    Base64,
    Hex,
    /// `sha256=` and hexadecimal digits.
    PrefixedHex,
}

impl Mistake {
    /// All of them, those first that are fewer at once.
    pub(crate) fn all() -> Vec<Self> {
        use self::{Key as K, Signed as S, Written as W};
        let mut signatures = Vec::new();
        for key in [K::Decoded, K::Text, K::Encoded] {
            for signed in [S::IdTimeBody, S::TimeBody, S::Body] {
                for written in [W::Listed, W::ListedHex, W::Base64, W::Hex, W::PrefixedHex] {
                    let parts = [key != K::Decoded, signed != S::IdTimeBody, written != W::Listed];
                    let wrong = parts.into_iter().filter(|wrong| *wrong).count();
                    if wrong > 0 {
                        signatures.push((wrong, Self::Signature(key, signed, written)));
                    }
                }
            }
        }
        signatures.sort_by_key(|(wrong, _)| *wrong);
        let signatures = signatures.into_iter().map(|(_, mistake)| mistake);
        let rewritten = [Rewriting::Spaced, Rewriting::Sorted, Rewriting::SortedSpaced].map(Self::Rewritten);
        let bodies = [Self::Empty, Self::ObjectText].into_iter().chain(rewritten);
        [Self::Unsteady, Self::Milliseconds].into_iter().chain(bodies).chain(signatures).collect()
    }

    /// A delivery that an endpoint takes which makes this mistake and no other.
    pub(crate) fn delivery(self, secret: &EndpointSecret, id: String, at_s: i64, body: Bytes) -> Delivery {
        let key = secret.key();
        match self {
            Self::Unsteady => Delivery::signed(key, id, at_s, body),
            Self::Milliseconds => Delivery::signed(key, id, at_s.saturating_mul(1_000), body),
            Self::Rewritten(rewriting) => {
                let as_rewritten = Delivery::signed(key, id, at_s, rewriting.bytes(&body));
                Delivery { body, ..as_rewritten }
            }
            Self::Empty => Delivery { body, ..Delivery::signed(key, id, at_s, Bytes::new()) },
            Self::ObjectText => {
                Delivery { body, ..Delivery::signed(key, id, at_s, Bytes::from_static(b"[object Object]")) }
            }
            Self::Signature(key, signed, written) => {
                let correct = Delivery::signed(secret.key(), id.clone(), at_s, body.clone());
                let signature = key
                    .bytes(secret)
                    .and_then(|key| tag(&key, &signed.bytes(&id, at_s, &body)))
                    .map(|tag| written.text(&tag));
                Delivery { signature, ..correct }
            }
        }
    }

    /// What the endpoint does wrong, and what is right, in plain words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Unsteady => {
                "Sent once more under another id, the same was accepted: your side does not always decide in the \
                 same way. Look into its log for the first one."
                    .to_owned()
            }
            Self::Milliseconds => {
                "It was accepted with a webhook-timestamp in milliseconds. The header is in seconds: compare it with \
                 your clock in seconds."
                    .to_owned()
            }
            Self::Rewritten(_) => {
                "Your side parses the body and signs it as its own library writes it. Sign the bytes as they came, \
                 before anything parses them."
                    .to_owned()
            }
            Self::Empty => {
                "Your side signs an empty body: something has read it before (a JSON parser that comes first?), or \
                 it is not read at all. Keep the bytes as they came, and sign them."
                    .to_owned()
            }
            Self::ObjectText => {
                "Your side signs \"[object Object]\": the body was parsed before. Keep the bytes as they came \
                 (express.raw instead of express.json), and sign them."
                    .to_owned()
            }
            Self::Signature(key, signed, written) => {
                let words = [key.words(), signed.words(), written.words()];
                let words: Vec<&str> = words.into_iter().filter(|words| !words.is_empty()).collect();
                format!("Your side expects another signature. {}", words.join(" "))
            }
        }
    }
}

impl Rewriting {
    fn bytes(self, body: &Bytes) -> Bytes {
        match self {
            Self::Spaced => spaced(body),
            Self::Sorted => sorted(body),
            Self::SortedSpaced => spaced(&sorted(body)),
        }
    }
}

impl Key {
    fn bytes(self, secret: &EndpointSecret) -> Option<Vec<u8>> {
        let text = secret.text();
        let encoded = text.split_once('_').map_or(text, |(_, encoded)| encoded);
        match self {
            Self::Decoded => STANDARD.decode(encoded).ok(),
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Encoded => Some(encoded.as_bytes().to_vec()),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Decoded => "",
            Self::Text => {
                "It takes the whole text of the secret as key: take off \"whsec_\" and decode the rest from base64."
            }
            Self::Encoded => {
                "It takes the text behind \"whsec_\" as key: decode it from base64, the result is the key."
            }
        }
    }
}

impl Signed {
    fn bytes(self, id: &str, at_s: i64, body: &[u8]) -> Vec<u8> {
        let before = match self {
            Self::IdTimeBody => format!("{id}.{at_s}."),
            Self::TimeBody => format!("{at_s}."),
            Self::Body => String::new(),
        };
        [before.as_bytes(), body].concat()
    }

    fn words(self) -> &'static str {
        match self {
            Self::IdTimeBody => "",
            Self::TimeBody => {
                "It signs timestamp and body without the id: what is signed is webhook-id, a point, \
                 webhook-timestamp, a point, the body."
            }
            Self::Body => {
                "It signs the body alone: what is signed is webhook-id, a point, webhook-timestamp, a point, the body."
            }
        }
    }
}

impl Written {
    fn text(self, tag: &[u8]) -> String {
        match self {
            Self::Listed => format!("v1,{}", STANDARD.encode(tag)),
            Self::ListedHex => format!("v1,{}", hex::encode(tag)),
            Self::Base64 => STANDARD.encode(tag),
            Self::Hex => hex::encode(tag),
            Self::PrefixedHex => format!("sha256={}", hex::encode(tag)),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Listed => "",
            Self::ListedHex => "It compares with hexadecimal digits: the signature is in base64.",
            Self::Base64 => {
                "It compares with the whole header: the header is a list with spaces between, each \"v1,\" and base64."
            }
            Self::Hex | Self::PrefixedHex => {
                "It compares with hexadecimal digits: the header is a list with spaces between, each \"v1,\" and \
                 base64."
            }
        }
    }
}

fn tag(key: &[u8], signed: &[u8]) -> Option<Vec<u8>> {
    // An HMAC takes a key of any length, so there always is one.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).ok()?;
    mac.update(signed);
    Some(mac.finalize().into_bytes().to_vec())
}

/// The JSON with a space behind each comma and colon outside of texts, as some libraries write it.
fn spaced(body: &[u8]) -> Bytes {
    let mut spaced = Vec::with_capacity(body.len());
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        spaced.push(*byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b':' if !in_text => spaced.push(b' '),
            _ => {}
        }
    }
    spaced.into()
}

/// The JSON with the members of each object in the order of their names.
fn sorted(body: &Bytes) -> Bytes {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut text = String::with_capacity(body.len());
    write_sorted(&value, &mut text);
    text.into()
}

/// Whether a `Value` is sorted by itself depends on how `serde_json` is built.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, &Value> = members.iter().collect();
            text.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                write_sorted(item, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> EndpointSecret {
        EndpointSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()
    }

    fn of(mistake: Mistake) -> String {
        let body = Bytes::from_static(br#"{"email":"test@example.com","username":"test_user"}"#);
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".to_owned();
        mistake.delivery(&secret(), id, 1_649_367_553, body).signature.unwrap()
    }

    #[test]
    fn without_a_mistake_it_is_the_signature_of_the_specification() {
        let right = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(of(Mistake::Unsteady), right);
        assert_eq!(of(Mistake::Signature(Key::Decoded, Signed::IdTimeBody, Written::Listed)), right);
    }

    #[test]
    fn every_mistake_signs_otherwise_and_says_so() {
        let all = Mistake::all();
        assert_eq!(all.len(), 7 + 44);
        let mut signatures: Vec<String> = all.iter().copied().map(of).collect();
        signatures.sort_unstable();
        signatures.dedup();
        // The body of the specification is sorted already: one is the correct one, one the same with spaces.
        assert_eq!(signatures.len(), all.len() - 2);
        assert!(all.iter().all(|mistake| mistake.words().ends_with('.')));
    }

    #[test]
    fn spaces_come_behind_commas_and_colons_of_the_json_only() {
        let body = br#"{"a,b":"c:\"d,\\","e":[1,2]}"#;
        assert_eq!(&spaced(body)[..], br#"{"a,b": "c:\"d,\\", "e": [1, 2]}"#);
    }

    #[test]
    fn members_are_sorted_at_every_depth() {
        let body = Bytes::from_static(br#"{"b":[{"d":{},"c":"\""}],"a":[]}"#);
        assert_eq!(&sorted(&body)[..], br#"{"a":[],"b":[{"c":"\"","d":{}}]}"#);
    }
}
