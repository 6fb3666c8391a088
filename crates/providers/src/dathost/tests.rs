use bytes::Bytes;
use matchpurse_domain::event::{COUNTER_NAMES, MatchStatsSnapshot, Payload, Side, UnrecognizedKind};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use super::Adapter;
use crate::delivery::{Delivery, Headers, Method};
use crate::keys::{KeyRole, KeySet, Keys};
use crate::normalized::{NormalizeError, Normalized};
use crate::provider::{Provider, SignRequest, VerifyError};
use crate::settings::{AdapterSettings, OptionValue, SettingsError};

const KEY: &str = "Bearer s3cret value";
const MATCH: &str = include_str!("fixtures/round_end.json");

fn settings() -> AdapterSettings {
    let policy = SourcePolicy {
        source: SourceName::parse("cs").unwrap(),
        provider: Adapter.id().to_owned(),
        currency: Currency::new("USD", None).unwrap(),
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 86_400,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    };
    AdapterSettings { policy, options: std::collections::BTreeMap::new() }
}

fn keys(keys: &[&str]) -> Keys {
    let keys = keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes()));
    Keys { webhook: KeySet::new(keys), ..Keys::default() }
}

fn delivery(values: &[&str], body: &str) -> Delivery {
    Delivery {
        method: Method::Post,
        headers: values.iter().map(|value| ("Authorization", *value)).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn verify(values: &[&str], known: &[&str]) -> Result<(), VerifyError> {
    Adapter
        .verify(&delivery(values, "{}"), &settings(), &keys(known), Timestamp::default())
        .map(|verified| assert!(!verified.body_authenticated()))
}

#[test]
fn the_whole_value_counts_and_no_scheme_is_assumed() {
    for key in ["plain", KEY, "TOKEN x", "Basic dXNlcjpwYXNz", "x=1, y=2"] {
        assert_eq!(verify(&[key], &[key]), Ok(()));
        assert_eq!(verify(&[key], &["old", key]), Ok(()));
        assert_eq!(verify(&[key], &[key, "new"]), Ok(()));
    }
    for other in ["s3cret value", "bearer s3cret value", "Bearer s3cret valu", "Bearer s3cret value ", "x"] {
        assert_eq!(verify(&[other], &[KEY]), Err(VerifyError::SignatureMismatch), "{other}");
    }
    assert_eq!(verify(&[], &[KEY]), Err(VerifyError::HeaderMissing));
    assert_eq!(verify(&[KEY, KEY], &[KEY]), Err(VerifyError::HeaderDoubled));
    assert_eq!(verify(&[""], &[KEY]), Err(VerifyError::HeaderMalformed));
}

#[test]
fn without_a_key_nothing_verifies() {
    assert_eq!(verify(&[""], &[]), Err(VerifyError::NoKey));
    assert_eq!(verify(&[""], &[""]), Err(VerifyError::NoKey));
    assert_eq!(verify(&[], &[]), Err(VerifyError::NoKey));
}

#[test]
fn a_source_that_could_not_work_is_refused() {
    let check = |known: &[&str]| Adapter.check(&settings(), &keys(known));
    assert_eq!(check(&[KEY, "plain"]), Ok(()));
    assert!(matches!(check(&[]), Err(SettingsError::NoKey { key: "secrets" })));
    assert!(matches!(check(&[""]), Err(SettingsError::NoKey { key: "secrets" })));
    for bad in [" x", "x\t", "x\n", "a\r\nb", "a\0b"] {
        assert!(matches!(check(&["good", bad]), Err(SettingsError::BadKey { .. })), "{bad:?}");
    }
    let mut with_option = settings();
    with_option.options.insert("secret".to_owned(), OptionValue::Flag(true));
    let unknown = Adapter.check(&with_option, &keys(&[KEY]));
    assert!(matches!(unknown, Err(SettingsError::UnknownOption { .. })));
}

#[test]
fn what_the_adapter_signs_it_verifies() {
    let settings = settings();
    let request = SignRequest {
        method: Method::Post,
        body: b"{}",
        key: KEY.as_bytes(),
        role: KeyRole::Webhook,
        now: Timestamp::default(),
        settings: &settings,
    };
    let signed = Adapter.sign(&request).unwrap();
    let headers: Headers = signed.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let delivery = Delivery { headers, ..delivery(&[], "{}") };
    assert!(Adapter.verify(&delivery, &settings, &keys(&[KEY]), Timestamp::default()).is_ok());
    assert!(Adapter.sign(&SignRequest { key: b"", ..request }).is_err());
    assert!(Adapter.sign(&SignRequest { key: b"a\nb", ..request }).is_err());
}

fn try_normalize(body: &str) -> Result<Normalized, NormalizeError> {
    let delivery = delivery(&[KEY], body);
    let verified = Adapter.verify(&delivery, &settings(), &keys(&[KEY]), Timestamp::default()).unwrap();
    Adapter.normalize(&verified, &settings())
}

fn normalize(body: &str) -> Normalized {
    try_normalize(body).unwrap()
}

/// The round-end fixture, changed.
fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut body: Value = serde_json::from_str(MATCH).unwrap();
    change(&mut body);
    body.to_string()
}

fn snapshot(body: &str) -> MatchStatsSnapshot {
    match normalize(body).events.remove(0).payload {
        Payload::MatchStatsSnapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

fn unrecognized(body: &str) -> (UnrecognizedKind, String, String) {
    let mut normalized = normalize(body);
    assert_eq!(normalized.events.len(), 1);
    let event = normalized.events.remove(0);
    match event.payload {
        Payload::Unrecognized(reason) => (reason.kind, reason.reason, event.subject),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_counter_lands_in_its_own_place() {
    let wire_names = [
        "kills",
        "assists",
        "deaths",
        "mvps",
        "score",
        "2ks",
        "3ks",
        "4ks",
        "5ks",
        "kills_with_headshot",
        "kills_with_pistol",
        "kills_with_sniper",
        "damage_dealt",
        "entry_attempts",
        "entry_successes",
        "flashes_thrown",
        "flashes_successful",
        "flashes_enemies_blinded",
        "utility_thrown",
        "utility_damage",
        "1vX_attempts",
        "1vX_wins",
    ];
    for (place, name) in wire_names.iter().enumerate() {
        let body = with(|body| {
            let zeroed = wire_names.iter().map(|n| ((*n).to_owned(), json!(0))).collect();
            body["players"][0]["stats"] = Value::Object(zeroed);
            body["players"][0]["stats"][*name] = json!(7);
        });
        let mut expected = [0; COUNTER_NAMES.len()];
        expected[place] = 7;
        assert_eq!(snapshot(&body).players[0].counters.0, expected, "{name}");
    }
}

#[test]
fn a_counter_may_be_missing_or_null_but_is_never_something_else() {
    let counted = |value: Value| {
        with(|body| body["players"][0]["stats"] = json!({ "kills": value, "deaths": 2, "new_counter": [] }))
    };
    for (value, kills) in [(Value::Null, 0), (json!(3), 3), (json!(-1), -1)] {
        let players = snapshot(&counted(value)).players;
        assert_eq!((players[0].counters.0[0], players[0].counters.0[2]), (kills, 2));
    }
    for value in [json!("3"), json!(1.5), json!(true), json!(3_000_000_000_i64)] {
        assert_eq!(try_normalize(&counted(value)).unwrap_err().field, "players[0].stats.kills");
    }
}

#[test]
fn what_came_later_or_is_null_fails_nothing() {
    let bare = json!({
        "id": "m", "rounds_played": 0, "finished": false,
        "players": [{"steam_id_64": "7", "team": "spectator"}],
    });
    let snapshot_of_bare = snapshot(&bare.to_string());
    assert_eq!(snapshot_of_bare.map, None);
    assert_eq!(snapshot_of_bare.team1.score, None);
    assert_eq!(snapshot_of_bare.cancel_reason, None);
    assert_eq!(snapshot_of_bare.players[0].side, Side::Spectator);
    let nulls = json!({
        "id": "m", "rounds_played": 0, "finished": false, "cancel_reason": null, "events": null,
        "team1": null, "team2": {"name": null, "flag": null, "stats": null},
        "settings": {"map": null, "password": null}, "webhooks": null, "game_server_id": null,
        "players": [{"steam_id_64": "7", "team": "spectator", "nickname_override": null, "connected": null,
            "kicked": null, "stats": null, "disconnected_at": null}],
    });
    assert_eq!(snapshot(&nulls.to_string()), snapshot_of_bare);
    let disconnected = with(|body| body["players"][0]["disconnected_at"] = json!(1_728_985_183));
    assert_eq!(snapshot(&disconnected), snapshot(MATCH));
}

#[test]
fn steam_ids_keep_their_digits() {
    for id in [json!("76561198234907126"), json!(76_561_198_234_907_126_u64)] {
        let body = with(|body| body["players"][0]["steam_id_64"] = id);
        assert_eq!(snapshot(&body).players[0].player_id.as_str(), "76561198234907126");
    }
    let body = MATCH.replacen("\"76561198234907126\"", "7.6561198234907126E16", 1);
    assert_eq!(try_normalize(&body).unwrap_err().field, "players[0].steam_id_64");
}

#[test]
fn an_empty_reason_is_no_cancellation() {
    for (reason, expected) in [
        (json!("MISSING_PLAYERS:7,8"), Some("MISSING_PLAYERS:7,8")),
        (json!("USER_API_CANCEL"), Some("USER_API_CANCEL")),
        (json!("something new"), Some("something new")),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let body = with(|body| body["cancel_reason"] = reason);
        assert_eq!(snapshot(&body).cancel_reason.as_deref(), expected);
    }
}

#[test]
fn the_type_is_the_last_thing_that_happened() {
    let at_end = |finished: bool, events: Value| {
        let normalized = normalize(&with(|body| {
            body["finished"] = json!(finished);
            body["events"] = events;
        }));
        (normalized.provider_type, normalized.events[0].occurred_at)
    };
    assert_eq!(at_end(false, json!([])), ("round_end".to_owned(), None));
    assert_eq!(at_end(true, json!([])), ("match_end".to_owned(), None));
    let line = |event: &str, timestamp: i64| json!({"event": event, "timestamp": timestamp});
    assert_eq!(
        at_end(true, json!([line("round_end", 9), line("match_ended", 9), line("gotv_stopped", 8)])),
        ("gotv_stopped".to_owned(), Some(Timestamp::from_seconds(8)))
    );
}

#[test]
fn who_was_voted_out_is_read_from_the_history_not_from_the_flag() {
    let body = with(|body| {
        body["players"][1]["kicked"] = json!(true);
        body["events"] = json!([
            {"event": "player_disconnected", "timestamp": 5, "payload": {"steam_id_64": "1"}},
            {"event": "player_votekicked", "timestamp": 5, "payload": {"steam_id_64": "1"}},
            {"event": "player_votekicked", "timestamp": 6, "payload": {"steam_id_64": 2}},
            {"event": "player_votekicked", "timestamp": 7},
            {"event": "round_end", "timestamp": 8, "payload": {"team1_score": 1, "team2_score": 0}},
        ]);
    });
    let normalized = normalize(&body);
    assert_eq!(normalized.provider_type, "round_end");
    let history: Vec<(u32, String, i64, Option<String>)> = snapshot(&body)
        .history
        .into_iter()
        .map(|e| (e.index, e.name, e.at.seconds(), e.player_id.map(|p| p.as_str().to_owned())))
        .collect();
    let line = |index, name: &str, at, player: Option<&str>| {
        (index, name.to_owned(), at, player.map(str::to_owned))
    };
    assert_eq!(
        history,
        [
            line(0, "player_disconnected", 5, Some("1")),
            line(1, "player_votekicked", 5, Some("1")),
            line(2, "player_votekicked", 6, Some("2")),
            line(3, "player_votekicked", 7, None),
            line(4, "round_end", 8, None),
        ]
    );
    let kicked: Vec<_> = normalized.events[1..]
        .iter()
        .map(|event| match &event.payload {
            Payload::PlayerKicked(kick) => {
                assert_eq!(event.subject, kick.match_id);
                (kick.player_id.as_str(), event.occurred_at.unwrap().seconds())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kicked, [("1", 5), ("2", 6)]);
}

#[test]
fn a_bare_player_was_voted_out() {
    for body in [include_str!("fixtures/votekick.json"), r#"{"match_id":"m","steam_id_64":7,"kicked":false}"#] {
        let normalized = normalize(body);
        assert_eq!(normalized.provider_type, "player_votekick_success");
        let [event] = normalized.events.as_slice() else { panic!("one event") };
        let Payload::PlayerKicked(kick) = &event.payload else { panic!("{event:?}") };
        assert_eq!(event.subject, kick.match_id);
        assert_eq!(event.occurred_at, None);
    }
}

#[test]
fn what_is_no_match_is_kept_and_not_understood() {
    for body in [
        "{}",
        r#"{"id":"m"}"#,
        r#"{"players":[]}"#,
        r#"{"match_id":"m"}"#,
        r#"{"id":"m","players":[],"team1_stats":{"score":16},"map":"de_dust2"}"#,
        r#"{"id":"s","match_series_id":"s","matches":[]}"#,
    ] {
        let (kind, _, subject) = unrecognized(body);
        assert_eq!((kind, subject.as_str()), (UnrecognizedKind::UnknownType, ""), "{body}");
    }
    let (kind, reason, subject) = unrecognized(&with(|body| body["players"][1]["team"] = json!("coach")));
    assert_eq!(kind, UnrecognizedKind::UnknownStatus);
    assert_eq!(reason, r#"players[1].team: "coach" is no side we know"#);
    assert_eq!(subject, "6502a8923d1c32e7d4d7f760");
    let twice = with(|body| body["players"][1]["steam_id_64"] = body["players"][0]["steam_id_64"].clone());
    let (kind, reason, _) = unrecognized(&twice);
    assert_eq!(kind, UnrecognizedKind::Inconsistent);
    assert_eq!(reason, "players[1].steam_id_64: 76561198234907126 stands there twice");
}

#[test]
fn what_cannot_be_read_is_refused_by_its_field() {
    for (body, field) in [
        (String::new(), "body"),
        ("[]".to_owned(), "body"),
        (MATCH.replacen('{', "{...", 1), "body"),
        (with(|b| b["id"] = json!("")), "id"),
        (with(|b| b["players"] = json!({})), "players"),
        (with(|b| b["players"][1]["steam_id_64"] = json!("")), "players[1].steam_id_64"),
        (with(|b| drop(b["players"][1].as_object_mut().unwrap().remove("team"))), "players[1].team"),
        (with(|b| drop(b.as_object_mut().unwrap().remove("finished"))), "finished"),
        (with(|b| b["rounds_played"] = json!(-1)), "rounds_played"),
        (with(|b| b["rounds_played"] = json!(2_147_483_648_u32)), "rounds_played"),
        (with(|b| b["team1"]["stats"]["score"] = json!(4_294_967_295_u32)), "team1.stats.score"),
        (with(|b| b["team1"]["stats"]["score"] = json!("3")), "team1.stats.score"),
        (with(|b| b["events"] = json!([{"event": "x", "timestamp": "2024"}])), "events[0].timestamp"),
        (with(|b| b["events"] = json!([{"event": "x", "timestamp": -1}])), "events[0].timestamp"),
        (with(|b| b["events"] = json!([{"timestamp": 1}])), "events[0].event"),
        (r#"{"match_id":{},"steam_id_64":"7"}"#.to_owned(), "match_id"),
    ] {
        let refused = try_normalize(&body).unwrap_err();
        assert_eq!(refused.field, field, "{refused}");
    }
}

#[test]
fn no_fixture_keeps_a_secret() {
    let mut redacted = 0;
    for body in [
        include_str!("fixtures/round_end.json"),
        include_str!("fixtures/match_end.json"),
        include_str!("fixtures/event_match_canceled.json"),
    ] {
        let kept = Adapter.redact(&Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(kept, body.replace("REDACT-ME", "[redacted]"));
        redacted += usize::from(kept != body);
    }
    assert_eq!(redacted, 3);
}
