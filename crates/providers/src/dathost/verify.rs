//! Who sent it: a text that the studio chose, sent back with every delivery.
//!
//! `webhooks.authorization_header` is "added as is as the Authorization HTTP header to all webhook
//! requests" (dathost.net/docs, reference of POST /api/0.1/cs2-matches). There is no signature: the text
//! names the caller, and whoever learns it can send any body.

use matchpurse_domain::event::WhichKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::delivery::{Delivery, Header};
use crate::keys::{KeyError, KeyRole, KeySet};
use crate::provider::{SignedRequest, Verified, VerifyError};
use crate::settings::SettingsError;

/// Believes the caller, never the body.
pub(super) fn verify(delivery: &Delivery, keys: &KeySet) -> Result<Verified, VerifyError> {
    if keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    let value = match delivery.headers.one("authorization") {
        Header::Missing => return Err(VerifyError::HeaderMissing),
        Header::Doubled => return Err(VerifyError::HeaderDoubled),
        Header::Once([]) => return Err(VerifyError::HeaderMalformed),
        Header::Once(value) => value,
    };
    let which = find(value, keys).ok_or(VerifyError::SignatureMismatch)?;
    Ok(Verified::new(delivery, KeyRole::Webhook, which, false))
}

/// The whole value counts, scheme and all: it is free text. Digests are compared, because they have one
/// length whatever the texts' lengths are, and all keys are tried, so the time taken tells nothing.
fn find(value: &[u8], keys: &KeySet) -> Option<WhichKey> {
    let given = Sha256::digest(value);
    keys.marked().fold(None, |found, (key, which)| {
        let fits: bool = Sha256::digest(key).ct_eq(&given).into();
        found.or(fits.then_some(which))
    })
}

/// Refuses a source whose deliveries could never verify, or would verify for anybody.
pub(super) fn check_keys(keys: &KeySet) -> Result<(), SettingsError> {
    if keys.is_empty() {
        return Err(SettingsError::NoKey { key: "secrets" });
    }
    for key in keys.iter() {
        check_key(key).map_err(|e| SettingsError::BadKey { key: "secrets", problem: e.0 })?;
    }
    Ok(())
}

/// A key must come through HTTP as it is: servers cut white space at a value's ends, and refuse controls.
fn check_key(key: &[u8]) -> Result<(), KeyError> {
    let at_an_end = [key.first(), key.last()].into_iter().flatten().any(|c| matches!(c, b' ' | b'\t'));
    if key.is_empty() {
        Err(KeyError("it is empty".to_owned()))
    } else if key.iter().any(|c| c.is_ascii_control() && *c != b'\t') {
        Err(KeyError("a line break or another control character cannot stand in a header".to_owned()))
    } else if at_an_end {
        Err(KeyError("white space at its ends does not survive in a header".to_owned()))
    } else {
        Ok(())
    }
}

/// The header that DatHost would send for this source.
pub(super) fn sign(key: &[u8]) -> Result<SignedRequest, KeyError> {
    check_key(key)?;
    let value =
        std::str::from_utf8(key).map_err(|_| KeyError("only text can be sent as a header".to_owned()))?;
    Ok(SignedRequest { headers: vec![("authorization", value.to_owned())] })
}
