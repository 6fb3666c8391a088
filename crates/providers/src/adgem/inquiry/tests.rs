use bytes::Bytes;
use http::Response;
use matchpurse_domain::event::{OfferChange, Payload};
use serde_json::json;

use crate::adgem::Adapter;
use crate::inquiry::testing::{self, NOW, api_keys, found, hostile, inquiry, meaning, token};
use crate::{
    AdapterSettings, ApiError, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, KeySet, Keys, Provider,
    SettingsError,
};

fn settings(url: &str) -> AdapterSettings {
    testing::settings("adgem", &[("api_url", url)])
}

fn calls() -> Box<dyn Inquiries> {
    Adapter.inquiries(&settings("https://offer-api.adgem.com/"), &api_keys()).unwrap().unwrap()
}

fn list(offers: &[&str], pagination: serde_json::Value) -> Response<Bytes> {
    let offers: Vec<_> =
        offers.iter().map(|id| json!({"id": id, "campaign_id": 7, "name": "An offer"})).collect();
    let body =
        json!({"status": "success", "data": {"offers": offers, "pagination": pagination}, "links": {}});
    testing::answer(200, body.to_string())
}

fn asked<'i>(known: &'i [String], listed: &'i [String], page: Option<&'i str>) -> Inquiry<'i> {
    Inquiry { known, listed, page, ..inquiry(InquiryKind::Offers, "") }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Each change as "created 1" or "removed 2".
fn changes(found: &Found) -> Vec<String> {
    let settings = settings("https://offer-api.adgem.com");
    let change = |fetched| match meaning(&Adapter, &settings, fetched).events.remove(0).payload {
        Payload::OfferChanged(offer) => {
            assert_eq!(offer.changed_at.micros(), NOW.micros() / 1_000 * 1_000);
            let created = offer.change == OfferChange::Created;
            assert!(created || offer.change == OfferChange::Removed);
            assert_eq!(offer.campaign_id.as_deref(), created.then_some("7"));
            format!("{} {}", if created { "created" } else { "removed" }, offer.offer_id)
        }
        other => panic!("{other:?}"),
    };
    found.found.iter().map(change).collect()
}

#[test]
fn a_token_is_asked_for_and_shown_as_the_reference_says() {
    let calls = calls();
    let request = calls.token_request().unwrap();
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri(), "https://offer-api.adgem.com/v1/users/token");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        request.body(),
        "grant_type=refresh_token&refresh_token=someone%40example.com%3Apa%20ss%26w%3Drd"
    );
    let given = testing::answer(201, r#"{"message":"Authorized","access_token":"pa55","expires_in":3600}"#);
    let given = calls.read_token(&given).unwrap();
    assert_eq!((given.expose(), given.lives_s()), ("pa55", 3600));
    assert!(!format!("{given:?}").contains("pa55"));
    let list = calls.request(&asked(&[], &[], None), Some(&given)).unwrap();
    assert_eq!(list.uri(), "https://offer-api.adgem.com/v1/offers?per_page=100&page=1");
    assert_eq!(list.headers()["authorization"], "Bearer pa55");
    assert!(!format!("{list:?}").contains("pa55"));
    assert_eq!((calls.limit().calls, calls.limit().window_s), (60, 60));
}

#[test]
fn a_token_that_is_none_is_not_taken() {
    let read = |status, body: &str| calls().read_token(&testing::answer(status, body.to_owned()));
    for status in [400, 401, 403] {
        assert_eq!(read(status, "pa55").unwrap_err(), ApiError::KeyRefused);
    }
    assert_eq!(read(503, "pa55").unwrap_err(), ApiError::Later { after_s: None });
    for (status, body) in [
        (404, ""),
        (304, ""),
        (200, ""),
        (200, "pa55"),
        (200, r#"{"access_token":""}"#),
        (200, r#"{"access_token":"pa55\n"}"#),
        (200, r#"{"access_token":["pa55"]}"#),
        (200, r#"{"access_token":"x","expires_in":"pa55"}"#),
    ] {
        let Err(ApiError::Unreadable(words)) = read(status, body) else { panic!("{status} {body}") };
        assert!(!words.contains("pa55"), "{words}");
    }
    assert_eq!(read(200, r#"{"access_token":"x"}"#).unwrap().lives_s(), 60);
    assert_eq!(read(200, r#"{"access_token":"x","expires_in":-5}"#).unwrap().lives_s(), 0);
}

#[test]
fn a_list_tells_what_came_and_what_went() {
    let known = ids(&["1", "2"]);
    let whole = found(calls().read(&asked(&known, &[], None), &list(&["2", "3", "3"], json!(null))));
    assert_eq!(changes(&whole), ["created 3", "removed 1"]);
    assert_eq!((whole.next, whole.etag, whole.listed), (None, None, ids(&["2", "3", "3"])));
    let same = found(calls().read(&asked(&known, &[], None), &list(&["1", "2"], json!(null))));
    assert!(same.found.is_empty());
}

#[test]
fn what_went_is_known_only_at_the_end_of_all_pages() {
    let (known, calls) = (ids(&["1", "2", "9"]), calls());
    let pagination = json!({"current_page": 1, "per_page": 100, "has_more_pages": true, "next_page": 2});
    let first = found(calls.read(&asked(&known, &[], None), &list(&["1", "3"], pagination)));
    assert_eq!(changes(&first), ["created 3"]);
    let second = asked(&known, &first.listed, first.next.as_deref());
    let request = calls.request(&second, Some(&token())).unwrap();
    assert_eq!(request.uri().query(), Some("per_page=100&page=2"));
    let last = json!({"current_page": 2, "per_page": 100, "has_more_pages": false, "next_page": null});
    let second = found(calls.read(&second, &list(&["2", "3"], last)));
    assert_eq!(changes(&second), ["removed 9"]);
    assert_eq!(second.next, None);
}

#[test]
fn a_list_without_end_or_order_is_no_list() {
    let read = |page: Option<&str>, pagination| {
        let known = ids(&["1"]);
        calls().read(&asked(&known, &[], page), &list(&[], pagination))
    };
    for (page, next) in [(None, 1), (None, 3), (Some("4"), 4), (Some("4"), 2), (Some("1000"), 1001)] {
        let said = read(page, json!({"has_more_pages": true, "next_page": next}));
        assert!(matches!(said, InquiryAnswer::Unreadable(_)), "{said:?}");
    }
    for page in ["0", "1", "x", "1001", "2&x=1"] {
        assert!(calls().request(&asked(&[], &[], Some(page)), Some(&token())).is_none());
    }
}

#[test]
fn only_what_we_hold_already_need_not_be_sent_again() {
    let calls = calls();
    let mut answer = list(&["1", "2"], json!(null));
    answer.headers_mut().insert("etag", "W/\"abc def\"".parse().unwrap());
    let etag = found(calls.read(&asked(&[], &[], None), &answer)).etag.unwrap();
    let sent = |known: &[&str], etag: &str, page| {
        let (known, etag) = (ids(known), Some(etag));
        let request = calls.request(&Inquiry { etag, ..asked(&known, &[], page) }, Some(&token())).unwrap();
        request.headers().get("if-none-match").map(|etag| etag.to_str().unwrap().to_owned())
    };
    assert_eq!(sent(&["2", "1"], &etag, None).as_deref(), Some("W/\"abc def\""));
    // A webhook has told us otherwise since, or lost its fellow: the list is read again.
    assert_eq!(sent(&["1"], &etag, None), None);
    assert_eq!(sent(&["1", "2", "3"], &etag, None), None);
    assert_eq!(sent(&["1", "2"], &etag, Some("2")), None);
    assert_eq!(sent(&["1", "2"], "nonsense", None), None);
}

#[test]
fn nothing_goes_because_of_an_answer_that_is_no_list() {
    let known = ids(&["1"]);
    hostile(calls().as_ref(), &asked(&known, &[], None));
    for body in [
        r#"{"status":"error","data":{"offers":[]}}"#,
        r#"{"status":"success","data":{"offers":[{"id":"1"},{"name":"no id"}]}}"#,
        r#"{"status":"success","data":{"offers":[{"id":1.5}]}}"#,
        r#"{"status":"success","data":{"offers":null}}"#,
        r#"{"status":"success","data":{}}"#,
        r#"{"status":"success","data":{"offers":[],"pagination":{"next_page":-1}}}"#,
    ] {
        let said = calls().read(&asked(&known, &[], None), &testing::answer(200, body));
        assert!(matches!(said, InquiryAnswer::Unreadable(_)), "{body}: {said:?}");
    }
    let said = calls().read(&asked(&known, &[], None), &testing::answer(404, ""));
    assert_eq!(said, InquiryAnswer::Unreadable("the status is 404".to_owned()));
    // What is listed is an offer, whatever else it says.
    let empty = calls().read(&asked(&known, &[], None), &list(&[], json!(null)));
    assert_eq!(changes(&found(empty)), ["removed 1"]);
}

#[test]
fn a_source_is_asked_only_where_it_says_so() {
    let inquiries = |settings: &AdapterSettings, keys: &Keys| {
        Adapter.inquiries(settings, keys).map(|calls| calls.is_some())
    };
    let unset = testing::settings("adgem", &[]);
    assert_eq!(inquiries(&unset, &Keys::default()), Ok(false));
    assert_eq!(inquiries(&unset, &api_keys()), Err(SettingsError::UnusedKey { key: "keys.api" }));
    let url = settings("https://offer-api.adgem.com");
    assert_eq!(inquiries(&url, &Keys::default()), Err(SettingsError::NoApiKey { option: "api_url" }));
    let webhook = Keys { webhook: KeySet::new([Bytes::from_static(b"secret")]), ..Keys::default() };
    assert_eq!(Adapter.check(&url, &webhook), Ok(()));
    for bad in ["http://offer-api.adgem.com", "offer-api", "https://u:p@x", "https://x/?a=b", ""] {
        assert!(Adapter.check(&settings(bad), &webhook).is_err(), "{bad}");
    }
    assert!(inquiries(&settings("http://127.0.0.1:8088"), &api_keys()).unwrap());
    let calls = calls();
    assert!(calls.request(&inquiry(InquiryKind::Match, "1"), Some(&token())).is_none());
    assert!(calls.request(&asked(&[], &[], None), None).is_none());
}
