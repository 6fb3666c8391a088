//! `X-Lucra-Signature: sha256=<hex>`: HMAC-SHA256 of the body as it came, with the sign secret's UTF-8 bytes
//! as the key. From the provider's published Swagger (`forge.lucrasports.com`) and its page on request
//! verification, as of November 2026.
//!
//! The secret looks like a UUID and is used as it stands, hyphens and all: it is not decoded. No time, nonce
//! or delivery id is signed.

use crate::delivery::Delivery;
use crate::hmac_signature::{self, Prefix, Scheme};
use crate::keys::{KeyError, KeyRole, Keys};
use crate::provider::{SignedRequest, Verified, VerifyError};
use crate::settings::AdapterSettings;

const SCHEME: Scheme = Scheme { header: "X-Lucra-Signature", prefix: Prefix::Required("sha256=") };
const LENIENT: Scheme = Scheme { header: SCHEME.header, prefix: Prefix::Optional("sha256=") };

pub(super) fn verify(
    delivery: &Delivery,
    settings: &AdapterSettings,
    keys: &Keys,
) -> Result<Verified, VerifyError> {
    // `check` has refused an option of another type; if it was not asked, the strict form holds.
    let lenient = settings.flag(super::ALLOW_BARE_HEX).is_ok_and(|flag| flag == Some(true));
    let scheme = if lenient { LENIENT } else { SCHEME };
    let which = hmac_signature::verify(scheme, &delivery.headers, &delivery.body, &keys.webhook)?;
    Ok(Verified::new(delivery, KeyRole::Webhook, which, true))
}

pub(super) fn sign(body: &[u8], key: &[u8]) -> Result<SignedRequest, KeyError> {
    hmac_signature::sign(SCHEME, body, key).map(|header| SignedRequest { headers: vec![header] })
}
