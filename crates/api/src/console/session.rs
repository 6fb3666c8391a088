//! Sessions: the token that somebody logged in with, sealed into a cookie.
//!
//! Nothing about a session is kept here, so any replica with the same key can serve it. Every request opens the cookie
//! and asks [`crate::auth`] about the token again, as it asks about one of a header: a token that has ended, that left
//! the configuration or whose key was taken back ends its sessions with that very request. Who steals the cookie has a
//! session until its end, and never the token.

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matchpurse_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};

/// How long nobody need log in again, in seconds: a shift with the time before and after it.
pub(super) const LIFETIME_S: i64 = 12 * 60 * 60;

/// The longest token that is taken, in bytes: sealed and in base64 it must fit into a cookie, which browsers cut off
/// at 4096.
pub(super) const TOKEN_LENGTH_MAX: usize = 2800;

const COOKIE_NAME: &str = "matchpurse_console";
const NONCE_LENGTH: usize = 12;
const CSRF_LENGTH: usize = 16;
/// What is sealed is good for this only, and in this shape.
const PURPOSE: &[u8] = b"matchpurse console session 1";

/// Seals and opens sessions.
pub(crate) struct Sealer(RandomizedNonceKey);

/// Why nothing can be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the library of the console's sessions has failed")]
pub(crate) struct SealError;

/// Who is logged in, by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// What was shown at the login.
    pub(super) token: Vec<u8>,
    /// What every form of this session carries and no other page knows.
    pub(super) csrf: String,
    /// When it ends, if the token does not end before.
    pub(super) ends: Timestamp,
}

impl Sealer {
    /// With the configured secret, which all replicas have; without one, with a key that ends with this process.
    pub(crate) fn new(secret: Option<&str>) -> Result<Self, SealError> {
        let key: [u8; 32] = match secret {
            Some(secret) => Sha256::digest([PURPOSE, secret.as_bytes()].concat()).into(),
            None => random()?,
        };
        Ok(Self(RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| SealError)?))
    }

    /// The cookie of a session, and whether it may only go over TLS.
    pub(super) fn cookie(&self, session: &Session, secure: bool) -> Result<HeaderValue, SealError> {
        let sealed = self.seal(session)?;
        let secure = if secure { "; Secure" } else { "" };
        let text = format!(
            "{COOKIE_NAME}={sealed}; Path=/console; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Strict{secure}"
        );
        HeaderValue::from_str(&text).map_err(|_| SealError)
    }

    /// The session of a request, unless it has ended.
    pub(super) fn session(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session> {
        let session = self.open(&cookie(headers, COOKIE_NAME)?)?;
        (now < session.ends).then_some(session)
    }

    fn seal(&self, session: &Session) -> Result<String, SealError> {
        let csrf = URL_SAFE_NO_PAD.decode(&session.csrf).map_err(|_| SealError)?;
        let mut bytes = [&session.ends.micros().to_be_bytes()[..], &csrf, &session.token].concat();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(PURPOSE), &mut bytes).map_err(|_| SealError)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_ref(), &bytes[..]].concat()))
    }

    fn open(&self, text: &str) -> Option<Session> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LENGTH)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(PURPOSE), sealed).ok()?;
        let (ends, rest) = plain.split_first_chunk::<8>()?;
        let (csrf, token) = rest.split_at_checked(CSRF_LENGTH)?;
        Some(Session {
            token: token.to_vec(),
            csrf: URL_SAFE_NO_PAD.encode(csrf),
            ends: Timestamp::from_micros(i64::from_be_bytes(*ends)),
        })
    }
}

impl Session {
    /// A new one, for whoever shows this token.
    pub(super) fn begin(token: &[u8], now: Timestamp) -> Result<Self, SealError> {
        let csrf = URL_SAFE_NO_PAD.encode(random::<CSRF_LENGTH>()?);
        Ok(Self { token: token.to_vec(), csrf, ends: now.plus_seconds(LIFETIME_S) })
    }
}

/// The cookie that takes the session's place when it is over.
pub(super) const ENDED: HeaderValue =
    HeaderValue::from_static("matchpurse_console=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict");

/// A cookie by its name. The first one counts, which is the one of the longest path.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut values = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    values.next()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn sent(sealer: &Sealer, session: &Session) -> HeaderMap {
        let cookie = sealer.cookie(session, false).unwrap();
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&format!("theme=dark; {pair}")).unwrap());
        headers
    }

    #[test]
    fn a_session_comes_back_until_it_ends_and_every_replica_knows_it() {
        let (one, other) = (Sealer::new(Some("shared")).unwrap(), Sealer::new(Some("shared")).unwrap());
        let session = Session::begin(b"a token", NOW).unwrap();
        let headers = sent(&one, &session);
        assert_eq!(other.session(&headers, NOW), Some(session));
        assert_eq!(one.session(&headers, NOW.plus_seconds(LIFETIME_S)), None);
        for stranger in [Sealer::new(None).unwrap(), Sealer::new(Some("another")).unwrap()] {
            assert_eq!(stranger.session(&headers, NOW), None);
        }
    }

    #[test]
    fn what_was_not_sealed_here_is_no_session() {
        let sealer = Sealer::new(None).unwrap();
        let sealed = sealer.seal(&Session::begin(b"a token", NOW).unwrap()).unwrap();
        assert!(sealer.open(&sealed).is_some());
        assert_ne!(sealed, sealer.seal(&Session::begin(b"a token", NOW).unwrap()).unwrap());
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(sealer.open(&String::from_utf8(bytes).unwrap()), None, "changed at {at}");
        }
        for bad in ["", "!", "AAAA", &sealed[..20]] {
            assert_eq!(sealer.open(bad), None);
        }
    }

    #[test]
    fn the_longest_token_fits_into_a_cookie() {
        let sealer = Sealer::new(None).unwrap();
        let longest = Session::begin(&[b'x'; TOKEN_LENGTH_MAX], NOW).unwrap();
        let cookie = sealer.cookie(&longest, true).unwrap();
        assert!(cookie.len() <= 4096, "{}", cookie.len());
        let text = cookie.to_str().unwrap();
        assert!(text.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{text}");
    }
}
