//! What the tests of every provider's inquiries need.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, OnDeadline, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;

use crate::{
    AccessToken, AdapterSettings, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, KeySet,
    Keys, Normalized, OptionValue, Provider, Verified,
};

/// The key of every source here; it may be seen nowhere.
pub(crate) const API_KEY: &str = "someone@example.com:pa ss&w=rd";
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_720_729_570_344_522);

pub(crate) fn settings(provider: &str, options: &[(&str, &str)]) -> AdapterSettings {
    let policy = SourcePolicy {
        source: SourceName::parse("asked").unwrap(),
        provider: provider.to_owned(),
        currency: Currency::new("USD", None).unwrap(),
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 86_400,
        on_deadline: OnDeadline::Refund,
    };
    let option = |(name, text): &(&str, &str)| ((*name).to_owned(), OptionValue::Text((*text).to_owned()));
    AdapterSettings { policy, options: options.iter().map(option).collect::<BTreeMap<_, _>>() }
}

pub(crate) fn api_keys() -> Keys {
    Keys { api: KeySet::new([Bytes::from_static(API_KEY.as_bytes())]), ..Keys::default() }
}

pub(crate) fn inquiry(kind: InquiryKind, subject: &str) -> Inquiry<'_> {
    Inquiry { kind, subject, page: None, etag: None, known: &[], listed: &[], now: NOW }
}

pub(crate) fn token() -> AccessToken {
    AccessToken::new("access-token".to_owned(), 60)
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).unwrap()
}

pub(crate) fn found(answer: InquiryAnswer) -> Found {
    match answer {
        InquiryAnswer::Found(found) => found,
        other => panic!("not found: {other:?}"),
    }
}

/// What a fetched body means, which must be what it would mean had it been delivered.
pub(crate) fn meaning(adapter: &dyn Provider, settings: &AdapterSettings, fetched: &Fetched) -> Normalized {
    let verified = Verified::fetched(fetched.clone());
    assert!(verified.body_authenticated());
    assert_eq!(verified.vouched().key.as_str(), "api");
    let fetched = adapter.normalize(&verified, settings).unwrap();
    assert!(!fetched.events.is_empty());
    fetched
}

/// What no provider's answer may do: pass for something that it is not, or be shown.
pub(crate) fn hostile(calls: &dyn Inquiries, asked: &Inquiry<'_>) {
    use InquiryAnswer::{KeyRefused, Later, Unchanged, Unreadable};
    let read = |status, body: &str| calls.read(asked, &answer(status, body.to_owned()));
    let after = |value: &str| {
        let answer = Response::builder().status(429).header("retry-after", value).body(Bytes::new()).unwrap();
        calls.read(asked, &answer)
    };
    assert_eq!(read(304, ""), Unchanged);
    assert_eq!((read(401, "pa55"), read(403, "pa55")), (KeyRefused, KeyRefused));
    assert_eq!(after("7"), Later { after_s: Some(7) });
    for odd in ["-1", "soon", "99999999999999999999", "86401", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        assert_eq!(after(odd), Later { after_s: None }, "{odd}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(read(status, "pa55"), Later { after_s: None }, "{status}");
    }
    for status in [202, 206, 301, 302, 400, 409, 418, 422] {
        assert_eq!(read(status, "pa55"), Unreadable(format!("the status is {status}")));
    }
    let deep = "[".repeat(100_000);
    let huge = format!("{{\"x\":\"pa55{}", "x".repeat(1_000_000));
    for body in [
        "",
        "pa55",
        "\0",
        "\u{feff}{}",
        "null",
        "5",
        "\"pa55\"",
        "{\"x\":\"pa55",
        "{\"x\":\"pa55\"}",
        "{\"id\":{\"x\":\"pa55\"},\"match_id\":[\"pa55\"],\"data\":\"pa55\"}",
        "{\"id\":\"a\\u0000b\",\"match_id\":\"a\\u0000b\",\"data\":{\"offers\":[{\"id\":\"a\\u0000b\"}]}}",
        deep.as_str(),
        huge.as_str(),
    ] {
        let said = read(200, body);
        let Unreadable(words) = &said else { panic!("{:.40}: {said:?}", body) };
        assert!(!words.contains("pa55") && words.len() < 600, "{words}");
    }
    assert!(matches!(calls.read(asked, &answer(200, Bytes::from_static(b"\xff\xfe"))), Unreadable(_)));
}
