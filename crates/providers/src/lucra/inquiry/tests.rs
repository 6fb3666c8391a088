use bytes::Bytes;
use matchpurse_domain::event::Payload;
use serde_json::{Value, json};

use crate::inquiry::testing::{self, answer, api_keys, found, hostile, inquiry, meaning};
use crate::lucra::Adapter;
use crate::{
    AdapterSettings, Fetched, Inquiries, InquiryAnswer, InquiryKind, KeySet, Keys, Method, Provider,
    SettingsError,
};

const COMPLETED: &str = include_str!("../fixtures/RecreationalGameCompleted.json");

fn settings() -> AdapterSettings {
    testing::settings("lucra", &[("api_url", "https://api.lucrasports.com/")])
}

fn calls() -> Box<dyn Inquiries> {
    Adapter.inquiries(&settings(), &api_keys()).unwrap().unwrap()
}

/// A game as the API has it, and its id.
fn game(status: &str) -> (Value, String) {
    let mut game: Value = serde_json::from_str(COMPLETED).unwrap();
    game.as_object_mut().unwrap().remove("event");
    game["status"] = json!(status);
    let id = game["id"].as_str().unwrap().to_owned();
    (game, id)
}

#[test]
fn a_game_is_asked_for_by_its_id() {
    let request = calls().request(&inquiry(InquiryKind::Match, "0d9f/../1"), None).unwrap();
    assert_eq!(request.uri(), "https://api.lucrasports.com/api/rest/recreational-games/0d9f%2F..%2F1");
    assert_eq!(request.headers()["x-lucra-api-key"], testing::API_KEY);
    assert!(!format!("{request:?}").contains("pa ss"));
    assert!(calls().request(&inquiry(InquiryKind::Match, ".."), None).is_none());
    assert!(calls().request(&inquiry(InquiryKind::PlayersMatches, "1"), None).is_none());
    // Both kinds of calls are made with one key, so they share what it allows.
    let told = Adapter.redemptions(&settings(), &api_keys()).unwrap().unwrap();
    assert_eq!(calls().limit(), told.limit());
}

#[test]
fn a_fetched_game_means_what_its_webhook_would() {
    let (game, id) = game("CLOSED");
    let delivered = Fetched { method: Method::Post, body: Bytes::from_static(COMPLETED.as_bytes()) };
    let delivered = meaning(&Adapter, &settings(), &delivered);
    for body in [game.to_string(), json!({"matchup": game}).to_string()] {
        let found = found(calls().read(&inquiry(InquiryKind::Match, &id), &answer(200, body)));
        let [fetched] = found.found.as_slice() else { panic!("one body") };
        assert_eq!(meaning(&Adapter, &settings(), fetched), delivered);
    }
}

#[test]
fn a_status_tells_what_happened_or_nothing() {
    for (status, told) in [
        ("OPEN", "RecreationalGameCreated OPEN"),
        ("CONFIRMED", "RecreationalGameCreated CONFIRMED"),
        ("LOCKED", "RecreationalGameStarted LOCKED"),
        ("PENDING_OUTCOMES", "RecreationalGameStarted PENDING_OUTCOMES"),
        ("CLOSED_TIE", "RecreationalGameCompleted CLOSED_TIE"),
        ("CANCELED_TIMEOUT", "RecreationalGameCanceled CANCELED_TIMEOUT"),
        // The coarse words do not say enough for money to move by them.
        ("COMPLETED", "RecreationalGameCompleted parked"),
    ] {
        let (game, id) = game(status);
        let found = found(calls().read(&inquiry(InquiryKind::Match, &id), &answer(200, game.to_string())));
        let meaning = meaning(&Adapter, &settings(), &found.found[0]);
        let what = match &meaning.events[0].payload {
            Payload::MatchSnapshot(snapshot) => snapshot.provider_status.clone(),
            Payload::Unrecognized(_) => "parked".to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(format!("{} {what}", meaning.provider_type), told);
    }
    for status in ["ACTIVE", "DISPUTE"] {
        let (game, id) = game(status);
        let found = found(calls().read(&inquiry(InquiryKind::Match, &id), &answer(200, game.to_string())));
        assert!(found.found.is_empty(), "{status}");
    }
}

#[test]
fn an_answer_about_something_else_is_not_taken() {
    let (calls, asked) = (calls(), inquiry(InquiryKind::Match, "another"));
    hostile(calls.as_ref(), &asked);
    assert_eq!(calls.read(&asked, &answer(404, "")), InquiryAnswer::Unknown);
    for status in ["CLOSED", "pa55"] {
        let (game, id) = game(status);
        let asked = if status == "CLOSED" { asked } else { inquiry(InquiryKind::Match, &id) };
        let said = calls.read(&asked, &answer(200, game.to_string()));
        assert!(matches!(&said, InquiryAnswer::Unreadable(words) if !words.contains("pa55")), "{said:?}");
    }
    // A game in a game's place is read once, not at both.
    let twice = r#"{"matchup":{"id":"another","status":"OPEN"},"matchup":{"id":"x","status":"CLOSED"}}"#;
    assert!(matches!(calls.read(&asked, &answer(200, twice)), InquiryAnswer::Unreadable(_)));
}

#[test]
fn a_source_is_asked_only_where_it_says_so() {
    let inquiries = |settings: &AdapterSettings, keys: &Keys| {
        Adapter.inquiries(settings, keys).map(|calls| calls.is_some())
    };
    let unset = testing::settings("lucra", &[]);
    assert_eq!(inquiries(&unset, &Keys::default()), Ok(false));
    assert_eq!(inquiries(&unset, &api_keys()), Err(SettingsError::UnusedKey { key: "keys.api" }));
    assert_eq!(inquiries(&settings(), &Keys::default()), Err(SettingsError::NoApiKey { option: "api_url" }));
    let broken = Keys { api: KeySet::new([Bytes::from_static(b"pa55\n")]), ..Keys::default() };
    let refusal = inquiries(&settings(), &broken).unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains("pa55"));
}
