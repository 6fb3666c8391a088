use bytes::Bytes;
use serde_json::{Value, json};

use crate::inquiry::testing::{self, API_KEY, answer, api_keys, found, hostile, inquiry, meaning, token};
use crate::okletsplay::Adapter;
use crate::{
    AdapterSettings, ApiError, Fetched, Inquiries, InquiryAnswer, InquiryKind, KeySet, Keys, MatchTokens,
    Method, OptionValue, Provider, SettingsError,
};

const STUB: &str = include_str!("../fixtures/PUT.json");
const TOKEN_URL: &str = "https://prod.okletsplay.com/auth/realms/letsbet/protocol/openid-connect/token";
const OF_A_PLAYER: &str = "https://prod.okletsplay.com/api/matches?player={user_id}&open=1";
const OF_ALL: &str = "https://prod.okletsplay.com/api/matches";

fn settings(options: &[(&str, &str)]) -> AdapterSettings {
    let ours = [("token_url", TOKEN_URL), ("client_id", "our game&1")];
    testing::settings("okletsplay", &[options, &ours].concat())
}

fn calls(pull_url: &str) -> Box<dyn Inquiries> {
    Adapter.inquiries(&settings(&[("pull_url", pull_url)]), &api_keys()).unwrap().unwrap()
}

fn match_tokens() -> Box<dyn MatchTokens> {
    let settings = settings(&[("api_url", "https://prod.okletsplay.com/")]);
    Adapter.match_tokens(&settings, &api_keys()).unwrap().unwrap()
}

#[test]
fn a_token_is_asked_for_by_client_credentials() {
    let request = calls(OF_ALL).token_request().unwrap();
    assert_eq!((request.method(), request.uri().to_string().as_str()), (&http::Method::POST, TOKEN_URL));
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        request.body(),
        "grant_type=client_credentials&client_id=our%20game%261\
         &client_secret=someone%40example.com%3Apa%20ss%26w%3Drd&scope=olp-report-api"
    );
    let given = answer(200, r#"{"access_token":"pa55","expires_in":300,"token_type":"Bearer"}"#);
    let given = calls(OF_ALL).read_token(&given).unwrap();
    let request = calls(OF_ALL).request(&inquiry(InquiryKind::PlayersMatches, ""), Some(&given)).unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer pa55");
    assert!(!format!("{request:?} {given:?}").contains("pa55"));
    assert_eq!(calls(OF_ALL).read_token(&answer(401, "")), Err(ApiError::KeyRefused));
}

#[test]
fn a_player_cannot_say_who_is_asked_what() {
    let uri = |template, player| {
        let asked = inquiry(InquiryKind::PlayersMatches, player);
        calls(template).request(&asked, Some(&token())).map(|request| request.uri().to_string())
    };
    let of = |player: &str| Some(format!("https://prod.okletsplay.com/api/matches?player={player}&open=1"));
    assert_eq!(uri(OF_A_PLAYER, "p1"), of("p1"));
    assert_eq!(uri(OF_A_PLAYER, "a&open=0#/é"), of("a%26open%3D0%23%2F%C3%A9"));
    let long = "x".repeat(201);
    for none in ["", "..", long.as_str()] {
        assert_eq!(uri(OF_A_PLAYER, none), None);
    }
    assert_eq!(uri(OF_ALL, "").as_deref(), Some(OF_ALL));
    assert_eq!(uri(OF_ALL, "p1"), None);
    let asked = inquiry(InquiryKind::PlayersMatches, "");
    assert!(calls(OF_ALL).request(&asked, None).is_none(), "nothing is asked without a token");
    assert!(calls(OF_ALL).request(&inquiry(InquiryKind::Match, "1"), Some(&token())).is_none());
}

#[test]
fn a_match_that_is_asked_for_means_what_it_would_mean_pushed() {
    let settings = settings(&[("pull_url", OF_ALL)]);
    let pushed = Fetched { method: Method::Put, body: Bytes::from_static(STUB.as_bytes()) };
    let pushed = meaning(&Adapter, &settings, &pushed);
    let stub: Value = serde_json::from_str(STUB).unwrap();
    let list = json!([stub, stub]).to_string();
    for (body, matches) in [(STUB, 1), (list.as_str(), 2), ("[]", 0), (" [ ] ", 0)] {
        let asked = inquiry(InquiryKind::PlayersMatches, "");
        let found = found(calls(OF_ALL).read(&asked, &answer(200, body.to_owned())));
        assert_eq!(found.found.len(), matches, "{body}");
        for fetched in &found.found {
            assert_eq!(fetched.method, Method::Put);
            assert_eq!(meaning(&Adapter, &settings, fetched), pushed);
        }
    }
}

#[test]
fn an_answer_without_matches_is_none_of_a_cancellation() {
    let (calls, asked) = (calls(OF_ALL), inquiry(InquiryKind::PlayersMatches, ""));
    hostile(calls.as_ref(), &asked);
    assert_eq!(calls.read(&asked, &answer(404, "")), InquiryAnswer::Unknown);
    assert!(found(calls.read(&asked, &answer(204, ""))).found.is_empty());
    let many = format!("[{}]", vec![r#"{"match_id":"1"}"#; 1_001].join(","));
    for body in
        ["[1]", "[null]", "[[]]", r#"[{"match_id":"1"},{"id":"2"}]"#, r#"{"matches":[]}"#, many.as_str()]
    {
        let said = calls.read(&asked, &answer(200, body.to_owned()));
        assert!(matches!(said, InquiryAnswer::Unreadable(_)), "{body:.40}: {said:?}");
    }
}

#[test]
fn a_match_token_tells_whose_it_is() {
    let calls = match_tokens();
    let request = calls.request("the \"token\"", Some(&token())).unwrap();
    assert_eq!(request.uri(), "https://prod.okletsplay.com/api/game/v1/token-info");
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.headers()["authorization"], "Bearer access-token");
    assert_eq!(request.body(), r#"{"token":"the \"token\""}"#);
    assert!(calls.request("x", None).is_none());
    assert!(calls.request("", Some(&token())).is_none());
    assert!(calls.request(&"x".repeat(5_000), Some(&token())).is_none());

    let body = r#"{"match_id":"6560","user_id":"3b1f","match_status":"live","submissions_total":1,"submissions_left":0,"x":[]}"#;
    let info = calls.read(&answer(200, body)).unwrap().unwrap();
    assert_eq!(
        (info.match_id.as_str(), info.user_id.as_str(), info.match_status.as_str()),
        ("6560", "3b1f", "live")
    );
    assert_eq!((info.submissions_total, info.submissions_left), (Some(1), Some(0)));
    for unknown in [400, 404, 410, 422] {
        assert_eq!(calls.read(&answer(unknown, "")), Ok(None));
    }
}

#[test]
fn an_answer_about_a_match_token_that_is_none_is_not_taken() {
    let read = |status, body: &str| match_tokens().read(&answer(status, body.to_owned()));
    assert_eq!(read(401, "pa55"), Err(ApiError::KeyRefused));
    assert_eq!(read(503, "pa55"), Err(ApiError::Later { after_s: None }));
    for (status, body) in [
        (302, "pa55"),
        (200, ""),
        (200, "pa55"),
        (200, "[\"pa55\"]"),
        (200, r#"{"match_id":"1","user_id":"pa55"}"#),
        (200, r#"{"match_id":["pa55"],"user_id":"2","match_status":"live"}"#),
        (200, r#"{"match_id":"a\u0000b","user_id":"2","match_status":"live"}"#),
        (200, r#"{"match_id":"1","user_id":"2","match_status":"live","submissions_left":"pa55"}"#),
        (200, r#"{"match_id":"1","user_id":"2","match_status":"live","submissions_left":1e99}"#),
    ] {
        let Err(ApiError::Unreadable(words)) = read(status, body) else { panic!("{status} {body}") };
        assert!(!words.contains("pa55"), "{words}");
    }
}

#[test]
fn a_source_either_asks_or_is_told() {
    let asks = settings(&[("pull_url", OF_A_PLAYER)]);
    assert_eq!(Adapter.check(&asks, &Keys::default()), Ok(()));
    assert_eq!(Adapter.check(&asks, &api_keys()), Ok(()));
    assert!(Adapter.remote_keys(&asks).is_none());
    let refused = |settings: &AdapterSettings, keys: &Keys| {
        let refusal = Adapter.check(settings, keys);
        assert!(matches!(&refusal, Err(SettingsError::BadOption { option: "pull_url", .. })), "{refusal:?}");
    };
    for option in ["public_key_url", "public_key", "issuer", "audience", "azp", "any_client"] {
        let mut both = asks.clone();
        both.options.insert(option.to_owned(), OptionValue::Text("https://x".to_owned()));
        refused(&both, &Keys::default());
    }
    refused(&asks, &Keys { webhook: KeySet::new([Bytes::from_static(b"key")]), ..Keys::default() });
}

#[test]
fn calls_that_lack_something_are_refused() {
    let option_of = |settings: &AdapterSettings| match Adapter.inquiries(settings, &api_keys()).map(|_| ()) {
        Err(SettingsError::BadOption { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let pull = ("pull_url", OF_ALL);
    assert_eq!(option_of(&testing::settings("okletsplay", &[pull])), "token_url");
    assert_eq!(option_of(&testing::settings("okletsplay", &[pull, ("token_url", TOKEN_URL)])), "client_id");
    assert_eq!(option_of(&settings(&[])), "token_url");
    for bad in [
        "http://prod.okletsplay.com/m",
        "https://{user_id}/m",
        "https://{user_id}.okletsplay.com/m",
        "https://u:p@x/m",
        "https://x/{player}",
        "matches",
        "",
    ] {
        assert_eq!(option_of(&settings(&[("pull_url", bad)])), "pull_url", "{bad}");
    }
    let unset = testing::settings("okletsplay", &[]);
    assert!(Adapter.inquiries(&unset, &Keys::default()).unwrap().is_none());
    assert!(Adapter.match_tokens(&unset, &Keys::default()).unwrap().is_none());
    let unused = Adapter.inquiries(&unset, &api_keys()).map(|_| ());
    assert_eq!(unused, Err(SettingsError::UnusedKey { key: "keys.api" }));
    let no_key = Adapter.inquiries(&settings(&[pull]), &Keys::default()).map(|_| ());
    assert_eq!(no_key, Err(SettingsError::NoApiKey { option: "pull_url" }));
    let two = Keys {
        api: KeySet::new([API_KEY, "two"].map(|key| Bytes::from_static(key.as_bytes()))),
        ..Keys::default()
    };
    let refusal = Adapter.inquiries(&settings(&[pull]), &two).map(|_| ()).unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains(API_KEY));
    // Where only match tokens are checked, matches are still pushed.
    let tokens = settings(&[("api_url", "https://prod.okletsplay.com")]);
    assert!(Adapter.inquiries(&tokens, &api_keys()).unwrap().is_none());
}
