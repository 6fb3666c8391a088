//! Who sent it: a bearer token, signed by the platform's realm.
//!
//! `Authorization: Bearer <JWT>`, validated with RS256 by the key that `public_key_url` answers
//! (docs.okletsplay.com, `authentication` and `developer-config`). The token names the caller; it does not
//! cover the body, so whoever has one token can post any match until it expires.

use matchpurse_domain::event::WhichKey;
use matchpurse_domain::time::Timestamp;

use crate::delivery::{Delivery, Header};
use crate::keys::{KeyRole, Keys, marked};
use crate::provider::{Verified, VerifyError};
use crate::settings::AdapterSettings;

use super::token::{self, Claims};
use super::{keys, options};

/// How far the platform's clock and ours may differ, in seconds. It lengthens a stolen token's life by as
/// much, so it is kept at what NTP-less virtual machines drift; a refusal by a skewed clock would abort
/// paid matches.
const LEEWAY_S: i64 = 60;

/// Believes the caller, never the body.
pub(super) fn verify(
    delivery: &Delivery,
    settings: &AdapterSettings,
    keys: &Keys,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let token = match delivery.headers.one("authorization") {
        Header::Missing => return Err(VerifyError::HeaderMissing),
        Header::Doubled => return Err(VerifyError::HeaderDoubled),
        Header::Once(value) => bearer_token(value).ok_or(VerifyError::HeaderMalformed)?,
    };
    token::check_header(token)?;
    let (claims, which) = open_with_any(token, settings, keys)?;
    check_time(&claims, now)?;
    check_caller(&claims, settings)?;
    Ok(Verified::new(delivery, KeyRole::Webhook, which, false))
}

/// The token after the scheme, whose case does not matter (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let one_word = !token.is_empty() && !token.contains(|c: char| c.is_whitespace());
    (scheme.eq_ignore_ascii_case("bearer") && one_word).then_some(token)
}

/// The claims, if any active key signed them, and which did; several are active while the platform changes its key.
fn open_with_any(
    token: &str,
    settings: &AdapterSettings,
    keys: &Keys,
) -> Result<(Claims, WhichKey), VerifyError> {
    let configured = settings.text(options::PUBLIC_KEY).ok().flatten().map(str::as_bytes);
    let mut refusal = VerifyError::NoKey;
    let all: Vec<&[u8]> = keys.webhook.iter().chain(configured).collect();
    for (pem, which) in marked(all.iter().copied(), all.len()) {
        // A key that is none cannot have signed anything; `check` has refused those of the configuration.
        let Ok(key) = keys::decoding_key(pem) else { continue };
        match token::open(token, &key) {
            Ok(claims) => return Ok((claims, WhichKey { fingerprint: keys::fingerprint(pem), ..which })),
            // Another key may still fit; any other problem is the token's own, whatever the key.
            Err(VerifyError::SignatureMismatch) => refusal = VerifyError::SignatureMismatch,
            Err(other) => return Err(other),
        }
    }
    Err(refusal)
}

/// `exp` must be there: a token without it would authenticate for ever.
fn check_time(claims: &Claims, now: Timestamp) -> Result<(), VerifyError> {
    let now = now.seconds();
    let expires_at = claims.expires_at().ok_or(VerifyError::WrongClaim)?;
    if expires_at.saturating_add(LEEWAY_S) <= now {
        return Err(VerifyError::Expired);
    }
    match claims.not_before()? {
        Some(from) if from > now.saturating_add(LEEWAY_S) => Err(VerifyError::NotYetValid),
        _ => Ok(()),
    }
}

/// What the source asks of the token. The realm issues tokens to other games' clients too, so `check` lets
/// no source pass that asks for neither audience nor client, unless it says that it means to.
fn check_caller(claims: &Claims, settings: &AdapterSettings) -> Result<(), VerifyError> {
    let wrong = |_| VerifyError::WrongClaim;
    let issuer = options::issuer(settings).map_err(wrong)?;
    let audiences = settings.texts(options::AUDIENCE).map_err(wrong)?;
    let clients = settings.texts(options::AZP).map_err(wrong)?;
    let holds = issuer.is_none_or(|issuer| claims.is_issued_by(issuer))
        && (audiences.is_empty() || claims.is_meant_for(&audiences))
        && (clients.is_empty() || claims.is_given_to(&clients));
    if holds { Ok(()) } else { Err(VerifyError::WrongClaim) }
}
