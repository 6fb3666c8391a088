//! What the calls of all providers' APIs have in common: where they go, with which key, and what a token is.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use serde::Deserialize;

use crate::inquiry::{AccessToken, ApiError, Inquiry, InquiryAnswer, InquiryKind, api_error};
use crate::json::{self, Text};
use crate::keys::{KeySet, Keys};
use crate::settings::{AdapterSettings, SettingsError};

/// The option with the address under which the paths of an API begin.
pub(crate) const API_URL: &str = "api_url";
/// Where the key is configured that is shown there.
pub(crate) const API_KEY: &str = "keys.api";

/// The longest id that is put into an address, in bytes.
const SUBJECT_BYTES_MAX: usize = 200;
/// How long a token is taken to live when nothing is said of it (RFC 6749, 5.1 leaves it open), and at most, in
/// seconds.
const TOKEN_LIVES_S: i64 = 60;
const TOKEN_LIVES_S_MAX: i64 = 86_400;

/// The option's address without a slash at its end; none when it is not set.
///
/// # Errors
/// When nothing secret may be sent there.
pub(crate) fn base_url(
    settings: &AdapterSettings,
    option: &'static str,
) -> Result<Option<String>, SettingsError> {
    let bad = |problem: &str| SettingsError::BadOption { option, problem: problem.to_owned() };
    let Some(text) = settings.text(option)? else { return Ok(None) };
    let base: Uri = text.parse().map_err(|_| bad("it must be an absolute URL"))?;
    let local = matches!(base.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let secure = base.scheme_str() == Some("https") || base.scheme_str() == Some("http") && local;
    if !secure || base.host().is_none_or(str::is_empty) {
        return Err(bad("it must be an https URL, because the key goes there; http only to this machine"));
    }
    let authority = base.authority().map_or("", |authority| authority.as_str());
    if base.query().is_some() || authority.contains('@') {
        return Err(bad("it must have neither a query nor a user: it is where the paths of the API begin"));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

/// The one key that is shown to an API; none when none is set.
///
/// # Errors
/// When there are several.
pub(crate) fn single_key(keys: &KeySet) -> Result<Option<&[u8]>, SettingsError> {
    let mut all = keys.iter();
    match (all.next(), all.next()) {
        (Some(_), Some(_)) => Err(bad_key("there is more than one, and only one can be sent")),
        (key, _) => Ok(key),
    }
}

/// Refuses a key for calls that nothing would be called with, and an address that cannot be called.
///
/// # Errors
/// [`SettingsError`].
pub(crate) fn check(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    single_key(&keys.api)?;
    if base_url(settings, API_URL)?.is_none() { keys.no_api() } else { Ok(()) }
}

/// The address and the key of a source's calls; none where it asks for none.
///
/// # Errors
/// When one of them is missing or is none.
pub(crate) fn of_source<'k>(
    settings: &AdapterSettings,
    keys: &'k Keys,
) -> Result<Option<(String, &'k [u8])>, SettingsError> {
    check(settings, keys)?;
    match (base_url(settings, API_URL)?, single_key(&keys.api)?) {
        (Some(_), None) => Err(SettingsError::NoApiKey { option: API_URL }),
        (Some(url), Some(key)) => Ok(Some((url, key))),
        (None, _) => Ok(None),
    }
}

/// A key that cannot be sent.
pub(crate) fn bad_key(problem: &str) -> SettingsError {
    SettingsError::BadKey { key: API_KEY, problem: problem.to_owned() }
}

/// Anything as one part of a path or one value of a form or query: all but letters, digits and `-._~` is escaped.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte))
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// An id as one part of a path; none for what would be another path (empty, dots) or is too long to be an id.
pub(crate) fn segment(id: &str) -> Option<String> {
    let other_path = id.is_empty() || id == "." || id == "..";
    (!other_path && id.len() <= SUBJECT_BYTES_MAX).then(|| escaped(id.as_bytes()))
}

/// A GET that wants JSON; none where the address is none.
pub(crate) fn get(url: &str) -> Option<Request<Bytes>> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.parse().ok()?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    Some(request)
}

/// A POST that wants JSON; none where the address is none.
pub(crate) fn post(url: &str, content_type: &'static str, body: impl Into<Bytes>) -> Option<Request<Bytes>> {
    let mut request = get(url)?;
    *request.method_mut() = Method::POST;
    *request.body_mut() = body.into();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Some(request)
}

/// Puts a secret into a header, so that it is not shown; none where it cannot be sent.
pub(crate) fn with_secret(
    mut request: Request<Bytes>,
    name: HeaderName,
    value: &str,
) -> Option<Request<Bytes>> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Some(request)
}

/// Shows the token (RFC 6750, 2.1); none where none is given.
pub(crate) fn with_token(request: Request<Bytes>, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
    with_secret(request, AUTHORIZATION, &format!("Bearer {}", token?.expose()))
}

/// The answer of a token's address (RFC 6749, 5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Text,
    #[serde(default)]
    expires_in: Option<i64>,
}

/// Reads a token. A refused key is answered with 400 too (RFC 6749, 5.2).
///
/// # Errors
/// [`ApiError`].
pub(crate) fn read_token(answer: &Response<Bytes>) -> Result<AccessToken, ApiError> {
    match answer.status().as_u16() {
        200 | 201 => {}
        400 => return Err(ApiError::KeyRefused),
        other => {
            let unreadable = || ApiError::Unreadable(format!("the status is {other}"));
            return Err(api_error(answer).unwrap_or_else(unreadable));
        }
    }
    let read: TokenAnswer = json::read(answer.body()).map_err(|e| ApiError::Unreadable(e.to_string()))?;
    let secret = read.access_token.into_string();
    let sendable = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        return Err(ApiError::Unreadable("access_token: it is none that a header could hold".to_owned()));
    }
    let lives_s = read.expires_in.unwrap_or(TOKEN_LIVES_S).clamp(0, TOKEN_LIVES_S_MAX);
    Ok(AccessToken::new(secret, lives_s))
}

/// True when the inquiry is of this kind, and not of a page that there cannot be.
pub(crate) fn asks_once(inquiry: &Inquiry<'_>, kind: InquiryKind) -> bool {
    inquiry.kind == kind && inquiry.page.is_none()
}

/// What could not be read of an answer.
pub(crate) fn unreadable(problem: impl ToString) -> InquiryAnswer {
    InquiryAnswer::Unreadable(problem.to_string())
}
