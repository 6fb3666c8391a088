//! The token itself: its header, its claims, its making.

use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::keys::KeyError;
use crate::provider::{SignRequest, SignedRequest, VerifyError};

use super::options;

/// How long a token that we make is valid, in seconds; the simulator sends at once.
const LIFETIME_S: i64 = 300;

/// Makes the token library use aws-lc.
///
/// By itself it takes whichever backend is compiled in, and panics at the first token when there are two;
/// another crate of the tree can switch on the second one. Installing is possible once a process, so a
/// refusal means that somebody else has installed one, which is as good.
pub(super) fn use_aws_lc() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        aws_lc::DEFAULT_PROVIDER.install_default().ok();
    });
}

/// The claims that are looked at. All are optional here, so that a missing one is told from a bad signature.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    exp: Option<Box<RawValue>>,
    nbf: Option<Box<RawValue>>,
    iss: Option<Value>,
    aud: Option<Value>,
    azp: Option<Value>,
}

/// The part of the token's header that is looked at before the signature holds: only to refuse.
#[derive(Deserialize)]
struct Peek {
    alg: Option<Value>,
    crit: Option<Value>,
}

/// Refuses a token that is not signed by RS256. The verifier is pinned to it in any case; this tells the
/// reason apart, and never chooses anything by what the token says.
pub(super) fn check_header(token: &str) -> Result<(), VerifyError> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(VerifyError::HeaderMalformed);
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| VerifyError::HeaderMalformed)?;
    let header: Peek = serde_json::from_slice(&header).map_err(|_| VerifyError::HeaderMalformed)?;
    if header.crit.is_some() {
        // RFC 7515, 4.1.11: who does not understand a critical extension must refuse; we know none.
        return Err(VerifyError::HeaderMalformed);
    }
    match header.alg {
        Some(Value::String(alg)) if alg == "RS256" => Ok(()),
        _ => Err(VerifyError::WrongAlgorithm),
    }
}

/// The claims, if `key` signed them. Times and claims are not checked yet: the library would read the
/// system's clock for that, and time is an argument here.
pub(super) fn open(token: &str, key: &DecodingKey) -> Result<Claims, VerifyError> {
    use_aws_lc();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(e) => Err(match e.kind() {
            ErrorKind::InvalidAlgorithm => VerifyError::WrongAlgorithm,
            ErrorKind::InvalidToken | ErrorKind::Base64(_) => VerifyError::HeaderMalformed,
            ErrorKind::Json(_) => VerifyError::WrongClaim,
            _ => VerifyError::SignatureMismatch,
        }),
    }
}

impl Claims {
    /// When the token ends, in Unix seconds.
    pub(super) fn expires_at(&self) -> Option<i64> {
        self.exp.as_deref().and_then(numeric_date)
    }

    /// From when on the token holds, in Unix seconds; `Err` when the claim is there but no date.
    pub(super) fn not_before(&self) -> Result<Option<i64>, VerifyError> {
        match self.nbf.as_deref() {
            None => Ok(None),
            Some(raw) => numeric_date(raw).map(Some).ok_or(VerifyError::WrongClaim),
        }
    }

    /// True when the issuer is exactly this.
    pub(super) fn is_issued_by(&self, issuer: &str) -> bool {
        matches!(&self.iss, Some(Value::String(text)) if text == issuer)
    }

    /// True when the token is meant for one of `audiences`; the claim is a text or a list of them.
    pub(super) fn is_meant_for(&self, audiences: &[&str]) -> bool {
        let known = |value: &Value| value.as_str().is_some_and(|text| audiences.contains(&text));
        match &self.aud {
            Some(Value::Array(texts)) => texts.iter().any(known),
            Some(text) => known(text),
            None => false,
        }
    }

    /// True when the token was given to one of `clients`.
    pub(super) fn is_given_to(&self, clients: &[&str]) -> bool {
        self.azp.as_ref().and_then(Value::as_str).is_some_and(|azp| clients.contains(&azp))
    }
}

/// A NumericDate of RFC 7519 as whole seconds. It may have a fraction, which is cut off; a date in any other
/// form (a text, an exponent) is none.
fn numeric_date(raw: &RawValue) -> Option<i64> {
    let text = raw.get();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    whole.parse().ok()
}

/// Makes the header that the platform would send, with claims that the source's settings ask for.
///
/// # Errors
/// When the key is no RSA private key.
pub(super) fn sign(request: &SignRequest<'_>) -> Result<SignedRequest, KeyError> {
    use_aws_lc();
    let wrong = |e: crate::SettingsError| KeyError(e.to_string());
    let now = request.now.seconds();
    let mut claims = Map::new();
    claims.insert("iat".to_owned(), now.into());
    claims.insert("nbf".to_owned(), now.into());
    claims.insert("exp".to_owned(), now.saturating_add(LIFETIME_S).into());
    claims.insert("typ".to_owned(), "Bearer".into());
    if let Some(issuer) = options::issuer(request.settings).map_err(wrong)? {
        claims.insert("iss".to_owned(), issuer.into());
    }
    let audiences = request.settings.texts(options::AUDIENCE).map_err(wrong)?;
    if !audiences.is_empty() {
        claims.insert("aud".to_owned(), audiences.into());
    }
    if let Some(azp) = request.settings.texts(options::AZP).map_err(wrong)?.first() {
        claims.insert("azp".to_owned(), (*azp).into());
    }
    let key = EncodingKey::from_rsa_pem(request.key)
        .map_err(|_| KeyError("it is no RSA private key as PEM".to_owned()))?;
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
        .map_err(|_| KeyError("the key cannot sign by RS256".to_owned()))?;
    Ok(SignedRequest { headers: vec![("authorization", format!("Bearer {token}"))] })
}
