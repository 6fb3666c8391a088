use std::collections::BTreeMap;

use bytes::Bytes;
use matchpurse_domain::event::{CreditConversion, Payload, Unrecognized, UnrecognizedKind};
use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;

use super::Adapter;
use crate::delivery::{Delivery, Method};
use crate::keys::{KeyRole, KeySet, Keys};
use crate::normalized::{NormalizeError, Normalized, Question};
use crate::provider::{Provider, SignRequest, VerifyError};
use crate::redemption::{Redemption, CallAnswer};
use crate::reply::{Outcome, Reply};
use crate::settings::{AdapterSettings, OptionValue, SettingsError};

const SECRET: &[u8] = b"44c3e83c-8d8b-475b-9018-75bf831d0ade";
const BODY: &[u8] = br#"{"event":"UserKYCVerified","userId":"3b1f0c52-7f3e-4f0f-8c55-2a9d4f6b1a01"}"#;
const DIGITS: &str = "826be3e95875bfc74f873fc2a625d2c472b9d6bd3c131e0fdcf79ca942b1993e";

fn settings(options: &[(&str, OptionValue)]) -> AdapterSettings {
    let currency = Currency::new("USD", None).unwrap();
    let policy = SourcePolicy {
        source: SourceName::parse("games").unwrap(),
        provider: Adapter.id().to_owned(),
        currency,
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 86_400,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    };
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    AdapterSettings { policy, options: options.collect::<BTreeMap<_, _>>() }
}

fn keys() -> Keys {
    Keys { webhook: KeySet::new([Bytes::from_static(SECRET)]), ..Keys::default() }
}

fn verify(value: &str, settings: &AdapterSettings) -> Result<bool, VerifyError> {
    let headers = [("x-lucra-signature", value)].into_iter().collect();
    let delivery = Delivery { method: Method::Post, headers, body: Bytes::from_static(BODY) };
    let verified = Adapter.verify(&delivery, settings, &keys(), Timestamp::default())?;
    assert_eq!(verified.role(), KeyRole::Webhook);
    Ok(verified.body_authenticated())
}

#[test]
fn the_known_vector_verifies_and_is_what_we_sign() {
    let settings = settings(&[]);
    assert_eq!(verify(&format!("sha256={DIGITS}"), &settings), Ok(true));
    let request = SignRequest {
        method: Method::Post,
        body: BODY,
        key: SECRET,
        role: KeyRole::Webhook,
        now: Timestamp::default(),
        settings: &settings,
    };
    let signed = Adapter.sign(&request).unwrap();
    assert_eq!(signed.headers, [("X-Lucra-Signature", format!("sha256={DIGITS}"))]);
    assert!(Adapter.sign(&SignRequest { role: KeyRole::Postback, ..request }).is_err());
}

#[test]
fn bare_digits_are_taken_only_where_the_source_allows_them() {
    assert_eq!(verify(DIGITS, &settings(&[])), Err(VerifyError::HeaderMalformed));
    let strict = settings(&[("allow_bare_hex", OptionValue::Flag(false))]);
    assert_eq!(verify(DIGITS, &strict), Err(VerifyError::HeaderMalformed));
    let lenient = settings(&[("allow_bare_hex", OptionValue::Flag(true))]);
    assert_eq!(verify(DIGITS, &lenient), Ok(true));
    assert_eq!(verify(&format!("sha256={DIGITS}"), &lenient), Ok(true));
    assert_eq!(verify(&format!("sha1={DIGITS}"), &lenient), Err(VerifyError::HeaderMalformed));
}

#[test]
fn a_source_that_could_not_work_is_refused() {
    let check = |options: &[(&str, OptionValue)], keys: Keys| Adapter.check(&settings(options), &keys);
    assert_eq!(check(&[], keys()), Ok(()));
    for policy in ["none", "complete", "pending"] {
        assert_eq!(check(&[("conversion", OptionValue::Text(policy.to_owned()))], keys()), Ok(()));
    }
    assert_eq!(check(&[], Keys::default()), Err(SettingsError::NoKey { key: "secrets" }));
    for bad in [
        ("conversion", OptionValue::Text("always".to_owned())),
        ("conversion", OptionValue::Text("COMPLETED".to_owned())),
        ("conversion", OptionValue::Flag(true)),
        ("allow_bare_hex", OptionValue::Text("yes".to_owned())),
        ("allow_bare_hexx", OptionValue::Flag(true)),
    ] {
        assert!(check(std::slice::from_ref(&bad), keys()).is_err(), "{bad:?}");
    }
}

fn conversion(answer: &str) -> Payload {
    Payload::CreditConversion(CreditConversion {
        intent_id: "i".to_owned(),
        player_id: PlayerId::new("p"),
        amount: Money::new(100, Currency::new("USD", None).unwrap().code),
        converted_amount: "120".to_owned(),
        metadata: None,
        answer: answer.to_owned(),
    })
}

#[test]
fn a_conversion_is_answered_by_its_event_and_everything_else_with_nothing() {
    for (answer, words) in [
        ("FAILED", "Conversion into credit is not offered here; the money stays with the player."),
        ("COMPLETED", "Converted into credit."),
        ("PENDING", "The conversion is being looked at."),
    ] {
        let reply = Adapter.reply(Outcome::Kept { payloads: &[&conversion(answer)] });
        assert_eq!(reply, Reply::json(format!(r#"{{"status":"{answer}","responseText":"{words}"}}"#)));
    }
    assert_eq!(Adapter.reply(Outcome::Kept { payloads: &[] }), Reply::ok());
    let unknown = Unrecognized { kind: UnrecognizedKind::UnknownType, reason: "x".to_owned() };
    assert_eq!(Adapter.reply(Outcome::Kept { payloads: &[&Payload::Unrecognized(unknown)] }), Reply::ok());
}

fn normalize(body: &str) -> Result<Normalized, NormalizeError> {
    normalize_by(&settings(&[]), body)
}

fn normalize_by(settings: &AdapterSettings, body: &str) -> Result<Normalized, NormalizeError> {
    let request = SignRequest {
        method: Method::Post,
        body: body.as_bytes(),
        key: SECRET,
        role: KeyRole::Webhook,
        now: Timestamp::default(),
        settings,
    };
    let headers = Adapter.sign(&request).unwrap().headers.into_iter().collect();
    let delivery = Delivery { method: Method::Post, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
    let verified = Adapter.verify(&delivery, settings, &keys(), Timestamp::default()).unwrap();
    Adapter.normalize(&verified, settings)
}

#[test]
fn a_conversion_is_answered_as_the_policy_says_and_is_a_question_of_its_intent() {
    let body = r#"{"intentId":"i","userId":"u","amount":100,"convertedAmount":120}"#;
    for (policy, expected) in
        [(None, "FAILED"), (Some("none"), "FAILED"), (Some("complete"), "COMPLETED"), (Some("pending"), "PENDING")]
    {
        let options = policy.map(|policy| ("conversion", OptionValue::Text(policy.to_owned())));
        let settings = settings(options.as_slice());
        let read = normalize_by(&settings, body).unwrap();
        let question = Question { id: "i".to_owned(), answer: expected.to_owned() };
        assert_eq!(read.question, Some(question), "{policy:?}");
        let [event] = read.events.as_slice() else { panic!("one event") };
        let Payload::CreditConversion(wish) = &event.payload else { panic!("{event:?}") };
        assert_eq!(wish.answer, expected);
        // Without an intent that can be read there is nothing to ask about, and in any case no money moves.
        let nameless = body.replace("\"i\"", "null");
        assert_eq!(normalize_by(&settings, &nameless).unwrap().question, None);
        let unreadable = body.replace("100", "\"ten\"");
        let question = Question { id: "i".to_owned(), answer: "FAILED".to_owned() };
        assert_eq!(normalize_by(&settings, &unreadable).unwrap().question, Some(question));
    }
    assert_eq!(normalize(r#"{"event":"UserKYCVerified","userId":"u"}"#).unwrap().question, None);
}

#[test]
fn a_conversion_that_cannot_be_read_returns_the_money() {
    for body in [
        r#"{"event":"C2CWithdrawal"}"#,
        r#"{"event":"C2CWithdrawal","intentId":5}"#,
        r#"{"event":"C2CWithdrawal","event":"C2CWithdrawal","intentId":"i"}"#,
        r#"{"event":"C2CWithdrawal","intentId":"i","userId":"u","amount":"ten","convertedAmount":1}"#,
        r#"{"event":"C2CWithdrawal","intentId":"i","userId":"u","amount":-1,"convertedAmount":1}"#,
        r#"{"intentId":"i","userId":"u","amount":{},"convertedAmount":1}"#,
        r#"{"intentId":"i","intentId":"j","userId":"u","amount":1,"convertedAmount":1}"#,
        r#"{"event":7,"intentId":"i","userId":"u","amount":1,"convertedAmount":1}"#,
        r#"{"event":null,"intentId":null,"convertedAmount":null}"#,
        r#"{"event":"","intentId":"i","convertedAmount":1}"#,
    ] {
        let read = normalize(body).unwrap();
        assert_eq!(read.provider_type, "C2CWithdrawal", "{body}");
        let [event] = read.events.as_slice() else { panic!("{body}: one event") };
        let Payload::Unrecognized(unrecognized) = &event.payload else { panic!("{body}: {event:?}") };
        assert_eq!(unrecognized.kind, UnrecognizedKind::Malformed, "{body}");
        let reply = Adapter.reply(Outcome::Kept { payloads: &[&event.payload] });
        assert!(reply.body.starts_with(br#"{"status":"FAILED","#), "{body}: {reply:?}");
    }
}

#[test]
fn what_is_no_conversion_or_no_json_is_still_refused() {
    for body in [
        "",
        "C2CWithdrawal",
        r#"{"event":"C2CWithdrawal""#,
        r#"{"event":"C2CWithdrawal"} x"#,
        r#"[{"event":"C2CWithdrawal"}]"#,
        r#"{"event":"RecreationalGameCreated","intentId":"i","convertedAmount":1}"#,
        r#"{"event":7,"intentId":"i"}"#,
    ] {
        assert!(normalize(body).is_err(), "{body}");
    }
}

/// A source that has Lucra told, and the key that it is told with.
fn told(url: &str, key: &'static str) -> (AdapterSettings, Keys) {
    let settings = settings(&[("api_url", OptionValue::Text(url.to_owned()))]);
    (settings, Keys { api: KeySet::new([Bytes::from_static(key.as_bytes())]), ..Keys::default() })
}

#[test]
fn lucra_is_told_as_its_page_says() {
    let redeemed_at = Timestamp::from_micros(1_720_729_570_344_522);
    for base in ["https://api.lucrasports.com", "https://api.lucrasports.com/"] {
        let (settings, keys) = told(base, "the-key");
        Adapter.check(&settings, &Keys { webhook: KeySet::new([Bytes::from_static(SECRET)]), ..keys.clone() }).unwrap();
        let calls = Adapter.redemptions(&settings, &keys).unwrap().unwrap();
        let redemption = Redemption {
            contest_kind: ContestKind::Contest,
            contest_id: "7a986e7d-\"quoted\"",
            player_id: "6b186e7d",
            redeemed_at,
        };
        let request = calls.request(&redemption);
        assert_eq!(request.method(), http::Method::POST);
        assert_eq!(request.uri(), "https://api.lucrasports.com/api/rest/user_redeemed_tenant_reward");
        assert_eq!(request.headers()["x-lucra-api-key"], "the-key");
        assert!(!format!("{request:?}").contains("the-key"), "the key is not shown");
        assert_eq!(
            request.body(),
            r#"{"event":"UserRewardRedeemed","matchupId":"7a986e7d-\"quoted\"","userId":"6b186e7d","redeemedAt":"2024-07-11T20:26:10.344Z"}"#
        );
        assert_eq!(calls.request(&redemption).body(), request.body());
        let limit = calls.limit();
        assert_eq!((limit.calls, limit.window_s), (100, 10));
        assert_eq!(calls.contests(), [ContestKind::Contest, ContestKind::Match]);
    }
}

#[test]
fn an_answer_is_the_end_or_asks_for_a_repeat() {
    let (settings, keys) = told("https://api.lucrasports.com", "the-key");
    let calls = Adapter.redemptions(&settings, &keys).unwrap().unwrap();
    for (status, expected) in [
        (200, CallAnswer::Taken),
        (204, CallAnswer::Taken),
        (301, CallAnswer::Again),
        (400, CallAnswer::Refused),
        (401, CallAnswer::KeyRefused),
        (403, CallAnswer::Forbidden),
        (404, CallAnswer::Refused),
        (408, CallAnswer::Again),
        (409, CallAnswer::Refused),
        (425, CallAnswer::Again),
        (429, CallAnswer::Again),
        (500, CallAnswer::Again),
        (504, CallAnswer::Again),
    ] {
        let answer = http::Response::builder().status(status).body(Bytes::new()).unwrap();
        assert_eq!(calls.read(&answer), expected, "{status}");
    }
}

/// Sources that call with one key are under one limit, and the key is not in its name.
#[test]
fn a_limit_is_that_of_a_key() {
    let limit = |url, key| {
        let (settings, keys) = told(url, key);
        Adapter.redemptions(&settings, &keys).unwrap().unwrap().limit()
    };
    let one = limit("https://api.lucrasports.com", "one");
    assert_eq!(limit("https://api.sandbox.lucrasports.com", "one"), one);
    assert_ne!(limit("https://api.lucrasports.com", "other").id, one.id);
}

#[test]
fn nothing_is_told_unless_a_source_asks_for_it() {
    let unasked = Adapter.redemptions(&settings(&[]), &keys());
    assert!(unasked.is_ok_and(|calls| calls.is_none()));
    // Only who calls has the key, so the option alone does not stop the ingress.
    let (asking, key) = told("https://api.lucrasports.com", "the-key");
    assert_eq!(Adapter.check(&asking, &keys()), Ok(()));
    let refusal = |settings: &AdapterSettings, keys: &Keys| Adapter.redemptions(settings, keys).err();
    assert_eq!(refusal(&asking, &keys()), Some(SettingsError::NoApiKey { option: "api_url" }));
    assert!(matches!(refusal(&settings(&[]), &key), Some(SettingsError::BadOption { option: "api_url", .. })));
    let (insecure, _) = told("http://api.lucrasports.com", "the-key");
    assert!(Adapter.check(&insecure, &keys()).is_err());
}
