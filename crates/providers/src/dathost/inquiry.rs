//! How a match stands: `GET /api/0.1/cs2-matches/{id}`, HTTP Basic. From DatHost's reference of the CS2 match API, as
//! of November 2026: the answer is the object that its webhooks send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};

use crate::api_call::{self, unreadable};
use crate::delivery::Method;
use crate::inquiry::{
    AccessToken, ApiAccess, ApiError, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, refusal,
};
use crate::json;
use crate::keys::Keys;
use crate::redemption::CallLimit;
use crate::settings::{AdapterSettings, SettingsError};

use super::wire;

/// DatHost documents no limit; one call a second is what a polite caller does.
const CALLS: i16 = 60;
const WINDOW_S: i64 = 60;

/// The calls of a source that wants them.
pub(super) struct Calls {
    url: String,
    basic: String,
    limit: CallLimit,
}

/// Refuses an address that cannot be called, and a key that cannot be shown.
pub(super) fn check(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    api_call::check(settings, keys)?;
    match api_call::single_key(&keys.api)? {
        Some(key) if !key.contains(&b':') => {
            Err(api_call::bad_key("it must be the account's e-mail:password"))
        }
        _ => Ok(()),
    }
}

/// The calls; none where the source asks for none.
pub(super) fn of_source(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    check(settings, keys)?;
    let calls = api_call::of_source(settings, keys)?;
    Ok(calls.map(|(url, key)| Calls {
        url,
        basic: format!("Basic {}", STANDARD.encode(key)),
        limit: limit(key),
    }))
}

/// What one key may ask.
pub(super) fn limit(key: &[u8]) -> CallLimit {
    CallLimit::of_key("dathost", key, CALLS, WINDOW_S)
}

impl ApiAccess for Calls {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    fn token_request(&self) -> Option<Request<Bytes>> {
        None
    }

    fn read_token(&self, _: &Response<Bytes>) -> Result<AccessToken, ApiError> {
        Err(ApiError::Unreadable("this provider gives no tokens".to_owned()))
    }
}

impl Inquiries for Calls {
    fn kinds(&self) -> &'static [InquiryKind] {
        &[InquiryKind::Match]
    }

    fn request(&self, inquiry: &Inquiry<'_>, _: Option<&AccessToken>) -> Option<Request<Bytes>> {
        if !api_call::asks_once(inquiry, InquiryKind::Match) {
            return None;
        }
        let id = api_call::segment(inquiry.subject)?;
        let request = api_call::get(&format!("{}/api/0.1/cs2-matches/{id}", self.url))?;
        api_call::with_secret(request, AUTHORIZATION, &self.basic)
    }

    fn read(&self, inquiry: &Inquiry<'_>, answer: &Response<Bytes>) -> InquiryAnswer {
        if let Some(refusal) = refusal(answer) {
            return refusal;
        }
        match json::read::<wire::Match>(answer.body()) {
            Err(error) => unreadable(error),
            Ok(read) if read.id.as_str() != inquiry.subject => unreadable("id: it is another match"),
            Ok(_) => {
                let found = vec![Fetched { method: Method::Post, body: answer.body().clone() }];
                InquiryAnswer::Found(Found { found, ..Found::default() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
