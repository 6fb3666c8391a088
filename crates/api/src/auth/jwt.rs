//! JWTs of the configured issuer (RFC 7519, verified as RFC 8725 advises).
//!
//! The key says which algorithm is used, never the token; nothing that the token names is fetched; and every claim is
//! looked at here, against a time that is given, because the library's own checks leave some out that are not switched on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, Validation};
use matchpurse_settings::{ApiScope, JwtSettings};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::keys::{KeyRing, Keys, KeysError};
use super::{Actor, Bearer};

/// The longest token that is looked at, in bytes. Servers and proxies take no longer headers either.
const LENGTH_MAX: usize = 8 * 1024;

/// The longest `sub`, in characters: it stands in every record.
const SUBJECT_CHARS_MAX: usize = 200;

/// What tokens must be, and the keys.
pub(super) struct Jwt {
    issuer: String,
    audience: String,
    leeway_s: i64,
    pub(super) ring: KeyRing,
}

/// Why a token is not good; the words are for its bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    #[error("the token is no JWT")]
    Malformed,
    #[error("the token is not signed by an algorithm that is taken")]
    Algorithm,
    #[error("the token's key is not known")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token's claims are not what they must be")]
    Claims,
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for somebody else")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not good yet")]
    NotYet,
    #[error("the token does not say whose it is")]
    Subject,
    #[error("the token's subject is the name of a token of the configuration")]
    SubjectTaken,
}

/// The part of the header that matters. What else may stand there, as the address of a key, is not looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// A claim that stands there twice is an error.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    exp: Option<Number>,
    nbf: Option<Number>,
    scope: Option<Value>,
    scp: Option<Value>,
}

impl Jwt {
    pub(super) fn new(settings: &JwtSettings) -> Result<Self, KeysError> {
        // Without a choice the library panics at the first token; where it was made before, this changes nothing.
        aws_lc::DEFAULT_PROVIDER.install_default().ok();
        Ok(Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: settings.leeway_s.into(),
            ring: KeyRing::new(settings)?,
        })
    }

    /// Who shows this token, at `now` in Unix seconds.
    pub(super) fn bearer(&self, token: &[u8], now: i64) -> Result<Bearer, Refusal> {
        if token.len() > LENGTH_MAX {
            return Err(Refusal::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
        let claims = open(token, &self.ring.keys())?;
        let ends = self.check(&claims, now)?;
        let subject = claims.sub.as_ref().and_then(Value::as_str).filter(|text| is_subject(text));
        let actor = Actor::new(subject.ok_or(Refusal::Subject)?);
        Ok(Bearer { bucket: actor.clone(), actor, scopes: claims.scopes(), ends: Some(ends) })
    }

    /// Returns from when on the token is not good any more.
    fn check(&self, claims: &Claims, now: i64) -> Result<i64, Refusal> {
        if claims.iss.as_ref().and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Refusal::Issuer);
        }
        let is_ours = |value: &Value| value.as_str() == Some(&self.audience);
        let for_us = match &claims.aud {
            Some(Value::Array(all)) => all.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        if !for_us {
            return Err(Refusal::Audience);
        }
        let ends = claims.exp.as_ref().and_then(seconds).ok_or(Refusal::Claims)?;
        let ends = ends.saturating_add(self.leeway_s);
        if now >= ends {
            return Err(Refusal::Expired);
        }
        let begins = claims.nbf.as_ref().map(|date| seconds(date).ok_or(Refusal::Claims)).transpose()?;
        if begins.is_some_and(|begins| now < begins.saturating_sub(self.leeway_s)) {
            return Err(Refusal::NotYet);
        }
        Ok(ends)
    }
}

/// The claims, if one of the keys signed them.
fn open(token: &str, keys: &Keys) -> Result<Claims, Refusal> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed);
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Refusal::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| Refusal::Malformed)?;
    // RFC 7515, 4.1.11: who does not understand a critical extension must refuse; we know none.
    if header.crit.is_some() || !header.typ.as_deref().is_none_or(is_token_type) {
        return Err(Refusal::Malformed);
    }
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "EdDSA" => Algorithm::EdDSA,
        "HS256" => Algorithm::HS256,
        _ => return Err(Refusal::Algorithm),
    };
    if !keys.know(algorithm) {
        return Err(Refusal::Algorithm);
    }
    let key = keys.find(header.kid.as_deref(), algorithm).ok_or(Refusal::UnknownKey)?;
    let mut validation = Validation::new(key.algorithm);
    // The claims are looked at by `check`.
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Claims>(token, &key.key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
            jsonwebtoken::errors::ErrorKind::Json(_) => Refusal::Claims,
            _ => Refusal::Signature,
        }),
    }
}

/// An access token may say so (RFC 9068); a token of another purpose says that.
fn is_token_type(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    matches!(text.strip_prefix("application/").unwrap_or(&text), "jwt" | "at+jwt")
}

/// Spaces around it would make two persons of one.
fn is_subject(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= SUBJECT_CHARS_MAX
        && !text.chars().any(char::is_control)
}

/// A NumericDate in whole seconds; its fraction is cut off. One that is written by an exponent is none.
fn seconds(date: &Number) -> Option<i64> {
    let text = date.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
}

impl Claims {
    /// Those of `scope` (RFC 9068: words with spaces between) and `scp` (as other issuers write it), as far as we know
    /// them.
    fn scopes(&self) -> Vec<ApiScope> {
        let words = |claim: &Option<Value>| -> Vec<String> {
            match claim {
                Some(Value::String(text)) => text.split(' ').map(str::to_owned).collect(),
                Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => Vec::new(),
            }
        };
        let said = [words(&self.scope), words(&self.scp)].concat();
        ApiScope::ALL.into_iter().filter(|scope| said.iter().any(|word| word == scope.as_str())).collect()
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
