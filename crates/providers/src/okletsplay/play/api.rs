//! The platform's API: which matches there are, whose a match token is, and how matches went.
//!
//! Its query endpoint is not public, so its path is our own here: `/matches`, and `/matches/{user_id}` for those of one
//! player. A match token is `MATCH_ID:USER_ID`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::api_call;
use crate::delivery;
use crate::okletsplay::{finish, pull};
use crate::play::{Moment, Newest, PlayedApi, ScriptedDelivery, Tokens, answer, refuse, told};
use crate::redemption::CallLimit;

pub(in crate::okletsplay) struct Api {
    secret: String,
    limit: CallLimit,
    tokens: Tokens,
    matches: Newest<Value>,
    /// Called off: such a match does not come back, even when its arrangement is heard later.
    canceled: BTreeSet<String>,
    /// The first result of each that was told.
    results: BTreeMap<String, Bytes>,
}

impl Api {
    pub(in crate::okletsplay) fn new(key: &[u8], token_uses: Option<u32>) -> Self {
        Self {
            secret: api_call::escaped(key),
            limit: pull::limit(key),
            tokens: Tokens::new(token_uses),
            matches: Newest::new(),
            canceled: BTreeSet::new(),
            results: BTreeMap::new(),
        }
    }

    /// A match that is neither called off nor over.
    fn open(&self, id: &str) -> Option<&Value> {
        self.matches.get(id).filter(|_| !self.is_over(id))
    }

    fn is_over(&self, id: &str) -> bool {
        self.canceled.contains(id) || self.results.contains_key(id)
    }

    fn list(&self, user: Option<&str>) -> Response<Bytes> {
        let open = self.matches.all().filter(|(id, _)| !self.is_over(id)).map(|(_, told)| told);
        let theirs = open.filter(|told| user.is_none_or(|user| plays(told, user)));
        answer(StatusCode::OK, &Value::Array(theirs.take(pull::MATCHES_MAX).cloned().collect()))
    }

    fn token_info(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let asked = serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
        let token = asked.get("token").and_then(Value::as_str).and_then(|token| token.split_once(':'));
        let known = token.filter(|(id, user)| self.matches.get(id).is_some_and(|told| plays(told, user)));
        let Some((id, user)) = known else { return refuse(StatusCode::NOT_FOUND) };
        let (status, left) = if self.open(id).is_some() { ("open", 1) } else { ("closed", 0) };
        let info = json!({
            "match_id": id,
            "user_id": user,
            "match_status": status,
            "submissions_total": 1,
            "submissions_left": left,
        });
        answer(StatusCode::OK, &info)
    }

    /// The first one counts; whoever tells another one hears that it is too late.
    fn finish(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let told = serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
        let Some(id) = told.get("match_id").and_then(Value::as_str) else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        if self.results.get(id).is_some_and(|first| first != request.body()) {
            return refuse(StatusCode::CONFLICT);
        }
        if self.open(id).is_some() {
            self.results.insert(id.to_owned(), request.body().clone());
        }
        answer(StatusCode::OK, &json!({}))
    }
}

impl PlayedApi for Api {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    fn happens(&mut self, moment: Moment, delivery: &ScriptedDelivery) {
        let Some(told) = told(delivery) else { return };
        let Some(id) = told.get("match_id").and_then(Value::as_str).map(str::to_owned) else { return };
        if delivery.method == delivery::Method::Delete {
            self.canceled.insert(id);
        } else {
            self.matches.put(&id, moment, told);
        }
    }

    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/token") => {
                self.tokens.give(request.body(), "client_secret", &self.secret, now)
            }
            _ if !self.tokens.take(request, now) => refuse(StatusCode::UNAUTHORIZED),
            (&Method::GET, "/matches") => self.list(None),
            (&Method::GET, path) if path.starts_with("/matches/") => self.list(path.strip_prefix("/matches/")),
            (&Method::POST, pull::TOKEN_INFO) => self.token_info(request),
            (&Method::POST, finish::PATH) => self.finish(request),
            _ => refuse(StatusCode::NOT_FOUND),
        }
    }
}

fn plays(told: &Value, user: &str) -> bool {
    let participants = told.get("participants").and_then(Value::as_array).into_iter().flatten();
    participants.filter_map(|participant| participant.get("id")?.as_str()).any(|id| id == user)
}
