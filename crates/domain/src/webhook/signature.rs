use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How old or how far ahead a `webhook-timestamp` may be at a receiver, in seconds: what the reference libraries allow.
pub const TOLERANCE_S: i64 = 300;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// The scheme of our signatures: HMAC-SHA256.
const SCHEME: &str = "v1";
/// The shortest and the longest key that the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A symmetric key of Standard Webhooks; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// Why a text is no key. It is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It begins otherwise; `whsk_` is a private key of another scheme.
    #[error("must begin with `whsec_`")]
    Prefix,
    /// What follows is no base64.
    #[error("must be base64 behind `whsec_`, with its padding")]
    Base64,
    /// The key is too short to be safe, or longer than receivers take.
    #[error("must be 24 to 64 bytes, and is {0}")]
    Length(usize),
}

/// Why a receiver must not believe a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is no whole number of seconds.
    #[error("the webhook-timestamp is no number of seconds since 1970")]
    Timestamp,
    /// It was signed too long ago: somebody may send again what was overheard.
    #[error("the webhook-timestamp is more than {TOLERANCE_S} s old")]
    Old,
    /// It claims to come from the future.
    #[error("the webhook-timestamp is more than {TOLERANCE_S} s ahead")]
    Ahead,
    /// There is no signature of the scheme that we know.
    #[error("there is no `v1` signature")]
    NoSignature,
    /// No signature fits any key.
    #[error("no signature fits")]
    Mismatch,
}

impl SigningKey {
    /// Reads a secret as studios and operators have it: `whsec_` and the key in base64.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(secret: &str) -> Result<Self, KeyError> {
        let encoded = secret.strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| KeyError::Base64)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(KeyError::Length(key.len())) }
    }

    /// The secret for a key, as it is given to a studio.
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn secret_of(key: &[u8]) -> Result<String, KeyError> {
        if KEY_BYTES.contains(&key.len()) {
            Ok(format!("{PREFIX}{}", STANDARD.encode(key)))
        } else {
            Err(KeyError::Length(key.len()))
        }
    }

    /// The HMAC of what is signed: the id, the time of the attempt and the body, with points between them.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        // An HMAC takes a key of any length, so there always is one.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The `webhook-signature` of a webhook: one signature for each key, with spaces between them, so that a receiver
/// needs only one of them while they are rotated.
pub fn sign(keys: &[SigningKey], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let timestamp = timestamp_s.to_string();
    let signature = |key: &SigningKey| {
        let mac = key.mac(id, &timestamp, body)?;
        Some(format!("{SCHEME},{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(signature).collect::<Vec<_>>().join(" ")
}

/// Checks a webhook as a receiver does: the signature of any of its keys over the bytes as they came, in constant
/// time, and the time of the attempt within [`TOLERANCE_S`] of `now_s`.
///
/// # Errors
/// [`VerifyError`]; the time is judged first, because an old webhook with a good signature is refused as well.
pub fn verify(
    keys: &[SigningKey],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now_s: i64,
) -> Result<(), VerifyError> {
    let sent_s: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    if sent_s < now_s.saturating_sub(TOLERANCE_S) {
        return Err(VerifyError::Old);
    }
    if sent_s > now_s.saturating_add(TOLERANCE_S) {
        return Err(VerifyError::Ahead);
    }
    let ours = |signature: &str| {
        let (scheme, encoded) = signature.split_once(',')?;
        // What is no base64 fits no key.
        (scheme == SCHEME).then(|| STANDARD.decode(encoded).unwrap_or_default())
    };
    let given: Vec<Vec<u8>> = signatures.split(' ').filter_map(ours).collect();
    if given.is_empty() {
        return Err(VerifyError::NoSignature);
    }
    let fits = |key: &SigningKey, tag: &[u8]| {
        key.mac(id, timestamp, body).is_some_and(|mac| mac.verify_slice(tag).is_ok())
    };
    if given.iter().any(|tag| keys.iter().any(|key| fits(key, tag))) {
        Ok(())
    } else {
        Err(VerifyError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the reference libraries.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn key() -> SigningKey {
        SigningKey::parse(SECRET).unwrap()
    }

    #[test]
    fn the_vector_of_the_specification_holds_both_ways() {
        assert_eq!(sign(&[key()], ID, AT, BODY), SIGNATURE);
        assert_eq!(verify(&[key()], ID, "1649367553", SIGNATURE, BODY, AT), Ok(()));
    }

    #[test]
    fn while_keys_are_rotated_either_is_enough() {
        let other = SigningKey::parse(&SigningKey::secret_of(&[7; 24]).unwrap()).unwrap();
        let both = sign(&[other.clone(), key()], ID, AT, BODY);
        assert_eq!(both.split(' ').count(), 2);
        let at = AT.to_string();
        for keys in [vec![key()], vec![other.clone()], vec![key(), other.clone()]] {
            assert_eq!(verify(&keys, ID, &at, &both, BODY, AT), Ok(()));
        }
        assert_eq!(verify(&[other], ID, &at, SIGNATURE, BODY, AT), Err(VerifyError::Mismatch));
    }

    #[test]
    fn what_was_changed_on_the_way_is_not_believed() {
        let at = AT.to_string();
        let check = |id: &str, at: &str, signatures: &str, body: &[u8], now: i64| {
            verify(&[key()], id, at, signatures, body, now)
        };
        assert_eq!(check("msg_other", &at, SIGNATURE, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, "1649367554", SIGNATURE, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, &at, SIGNATURE, b"{}", AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, &at, "v1,AAAA", BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, &at, "v1,not base64", BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, &at, "v1a,AAAA v2,AAAA", BODY, AT), Err(VerifyError::NoSignature));
        assert_eq!(check(ID, &at, "", BODY, AT), Err(VerifyError::NoSignature));
        assert_eq!(check(ID, "soon", SIGNATURE, BODY, AT), Err(VerifyError::Timestamp));
        let tolerated = [(0, Ok(())), (300, Ok(())), (301, Err(VerifyError::Old)), (-300, Ok(()))];
        for (late, expected) in tolerated.into_iter().chain([(-301, Err(VerifyError::Ahead))]) {
            assert_eq!(check(ID, &at, SIGNATURE, BODY, AT + late), expected, "{late}");
        }
        // Schemes that we do not know stand beside ours without harm.
        assert_eq!(check(ID, &at, &format!("v1a,AAAA {SIGNATURE}"), BODY, AT), Ok(()));
    }

    #[test]
    fn a_secret_that_others_would_not_take_is_refused() {
        assert_eq!(SigningKey::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), Err(KeyError::Prefix));
        assert_eq!(SigningKey::parse("whsk_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), Err(KeyError::Prefix));
        assert_eq!(SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7o"), Err(KeyError::Base64));
        assert_eq!(SigningKey::parse("whsec_c2hvcnQ="), Err(KeyError::Length(5)));
        assert_eq!(SigningKey::secret_of(&[0; 65]), Err(KeyError::Length(65)));
        assert_eq!(format!("{:?}", key()), "SigningKey");
    }
}
