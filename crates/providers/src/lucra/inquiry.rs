//! How a recreational game stands: `GET /api/rest/recreational-games/{id}`. From Lucra's page *GYP REST API*, its
//! sample program and its Swagger, as of November 2026; `README.md` says what of it is guessed.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api_call::{self, unreadable};
use crate::delivery::Method;
use crate::inquiry::{
    AccessToken, ApiAccess, ApiError, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, refusal,
};
use crate::json::{self, Id, Text};
use crate::keys::Keys;
use crate::normalized::NormalizeError;
use crate::redemption::CallLimit;
use crate::settings::{AdapterSettings, SettingsError};

use super::redemption;

pub(super) const PATH: &str = "/api/rest/recreational-games";
pub(super) const KEY_HEADER: HeaderName = HeaderName::from_static("x-lucra-api-key");

/// The calls of a source that wants them: the same address and key by which Lucra is told of rewards, so also the same
/// limit.
pub(super) struct Calls {
    url: String,
    key: HeaderValue,
    limit: CallLimit,
}

/// The calls; none where the source asks for none.
pub(super) fn of_source(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    let url = api_call::base_url(settings, redemption::OPTION)?;
    match (url, redemption::key(keys)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(SettingsError::NoApiKey { option: redemption::OPTION }),
        (None, Some(_)) => Err(SettingsError::UnusedKey { key: api_call::API_KEY }),
        (Some(base), Some((key, limit))) => Ok(Some(Calls { url: format!("{base}{PATH}"), key, limit })),
    }
}

/// The answer: the game stands in `matchup`, in Lucra's sample program, or at the root, in its Swagger.
#[derive(Deserialize)]
struct Answer<'b> {
    #[serde(borrow)]
    matchup: Option<&'b RawValue>,
}

/// What is read of a game, to know which webhook would have told it.
#[derive(Deserialize)]
struct Game {
    id: Id,
    status: Text,
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
        let mut request = api_call::get(&format!("{}/{id}", self.url))?;
        request.headers_mut().insert(KEY_HEADER, self.key.clone());
        Some(request)
    }

    fn read(&self, inquiry: &Inquiry<'_>, answer: &Response<Bytes>) -> InquiryAnswer {
        if let Some(refusal) = refusal(answer) {
            return refusal;
        }
        let (raw, game) = match read_game(answer.body()) {
            Ok(read) => read,
            Err(error) => return unreadable(error),
        };
        if game.id.as_str() != inquiry.subject {
            return unreadable("id: it is another game");
        }
        let found = match event(game.status.as_str()) {
            Told::Event(event) => {
                // The nested of the webhook's two forms.
                let body = Bytes::from(format!(r#"{{"event":"{event}","matchup":{raw}}}"#));
                vec![Fetched { method: Method::Post, body }]
            }
            Told::Nothing => Vec::new(),
            Told::Unknown => return unreadable("status: it is none that we know"),
        };
        InquiryAnswer::Found(Found { found, ..Found::default() })
    }
}

/// The game as it stands in the answer, and what is read of it.
fn read_game(body: &[u8]) -> Result<(&str, Game), NormalizeError> {
    let answer: Answer<'_> = json::read(body)?;
    let raw = match answer.matchup {
        Some(matchup) => matchup.get(),
        None => json::read::<&RawValue>(body)?.get(),
    };
    Ok((raw, json::read(raw.as_bytes())?))
}

/// What a status tells us.
enum Told {
    /// What a webhook of this name would have.
    Event(&'static str),
    /// That somebody must still decide; it is known and no news.
    Nothing,
    Unknown,
}

/// The webhook that goes with a status (*GYP Webhooks* has the table). `ACTIVE`, `COMPLETED` and `CANCELED` are REST's
/// coarse words: a game that is over by them is parked, because they do not say whether anybody has won or why it is
/// off; one that goes on by them is no news.
fn event(status: &str) -> Told {
    match status {
        "OPEN" | "CONFIRMED" => Told::Event("RecreationalGameCreated"),
        "LOCKED" | "PENDING_OUTCOMES" => Told::Event("RecreationalGameStarted"),
        "CLOSED" | "CLOSED_TIE" | "COMPLETED" => Told::Event("RecreationalGameCompleted"),
        "ACTIVE" | "DISPUTE" => Told::Nothing,
        canceled if canceled.starts_with("CANCELED") => Told::Event("RecreationalGameCanceled"),
        _ => Told::Unknown,
    }
}

#[cfg(test)]
mod tests;
