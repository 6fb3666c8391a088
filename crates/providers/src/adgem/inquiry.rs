//! Which offers there are: `GET /v1/offers` of the Offer API. From AdGem's reference of it (authentication, pagination,
//! errors, and its OpenAPI document), as of November 2026.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::api_call::{self, unreadable};
use crate::delivery::Method;
use crate::inquiry::{
    AccessToken, ApiAccess, ApiError, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, refusal,
};
use crate::json::{self, LooseId, Text, loose_id_or_none};
use crate::keys::Keys;
use crate::redemption::CallLimit;
use crate::settings::{AdapterSettings, SettingsError};
use crate::times;

/// "Requests above 60 per minute for an app are rate-limited and rejected"; a refresh token is of one app.
const CALLS: i16 = 60;
const WINDOW_S: i64 = 60;
/// The largest page that can be asked for.
const PER_PAGE: u32 = 100;
/// No app has so many offers; a list that goes on for ever is not followed.
const PAGES_MAX: u32 = 1_000;
/// The longest validator that is kept, in bytes.
const ETAG_BYTES_MAX: usize = 500;

/// The calls of a source that wants them.
pub(super) struct Calls {
    url: String,
    refresh_token: String,
    limit: CallLimit,
}

/// The calls; none where the source asks for none.
pub(super) fn of_source(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    let calls = api_call::of_source(settings, keys)?;
    Ok(calls.map(|(url, key)| Calls {
        url,
        refresh_token: api_call::escaped(key),
        limit: limit(key),
    }))
}

/// A page of the list, or the whole of it.
#[derive(Deserialize)]
struct Page<'b> {
    status: Option<Text>,
    #[serde(borrow)]
    data: Data<'b>,
}

#[derive(Deserialize)]
struct Data<'b> {
    #[serde(borrow)]
    offers: Vec<&'b RawValue>,
    pagination: Option<Pagination>,
}

/// `has_more_pages` says the same as `next_page`; where they differ, the list is not over.
#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    has_more_pages: bool,
    next_page: Option<u32>,
}

/// What is read of a listed offer.
#[derive(Deserialize)]
struct Listed {
    id: LooseId,
    #[serde(default, deserialize_with = "loose_id_or_none")]
    campaign_id: Option<LooseId>,
}

/// An offer's event as a webhook tells it.
#[derive(Serialize)]
struct Event<'e> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: &'e str,
    data: EventData<'e>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventData<'e> {
    offer_id: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<&'e str>,
}

/// What one key may ask.
pub(super) fn limit(key: &[u8]) -> CallLimit {
    CallLimit::of_key("adgem", key, CALLS, WINDOW_S)
}

impl ApiAccess for Calls {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    /// AdGem's documents have the token in the form, not in a header.
    fn token_request(&self) -> Option<Request<Bytes>> {
        let form = format!("grant_type=refresh_token&refresh_token={}", self.refresh_token);
        api_call::post(&format!("{}/v1/users/token", self.url), "application/x-www-form-urlencoded", form)
    }

    fn read_token(&self, answer: &Response<Bytes>) -> Result<AccessToken, ApiError> {
        api_call::read_token(answer)
    }
}

impl Inquiries for Calls {
    fn kinds(&self) -> &'static [InquiryKind] {
        &[InquiryKind::Offers]
    }

    fn request(&self, inquiry: &Inquiry<'_>, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
        if inquiry.kind != InquiryKind::Offers {
            return None;
        }
        let url = format!("{}/v1/offers?per_page={PER_PAGE}&page={}", self.url, page(inquiry)?);
        let mut request = api_call::with_token(api_call::get(&url)?, token)?;
        if let Some(etag) = etag_of(inquiry) {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        Some(request)
    }

    fn read(&self, inquiry: &Inquiry<'_>, answer: &Response<Bytes>) -> InquiryAnswer {
        if let Some(refusal) = refusal(answer) {
            return match refusal {
                // That there is no list is no list without offers: the address is wrong.
                InquiryAnswer::Unknown => unreadable(format!("the status is {}", answer.status().as_u16())),
                other => other,
            };
        }
        match read_page(inquiry, answer) {
            Ok(found) => InquiryAnswer::Found(found),
            Err(problem) => InquiryAnswer::Unreadable(problem),
        }
    }
}

/// The number of the page.
fn page(inquiry: &Inquiry<'_>) -> Option<u32> {
    inquiry.page.map_or(Some(1), |page| page.parse().ok().filter(|page| (2..=PAGES_MAX).contains(page)))
}

/// What a page says: which offers came, and, at the end of the list, which went. Offers that we know already are no
/// news.
fn read_page(inquiry: &Inquiry<'_>, answer: &Response<Bytes>) -> Result<Found, String> {
    let read: Page<'_> = json::read(answer.body()).map_err(|e| e.to_string())?;
    if read.status.is_some_and(|status| status.as_str() != "success") {
        return Err("status: it is not \"success\"".to_owned());
    }
    let listed = read.data.offers.iter().enumerate().map(|(at, raw)| {
        let read = json::read::<Listed>(raw.get().as_bytes());
        read.map_err(|e| format!("data.offers[{at}].{e}"))
    });
    // One offer that cannot be read makes the whole list unreadable, for otherwise it would be taken for gone.
    let listed = listed.collect::<Result<Vec<Listed>, String>>()?;
    let at = times::format(inquiry.now).ok_or("the time of the list is none")?;
    let next = next_page(inquiry, read.data.pagination.as_ref())?;

    let known: BTreeSet<&str> = inquiry.known.iter().map(String::as_str).collect();
    let mut seen: BTreeSet<&str> = inquiry.listed.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for offer in &listed {
        if seen.insert(offer.id.as_str()) && !known.contains(offer.id.as_str()) {
            found.push(event("offer.created", &at, offer.id.as_str(), offer.campaign_id.as_ref()));
        }
    }
    let mut etag = None;
    if next.is_none() {
        found.extend(known.difference(&seen).map(|id| event("offer.removed", &at, id, None)));
        // The validator of a page says nothing of the others, so only a list of one page can be asked for so.
        etag = answer.headers().get(ETAG).filter(|_| inquiry.page.is_none()).and_then(|etag| {
            let etag = etag.to_str().ok().filter(|etag| etag.len() <= ETAG_BYTES_MAX)?;
            Some(format!("{} {etag}", digest(&seen)))
        });
    }
    let listed = listed.into_iter().map(|offer| offer.id.into_string()).collect();
    Ok(Found { found, next, etag, listed })
}

/// The page after this one, if there is one.
fn next_page(inquiry: &Inquiry<'_>, pagination: Option<&Pagination>) -> Result<Option<String>, String> {
    let this = page(inquiry).ok_or("the page that was asked for is none")?;
    match pagination {
        None | Some(Pagination { has_more_pages: false, next_page: None }) => Ok(None),
        Some(Pagination { next_page, .. }) if next_page.is_none_or(|next| next == this + 1) => {
            if this < PAGES_MAX {
                Ok(Some((this + 1).to_string()))
            } else {
                Err("the list has no end".to_owned())
            }
        }
        Some(_) => Err("data.pagination.next_page: it is not the page after this one".to_owned()),
    }
}

/// The validator to send. "Nothing has changed" tells us something only while we hold just those offers to be there
/// that the list had; when a webhook has told us otherwise since, the list is read again.
fn etag_of(inquiry: &Inquiry<'_>) -> Option<HeaderValue> {
    let (list, etag) = inquiry.etag.filter(|_| inquiry.page.is_none())?.split_once(' ')?;
    let known = inquiry.known.iter().map(String::as_str).collect();
    (digest(&known) == list).then(|| HeaderValue::from_str(etag).ok()).flatten()
}

/// Which offers these are, in few letters. No id has a line's end in it.
fn digest(offers: &BTreeSet<&str>) -> String {
    let mut digest = Sha256::new();
    for offer in offers {
        digest.update(offer.as_bytes());
        digest.update(b"\n");
    }
    hex::encode(digest.finalize())
}

fn event(kind: &'static str, timestamp: &str, offer_id: &str, campaign_id: Option<&LooseId>) -> Fetched {
    let data = EventData { offer_id, campaign_id: campaign_id.map(LooseId::as_str) };
    // Texts always become JSON; were it otherwise, the empty body would be parked, in sight of everybody.
    let body = serde_json::to_vec(&Event { kind, timestamp, data }).unwrap_or_default();
    Fetched { method: Method::Post, body: Bytes::from(body) }
}

#[cfg(test)]
mod tests;
