//! The REST API: how a game stands, and which rewards were given.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::lucra::{inquiry, redemption};
use crate::play::{Moment, Newest, PlayedApi, ScriptedDelivery, answer, refuse, shown, told};
use crate::redemption::CallLimit;

pub(in crate::lucra) struct Api {
    key: Vec<u8>,
    limit: CallLimit,
    games: Newest<Value>,
}

impl Api {
    pub(in crate::lucra) fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec(), limit: redemption::limit(key), games: Newest::new() }
    }
}

impl PlayedApi for Api {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    fn happens(&mut self, moment: Moment, delivery: &ScriptedDelivery) {
        let Some(mut told) = told(delivery) else { return };
        let Some(status) = told.get("event").and_then(Value::as_str).and_then(status) else { return };
        let Some(game) = (match told.get_mut("matchup") {
            Some(matchup) => matchup.as_object_mut(),
            None => told.as_object_mut(),
        }) else {
            return;
        };
        // These are the delivery's, and not the game's.
        game.remove("event");
        game.remove("joinedByUserId");
        // The sample program's deliveries are without a status; REST always has one.
        game.entry("status").or_insert_with(|| status.into());
        let id = game.get("id").and_then(Value::as_str).map(str::to_owned);
        if let Some(id) = id {
            let game = Value::Object(std::mem::take(game));
            self.games.put(&id, moment, game);
        }
    }

    fn answer(&mut self, request: &Request<Bytes>, _: Timestamp) -> Response<Bytes> {
        if shown(request, inquiry::KEY_HEADER.as_str()).map(str::as_bytes) != Some(&self.key) {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        let path = request.uri().path();
        if request.method() == Method::POST && path == redemption::PATH {
            return answer(StatusCode::OK, &json!({}));
        }
        let id = path.strip_prefix(inquiry::PATH).and_then(|rest| rest.strip_prefix('/'));
        match id.filter(|_| request.method() == Method::GET).and_then(|id| self.games.get(id)) {
            Some(game) => answer(StatusCode::OK, &json!({ "matchup": game })),
            None => refuse(StatusCode::NOT_FOUND),
        }
    }
}

/// The status that a game has after an event that says none; none of an event that is about no game.
fn status(event: &str) -> Option<&'static str> {
    match event {
        "RecreationalGameCreated" | "RecreationalGameJoined" => Some("OPEN"),
        "RecreationalGameStarted" => Some("LOCKED"),
        "RecreationalGameCompleted" => Some("CLOSED"),
        "RecreationalGameCanceled" => Some("CANCELED_GAME_CANCELED"),
        _ => None,
    }
}
