//! HMAC-SHA256 over the body as it came, in a header as hexadecimal digits.
//!
//! Several providers sign so; they differ in the header's name and in the word before the digits. There is
//! no time in what is signed, so a copy of a delivery verifies for ever: who applies the events must know
//! each of them again.

use hmac::{Hmac, KeyInit, Mac};
use matchpurse_domain::event::WhichKey;
use sha2::Sha256;

use crate::delivery::{Header, Headers};
use crate::keys::{KeyError, KeySet};
use crate::provider::VerifyError;

/// The length of a SHA-256 signature, in bytes; a shorter one would be easier to guess.
const SIGNATURE_LEN: usize = 32;

/// Where a provider puts its signature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheme {
    /// The header's name.
    pub(crate) header: &'static str,
    /// What stands before the digits.
    pub(crate) prefix: Prefix,
}

/// What stands before the digits of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing may.
    Bare,
    /// This word must: `sha256=`.
    Required(&'static str),
    /// This word may. It is sent when we sign.
    Optional(&'static str),
}

/// Checks that one of `keys` signed exactly these bytes, and says which.
///
/// # Errors
/// [`VerifyError`]: no key, the header missing, doubled or malformed, or no key that fits.
pub(crate) fn verify(
    scheme: Scheme,
    headers: &Headers,
    body: &[u8],
    keys: &KeySet,
) -> Result<WhichKey, VerifyError> {
    if keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    let signature = read_header(scheme, headers)?;
    // Every key is tried, also after one has fitted, so that the time taken does not tell which one it was.
    let mut verified = None;
    for (key, which) in keys.marked() {
        let fits = Hmac::<Sha256>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok());
        verified = verified.or(fits.then_some(which));
    }
    verified.ok_or(VerifyError::SignatureMismatch)
}

/// The header that vouches for `body`.
///
/// # Errors
/// When the key is empty, because such a signature proves nothing.
pub(crate) fn sign(scheme: Scheme, body: &[u8], key: &[u8]) -> Result<(&'static str, String), KeyError> {
    if key.is_empty() {
        return Err(KeyError("an empty key signs nothing".to_owned()));
    }
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|e| KeyError(e.to_string()))?;
    let digits = hex::encode(mac.chain_update(body).finalize().into_bytes());
    let prefix = match scheme.prefix {
        Prefix::Bare => "",
        Prefix::Required(prefix) | Prefix::Optional(prefix) => prefix,
    };
    Ok((scheme.header, format!("{prefix}{digits}")))
}

/// The signature's bytes. They are compared as bytes: the digits' case does not matter.
fn read_header(scheme: Scheme, headers: &Headers) -> Result<[u8; SIGNATURE_LEN], VerifyError> {
    let value = match headers.one(scheme.header) {
        Header::Missing => return Err(VerifyError::HeaderMissing),
        Header::Doubled => return Err(VerifyError::HeaderDoubled),
        Header::Once(value) => value,
    };
    let digits = match scheme.prefix {
        Prefix::Bare => value,
        Prefix::Required(prefix) => {
            value.strip_prefix(prefix.as_bytes()).ok_or(VerifyError::HeaderMalformed)?
        }
        Prefix::Optional(prefix) => value.strip_prefix(prefix.as_bytes()).unwrap_or(value),
    };
    let mut signature = [0; SIGNATURE_LEN];
    hex::decode_to_slice(digits, &mut signature).map_err(|_| VerifyError::HeaderMalformed)?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const PREFIXED: Scheme = Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Required("sha256=") };
    const BARE: Scheme = Scheme { header: "Signature", prefix: Prefix::Bare };
    const EITHER: Scheme = Scheme { header: "X-Hub-Signature-256", prefix: Prefix::Optional("sha256=") };
    /// The example of GitHub's page on validating deliveries, whose scheme this is.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn which(scheme: Scheme, values: &[&str], keys: &[&'static [u8]]) -> Result<WhichKey, VerifyError> {
        let headers = values.iter().map(|value| (scheme.header, *value)).collect();
        verify(scheme, &headers, BODY, &KeySet::new(keys.iter().map(|key| Bytes::from_static(key))))
    }

    fn check(scheme: Scheme, values: &[&str], keys: &[&'static [u8]]) -> Result<(), VerifyError> {
        which(scheme, values, keys).map(|_| ())
    }

    #[test]
    fn it_is_noted_which_key_it_was_and_nothing_of_what_it_is() {
        let place = |keys: &[&'static [u8]]| {
            let which = which(BARE, &[DIGITS], keys).unwrap();
            assert_eq!(which.fingerprint, None);
            (which.place.get(), which.of)
        };
        assert_eq!(place(&[SECRET]), (1, 1));
        assert_eq!(place(&[b"new", SECRET, b"old"]), (2, 3));
        assert_eq!(place(&[b"new", SECRET, SECRET]), (2, 3), "of two that are equal, the first");
    }

    #[test]
    fn a_known_vector_verifies_and_is_what_we_sign() {
        let value = format!("sha256={DIGITS}");
        assert_eq!(check(PREFIXED, &[&value], &[SECRET]), Ok(()));
        assert_eq!(sign(PREFIXED, BODY, SECRET), Ok((PREFIXED.header, value)));
        assert_eq!(check(BARE, &[DIGITS], &[SECRET]), Ok(()));
        assert_eq!(sign(BARE, BODY, SECRET), Ok((BARE.header, DIGITS.to_owned())));
        assert_eq!(check(BARE, &[&DIGITS.to_uppercase()], &[SECRET]), Ok(()));
    }

    #[test]
    fn any_active_key_will_do() {
        assert_eq!(check(BARE, &[DIGITS], &[b"new", SECRET]), Ok(()));
        assert_eq!(check(BARE, &[DIGITS], &[SECRET, b"new"]), Ok(()));
        assert_eq!(check(BARE, &[DIGITS], &[b"old", b"new"]), Err(VerifyError::SignatureMismatch));
        assert_eq!(check(BARE, &[DIGITS], &[]), Err(VerifyError::NoKey));
        assert_eq!(check(BARE, &[DIGITS], &[b""]), Err(VerifyError::NoKey));
    }

    #[test]
    fn the_header_must_stand_once_in_the_documented_form() {
        assert_eq!(check(PREFIXED, &[], &[SECRET]), Err(VerifyError::HeaderMissing));
        let value = format!("sha256={DIGITS}");
        assert_eq!(check(PREFIXED, &[&value, &value], &[SECRET]), Err(VerifyError::HeaderDoubled));
        for malformed in
            ["", "sha256=", DIGITS, &value[..value.len() - 1], &format!("{value}00"), "sha256=zz", "sha1=00"]
        {
            assert_eq!(check(PREFIXED, &[malformed], &[SECRET]), Err(VerifyError::HeaderMalformed));
        }
        assert_eq!(check(BARE, &[&value], &[SECRET]), Err(VerifyError::HeaderMalformed));
        assert_eq!(check(EITHER, &[&value], &[SECRET]), Ok(()));
        assert_eq!(check(EITHER, &[DIGITS], &[SECRET]), Ok(()));
    }

    #[test]
    fn an_empty_key_signs_nothing() {
        assert!(sign(BARE, BODY, b"").is_err());
    }
}
