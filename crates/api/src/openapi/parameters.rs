//! The parameters that many operations have.

use serde_json::{Value, json};

use super::operation::Text;
use crate::problems::Kind;

/// The longest id of a provider, in characters.
const ID_CHARS_MAX: u32 = 200;

/// Those of a path, in its order.
pub(super) fn of_path(path: &str) -> Vec<Value> {
    names(path).map(|name| of_path_by_name(name, path)).collect()
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn of_path_by_name(name: &str, path: &str) -> Value {
    let id = |description: &str, example: &str| {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX });
        (schema, description.to_owned(), example.to_owned())
    };
    let number = |description: &str| {
        (json!({ "type": "string", "pattern": "^[0-9]{1,18}$" }), description.to_owned(), "1".to_owned())
    };
    let uuid = |description: &str| {
        let example = "8c5e1f2a-7d3b-8e4f-9a6b-0c1d2e3f4a5b".to_owned();
        (json!({ "type": "string", "format": "uuid" }), description.to_owned(), example)
    };
    let (schema, description, example) = match name {
        "source" | "other_source" => {
            let schema = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$" });
            (schema, "The source's name, as it is configured.".to_owned(), "main-game".to_owned())
        }
        "player" => id("The provider's id of the player.", "player-1"),
        "other_player" => id("The provider's id of the other player.", "player-2"),
        "match" => id("The provider's id of the match.", "match-1"),
        "offer" => id("The provider's id of the offer.", "offer-1"),
        "board" => {
            let schema = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$" });
            (schema, "The leaderboard's name, as it is configured.".to_owned(), "weekly-net".to_owned())
        }
        "name" => {
            let schema = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$" });
            (schema, "The endpoint's name.".to_owned(), "game".to_owned())
        }
        "grant_id" => uuid("The reward's id."),
        _ if path.starts_with("/v1/corrections") => uuid("The correction's id."),
        _ if path.starts_with("/v1/erasures") => uuid("The erasure's id."),
        _ if path.starts_with("/v1/events") => uuid("The event's id."),
        _ => number("Its number."),
    };
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": schema,
        "example": example,
    })
}

/// What is answered where one of these names nothing.
pub(super) fn problems_of_path(path: &str) -> Vec<Kind> {
    let of_name = |name: &str| match name {
        "source" | "other_source" => Kind::UnknownSource,
        "player" | "other_player" => Kind::UnknownPlayer,
        "match" => Kind::UnknownMatch,
        "offer" => Kind::UnknownOffer,
        "board" => Kind::UnknownLeaderboard,
        "name" => Kind::UnknownEndpoint,
        "grant_id" => Kind::UnknownReward,
        _ if path.starts_with("/v1/corrections") => Kind::UnknownCorrection,
        _ if path.starts_with("/v1/erasures") => Kind::UnknownErasure,
        _ if path.starts_with("/v1/events") => Kind::UnknownEvent,
        _ if path.starts_with("/v1/ledger") => Kind::UnknownAccount,
        _ if path.starts_with("/v1/deliveries") => Kind::UnknownDelivery,
        _ if path.starts_with("/v1/parked") => Kind::UnknownParked,
        _ => Kind::UnknownAnomaly,
    };
    let mut kinds: Vec<Kind> = names(path).map(of_name).collect();
    // A name that is empty, or has a slash in it, is another path.
    if !kinds.is_empty() {
        kinds.push(Kind::NotFound);
    }
    kinds
}

/// A part of the query.
pub(super) fn of_query(name: &str, text: Text<'_>, description: &str) -> Value {
    let schema = match text {
        Text::Any => json!({ "type": "string" }),
        Text::Words(words) => json!({ "type": "string", "enum": words }),
        Text::Moment => json!({ "type": "string", "format": "date-time" }),
        Text::Uuid => json!({ "type": "string", "format": "uuid" }),
        Text::Flag => json!({ "type": "boolean", "default": false }),
        Text::UpTo(most, default) => {
            json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": most, "default": default })
        }
    };
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

pub(super) fn idempotency_key(required: bool) -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": required,
        "description": "The same for a repeat of the request, and for nothing else: the repeat is answered with what \
                        was done, and does nothing again.",
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
        "example": "order-4711",
    })
}

pub(super) fn if_none_match() -> Value {
    json!({
        "name": "If-None-Match",
        "in": "header",
        "required": false,
        "description": "The `ETag` of an earlier answer: where nothing has changed since, the answer is 304 and has no body.",
        "schema": { "type": "string" },
    })
}
