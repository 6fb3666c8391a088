use bytes::Bytes;
use matchpurse_domain::event::Payload;
use serde_json::{Value, json};

use crate::dathost::Adapter;
use crate::inquiry::testing::{self, answer, api_keys, found, hostile, inquiry, meaning};
use crate::{
    AdapterSettings, Delivery, Headers, Inquiries, InquiryAnswer, InquiryKind, KeySet, Keys, Method,
    Provider, SettingsError,
};

const MATCH: &str = include_str!("../fixtures/match_end.json");

fn settings() -> AdapterSettings {
    testing::settings("dathost", &[("api_url", "https://dathost.net")])
}

fn calls() -> Box<dyn Inquiries> {
    Adapter.inquiries(&settings(), &api_keys()).unwrap().unwrap()
}

fn id(body: &Value) -> String {
    body["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_match_is_asked_for_by_its_id() {
    let request = |subject| calls().request(&inquiry(InquiryKind::Match, subject), None);
    let plain = request("5f2a").unwrap();
    assert_eq!(plain.method(), http::Method::GET);
    assert_eq!(plain.uri(), "https://dathost.net/api/0.1/cs2-matches/5f2a");
    assert_eq!(plain.headers()["authorization"], "Basic c29tZW9uZUBleGFtcGxlLmNvbTpwYSBzcyZ3PXJk");
    assert!(!format!("{plain:?}").contains("c29tZW9uZ"));
    assert_eq!(request("../a?b#c%").unwrap().uri().path(), "/api/0.1/cs2-matches/..%2Fa%3Fb%23c%25");
    for none in ["", ".", "..", "x".repeat(201).as_str()] {
        assert!(request(none).is_none(), "{none:?}");
    }
    assert!(calls().request(&inquiry(InquiryKind::Offers, "1"), None).is_none());
    assert!(calls().token_request().is_none());
}

#[test]
fn what_is_fetched_means_what_it_would_mean_delivered() {
    let body: Value = serde_json::from_str(MATCH).unwrap();
    let (id, settings) = (id(&body), settings());
    let found = found(calls().read(&inquiry(InquiryKind::Match, &id), &answer(200, MATCH)));
    let [fetched] = found.found.as_slice() else { panic!("one body") };
    assert_eq!(fetched.body, MATCH);
    let headers: Headers = [("Authorization", "key")].into_iter().collect();
    let delivery = Delivery { method: Method::Post, headers, body: Bytes::from_static(MATCH.as_bytes()) };
    let keys = Keys { webhook: KeySet::new([Bytes::from_static(b"key")]), ..Keys::default() };
    let delivered = Adapter.verify(&delivery, &settings, &keys, testing::NOW).unwrap();
    assert_eq!(meaning(&Adapter, &settings, fetched), Adapter.normalize(&delivered, &settings).unwrap());
}

/// DatHost sends no webhook of it at all.
#[test]
fn a_match_that_timed_out_is_a_cancellation() {
    let mut body: Value = serde_json::from_str(MATCH).unwrap();
    body["cancel_reason"] = json!("TIMED_OUT");
    let found = found(calls().read(&inquiry(InquiryKind::Match, &id(&body)), &answer(200, body.to_string())));
    match meaning(&Adapter, &settings(), &found.found[0]).events.remove(0).payload {
        Payload::MatchStatsSnapshot(snapshot) => {
            assert_eq!(snapshot.cancel_reason.as_deref(), Some("TIMED_OUT"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_about_something_else_is_not_taken() {
    let (calls, asked) = (calls(), inquiry(InquiryKind::Match, "another"));
    hostile(calls.as_ref(), &asked);
    assert_eq!(calls.read(&asked, &answer(404, "")), InquiryAnswer::Unknown);
    assert_eq!(calls.read(&asked, &answer(410, "")), InquiryAnswer::Unknown);
    let other = InquiryAnswer::Unreadable("id: it is another match".to_owned());
    assert_eq!(calls.read(&asked, &answer(200, MATCH)), other);
}

#[test]
fn a_source_is_asked_only_where_it_says_so() {
    let inquiries = |settings: &AdapterSettings, keys: &Keys| {
        Adapter.inquiries(settings, keys).map(|calls| calls.is_some())
    };
    let unset = testing::settings("dathost", &[]);
    assert_eq!(inquiries(&unset, &Keys::default()), Ok(false));
    assert_eq!(inquiries(&unset, &api_keys()), Err(SettingsError::UnusedKey { key: "keys.api" }));
    assert_eq!(inquiries(&settings(), &Keys::default()), Err(SettingsError::NoApiKey { option: "api_url" }));
    let no_user = Keys { api: KeySet::new([Bytes::from_static(b"pa55")]), ..Keys::default() };
    let refusal = inquiries(&settings(), &no_user).unwrap_err();
    assert!(!format!("{refusal} {refusal:?}").contains("pa55"));
}
