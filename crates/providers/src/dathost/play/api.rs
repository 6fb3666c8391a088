//! The API of the game servers: how a match stands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use serde_json::Value;

use crate::dathost::inquiry;
use crate::play::{Moment, Newest, PlayedApi, ScriptedDelivery, answer, refuse, shown, told};
use crate::redemption::CallLimit;

const MATCHES: &str = "/api/0.1/cs2-matches/";

pub(in crate::dathost) struct Api {
    basic: String,
    limit: CallLimit,
    matches: Newest<Value>,
}

impl Api {
    pub(in crate::dathost) fn new(key: &[u8]) -> Self {
        let basic = format!("Basic {}", STANDARD.encode(key));
        Self { basic, limit: inquiry::limit(key), matches: Newest::new() }
    }
}

impl PlayedApi for Api {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    /// A vote-kick's body is a player, who has no id of a match's kind.
    fn happens(&mut self, moment: Moment, delivery: &ScriptedDelivery) {
        let Some(told) = told(delivery) else { return };
        if let Some(id) = told.get("id").and_then(Value::as_str).map(str::to_owned) {
            self.matches.put(&id, moment, told);
        }
    }

    fn answer(&mut self, request: &Request<Bytes>, _: Timestamp) -> Response<Bytes> {
        if shown(request, AUTHORIZATION.as_str()) != Some(&self.basic) {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        let id = request.uri().path().strip_prefix(MATCHES).filter(|_| request.method() == Method::GET);
        match id.and_then(|id| self.matches.get(id)) {
            Some(told) => answer(StatusCode::OK, told),
            None => refuse(StatusCode::NOT_FOUND),
        }
    }
}
