//! What the deliveries tell: notices about a source, players and things that do not exist.

use bytes::Bytes;
use matchpurse_domain::escrow::Settlement;
use matchpurse_domain::event::{MatchKind, MatchStatus, Outcome};
use matchpurse_domain::grants::{ContestKind, GrantKind, GrantState};
use matchpurse_domain::time::Timestamp;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// The source that every notice of the kit comes from, so that a receiver can know them.
pub const SOURCE: &str = "endpoint-check";

/// The size of the large body, in bytes. Notices are some hundreds of bytes; a reward's payload or a match of many
/// players can make them larger, but not beyond this.
pub(crate) const LARGE_BYTES: usize = 256 * 1024;

/// A notice about `subject` as the dispatcher writes it.
pub(crate) fn notice(kind: &str, subject: &str, at: Timestamp) -> Bytes {
    enveloped(kind, at, &Value::Object(data(kind, subject)).to_string())
}

/// A notice of exactly [`LARGE_BYTES`].
pub(crate) fn large(kind: &str, subject: &str, at: Timestamp) -> Bytes {
    let padded = |length: usize| {
        let mut data = data(kind, subject);
        data.insert("padding".to_owned(), "x".repeat(length).into());
        enveloped(kind, at, &Value::Object(data).to_string())
    };
    padded(LARGE_BYTES.saturating_sub(padded(0).len()))
}

/// A notice whose bytes no writer of JSON would write in the same way again: spaces, escapes that are not needed,
/// letters beyond ASCII with and without escapes, numbers with zeros behind the point, keys in no order.
pub(crate) fn unusual(kind: &str, subject: &str, at: Timestamp) -> Bytes {
    let data = Value::Object(data(kind, subject)).to_string();
    let rest = data.strip_prefix('{').unwrap_or_default();
    enveloped(
        kind,
        at,
        &format!(
            r#"{{"check": {{"z": 1.50, "a": 1e2, "10": "ten", "2": [ ], "link": "https:\/\/game.example\/prizes",
 "name": "Zoë 🏆 \u00e9\ud83c\udfc6 \u0022"}}, {rest}"#
        ),
    )
}

/// In the order of the dispatcher's.
fn enveloped(kind: &str, at: Timestamp, data: &str) -> Bytes {
    let (kind, at) = (Value::from(kind), Value::from(rfc3339(at)));
    Bytes::from(format!(r#"{{"type":{kind},"timestamp":{at},"data":{data}}}"#))
}

fn data(kind: &str, subject: &str) -> Map<String, Value> {
    let mut data = if kind.starts_with("match.") { game(kind, subject) } else { grant(subject) };
    data.insert("source".to_owned(), SOURCE.into());
    data.insert("subject".to_owned(), subject.into());
    data
}

/// Two players, one stake each; as it is held, or as it is paid.
fn game(kind: &str, subject: &str) -> Map<String, Value> {
    let settled = kind == "match.settled";
    let status = if settled { MatchStatus::Closed } else { MatchStatus::Confirmed };
    let figure = |amount: i64| if settled { amount } else { 0 };
    let player = |id: &str, payout: i64, outcome: Outcome| {
        json!({
            "player_id": id,
            "group_id": id,
            "hold": 1000,
            "payout": figure(payout),
            "refund": 0,
            "outcome": settled.then_some(outcome.as_str()),
        })
    };
    object(json!({
        "match_id": subject,
        "kind": MatchKind::Recreational.as_str(),
        "status": status.as_str(),
        "settlement": settled.then_some(Settlement::Payout.as_str()),
        "generation": 0,
        "currency": "USD",
        "pot": 2000,
        "paid": figure(1800),
        "refunded": 0,
        "fee": figure(200),
        "players": [
            player("endpoint-check-winner", 1800, Outcome::Win),
            player("endpoint-check-loser", 0, Outcome::Loss),
        ],
    }))
}

fn grant(subject: &str) -> Map<String, Value> {
    object(json!({
        "grant_id": subject,
        "contest": { "kind": ContestKind::Contest.as_str(), "id": "endpoint-check-contest" },
        "player_id": "endpoint-check-player",
        "reward_ref": "endpoint-check-reward",
        "kind": GrantKind::Studio.as_str(),
        "state": GrantState::Granted.as_str(),
        "reason": null,
        "amount": null,
        "value": "1",
        "payload": null,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn rfc3339(at: Timestamp) -> String {
    let nanoseconds = i128::from(at.micros()).saturating_mul(1_000);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(FORMAT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_780_000_000);

    #[test]
    fn the_unusual_body_is_json_that_nobody_writes_so() {
        let body = unusual("reward.granted", "s", AT);
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["data"]["check"]["name"], "Zoë 🏆 é🏆 \"");
        assert_eq!(value["data"]["check"]["link"], "https://game.example/prizes");
        assert_eq!(value["data"]["grant_id"], "s");
        assert_ne!(value.to_string().as_bytes(), body);
    }

    #[test]
    fn the_large_body_has_its_size_and_all_are_notices() {
        assert_eq!(large("reward.granted", "s", AT).len(), LARGE_BYTES);
        for kind in ["reward.granted", "match.held", "match.settled", "something.new"] {
            let value: Value = serde_json::from_slice(&notice(kind, "s", AT)).unwrap();
            assert_eq!(value["type"], kind);
            assert_eq!(value["timestamp"], "2026-05-28T20:26:40.000000Z");
            assert_eq!(value["data"]["subject"], "s");
            assert_eq!(value["data"]["source"], SOURCE);
        }
    }
}
