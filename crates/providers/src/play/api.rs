//! A provider's API as it is played beside its webhooks: it knows what has happened, whether or not a webhook told of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use super::ScriptedDelivery;
use crate::redemption::CallLimit;

/// A token is taken for so long, in seconds.
const TOKEN_LIVES_S: i64 = 300;

/// The API of one source's provider, as its documents describe it. It answers by what has happened until then; that it is
/// slow, away or out of patience is added by whoever serves it.
pub trait PlayedApi: Send {
    /// How many requests it takes.
    fn limit(&self) -> CallLimit;

    /// Something has happened that `delivery` tells of, or would have told of had it not been lost.
    fn happens(&mut self, moment: Moment, delivery: &ScriptedDelivery);

    /// Answers a request, by its path below the address that the source's options name.
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes>;
}

/// When something happened. Of two things about one match the later one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// By the provider's clock.
    pub at: Timestamp,
    /// Its place among what happened at the same time.
    pub place: usize,
}

/// Whether a provider's API tells what a delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retold {
    /// It does not: who has not got the delivery never learns it.
    Never,
    /// It tells it to whoever knows of the match, by another delivery of the same life that is retold so.
    ToWhoKnows,
    /// It tells it to everybody who asks.
    ToAll,
}

/// What is known last of each thing, by its id, in whatever order it was heard.
pub(crate) struct Newest<T>(BTreeMap<String, (Moment, T)>);

impl<T> Newest<T> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn put(&mut self, id: &str, moment: Moment, value: T) {
        if self.0.get(id).is_none_or(|(known, _)| *known <= moment) {
            self.0.insert(id.to_owned(), (moment, value));
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.0.get(id).map(|(_, value)| value)
    }

    /// All, in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(id, (_, value))| (id.as_str(), value))
    }
}

/// The tokens that a provider has given.
pub(crate) struct Tokens {
    given: u64,
    /// How often one may be shown, if not as often as one likes.
    uses: Option<u32>,
    /// Until when each is taken, and how often it was shown.
    taken: BTreeMap<String, (Timestamp, u32)>,
}

impl Tokens {
    /// Each may be shown so often.
    pub(crate) const fn new(uses: Option<u32>) -> Self {
        Self { given: 0, uses, taken: BTreeMap::new() }
    }

    /// Answers a request for a token: `shown` is what it shows in its form, `key` what it has to.
    pub(crate) fn give(&mut self, form: &[u8], field: &str, key: &str, now: Timestamp) -> Response<Bytes> {
        let form = String::from_utf8_lossy(form);
        let shown = form.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == field);
        if shown.is_none_or(|(_, value)| value != key) {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_client" }));
        }
        self.given += 1;
        let token = format!("played-token-{}", self.given);
        self.taken.retain(|_, (until, _)| *until > now);
        self.taken.insert(token.clone(), (now.plus_seconds(TOKEN_LIVES_S), 0));
        let token = json!({ "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIVES_S });
        answer(StatusCode::OK, &token)
    }

    /// Whether a request shows one that is taken.
    pub(crate) fn take(&mut self, request: &Request<Bytes>, now: Timestamp) -> bool {
        let token = shown(request, AUTHORIZATION.as_str()).and_then(|shown| shown.strip_prefix("Bearer "));
        let Some((until, times)) = token.and_then(|token| self.taken.get_mut(token)) else { return false };
        *times = times.saturating_add(1);
        *until > now && self.uses.is_none_or(|uses| *times <= uses)
    }
}

/// A header's value.
pub(crate) fn shown<'r>(request: &'r Request<Bytes>, header: &str) -> Option<&'r str> {
    request.headers().get(header)?.to_str().ok()
}

/// A delivery's body as JSON, where it tells of something: what is odd about a provider's webhooks is not in its API.
pub(crate) fn told(delivery: &ScriptedDelivery) -> Option<Value> {
    if delivery.parked.is_some() {
        return None;
    }
    serde_json::from_slice(&delivery.body).ok()
}

/// An answer in JSON.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// An answer that says no more than its status.
pub(crate) fn refuse(status: StatusCode) -> Response<Bytes> {
    answer(status, &json!({ "error": status.canonical_reason().unwrap_or_default() }))
}
