//! Who sent it: an HMAC-SHA256 of the body, as hexadecimal digits without any prefix.
//!
//! "hash_hmac('sha256', request()->getContent(), 'secret-key')" in the header `Signature`
//! (docs.adgem.com, "Offer Event Webhooks"; the 2026 edition says "raw request body" outright). The words
//! "hashing the request body and the secret key" beside it are loose: the key is the HMAC's, nothing is
//! concatenated. Postbacks are signed alike, with a key of their own.

use crate::delivery::Delivery;
use crate::hmac_signature::{self, Prefix, Scheme};
use crate::keys::{KeyRole, Keys};
use crate::provider::{Verified, VerifyError};
use crate::settings::SettingsError;

/// `Signature` is also the header of RFC 9421, whose values look like `sig1=:…:`; those are malformed here.
pub(super) const SCHEME: Scheme = Scheme { header: "Signature", prefix: Prefix::Bare };

/// Believes the body, and remembers which of the two keys vouched for it.
pub(super) fn verify(delivery: &Delivery, keys: &Keys) -> Result<Verified, VerifyError> {
    let mut refusal = VerifyError::NoKey;
    for (role, keys) in [(KeyRole::Webhook, &keys.webhook), (KeyRole::Postback, &keys.postback)] {
        match hmac_signature::verify(SCHEME, &delivery.headers, &delivery.body, keys) {
            Ok(which) => return Ok(Verified::new(delivery, role, which, true)),
            // A role without a key says nothing about the signature.
            Err(VerifyError::NoKey) => {}
            Err(other) => refusal = other,
        }
    }
    Err(refusal)
}

/// Refuses a source without a webhook key, and one whose two keys are the same: what is signed with one
/// must not pass as the other's.
pub(super) fn check_keys(keys: &Keys) -> Result<(), SettingsError> {
    if keys.webhook.is_empty() {
        return Err(SettingsError::NoKey { key: "secrets" });
    }
    if keys.postback.iter().any(|postback| keys.webhook.iter().any(|webhook| webhook == postback)) {
        return Err(SettingsError::BadKey {
            key: "keys.postback",
            problem: "it is one of `secrets` too; the two kinds of delivery could not be told apart"
                .to_owned(),
        });
    }
    Ok(())
}
