use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use matchpurse_domain::event::{MatchKind, MatchSnapshot, MatchStatus, Payload, Unrecognized, UnrecognizedKind};
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

const PRIVATE: &[u8] = include_bytes!("fixtures/keys/private.pem");
const PUBLIC: &[u8] = include_bytes!("fixtures/keys/public.pem");
const PUBLIC_BASE64: &str = include_str!("fixtures/keys/public.base64");
const OTHER_PRIVATE: &[u8] = include_bytes!("fixtures/keys/other_private.pem");
const OTHER_PUBLIC: &[u8] = include_bytes!("fixtures/keys/other_public.pem");
/// The first key in the form of PKCS #1.
const OLD_FORM: &str = "-----BEGIN RSA PUBLIC KEY-----\n\
    MIIBCgKCAQEAwRphe988z2o+OqwJA/mmIdqZa9shrUeW5UVqnBUwWjlq4QWJziNM\n\
    iZUqplqziOtBNRcJaVBU8mZOhkuHGQhGX4DdVKQFb0tctyoTctlmOvLhkvdX0jJu\n\
    7sl7bgLI6uH4FhnCoeIeiI4gavUwwIkoOkemjE9toRTfsEJLmTm7esPJD75WEw/7\n\
    jpjxvNYVztL3V/IMFsakt88U5UYEUrDkvOfPRt/qNZnInrkMwfioNh4Q43trt8TR\n\
    ECUeF9O2RSqoZ8UKpUWG3qu8K7qw1Tcp56yF4oaVFv1PsUSeyoUMaSwyf/n1qtn4\n\
    +e8cvZTwqVikYKFdXEqgaBiATtFhfXoOgQIDAQAB\n\
    -----END RSA PUBLIC KEY-----\n";
const BODY: &[u8] = br#"{"match_id":"m","participants":[{"id":"p1","team_id":"a"},{"id":"p2","team_id":"b"}],"teams":[{"id":"a"},{"id":"b"}]}"#;
const NOW: i64 = 1_720_729_570;

fn text(value: &str) -> OptionValue {
    OptionValue::Text(value.to_owned())
}

fn texts(values: &[&str]) -> OptionValue {
    OptionValue::Texts(values.iter().map(|v| (*v).to_owned()).collect())
}

fn settings(options: impl IntoIterator<Item = (&'static str, OptionValue)>) -> AdapterSettings {
    let policy = SourcePolicy {
        source: SourceName::parse("olp").unwrap(),
        provider: Adapter.id().to_owned(),
        currency: Currency::new("USD", None).unwrap(),
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: Some(500),
        hold_deadline_s: 86_400,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    };
    AdapterSettings { policy, options: options.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
}

fn keys(pems: &[&'static [u8]]) -> Keys {
    Keys { webhook: KeySet::new(pems.iter().map(|pem| Bytes::from_static(pem))), ..Keys::default() }
}

fn token(claims: &Value, algorithm: Algorithm, key: &EncodingKey) -> String {
    super::token::use_aws_lc();
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

/// A token of the trusted key.
fn good(claims: &Value) -> String {
    token(claims, Algorithm::RS256, &EncodingKey::from_rsa_pem(PRIVATE).unwrap())
}

fn delivery(authorization: &str) -> Delivery {
    Delivery {
        method: Method::Put,
        headers: [("Authorization", authorization)].into_iter().collect(),
        body: Bytes::from_static(BODY),
    }
}

fn verify_with(
    authorization: &str,
    keys: &Keys,
    settings: &AdapterSettings,
    now: i64,
) -> Result<(), VerifyError> {
    Adapter
        .verify(&delivery(authorization), settings, keys, Timestamp::from_seconds(now))
        .map(|verified| assert!(!verified.body_authenticated()))
}

fn verify(authorization: &str) -> Result<(), VerifyError> {
    verify_with(authorization, &keys(&[PUBLIC]), &settings([]), NOW)
}

#[test]
fn a_token_of_the_realm_is_believed() {
    let token = good(&json!({"exp": NOW + 60}));
    assert_eq!(verify(&format!("Bearer {token}")), Ok(()));
    assert_eq!(verify(&format!("bearer  {token}")), Ok(()));
}

#[test]
fn what_the_adapter_signs_it_verifies() {
    let settings = settings([
        ("issuer", text("https://realm")),
        ("audience", texts(&["us", "them"])),
        ("azp", text("okletsplay")),
    ]);
    let request = SignRequest {
        method: Method::Put,
        body: BODY,
        key: PRIVATE,
        role: KeyRole::Webhook,
        now: Timestamp::from_seconds(NOW),
        settings: &settings,
    };
    let signed = Adapter.sign(&request).unwrap();
    let [(name, value)] = signed.headers.as_slice() else { panic!("one header") };
    assert_eq!(*name, "authorization");
    assert_eq!(verify_with(value, &keys(&[PUBLIC]), &settings, NOW), Ok(()));
    assert!(Adapter.sign(&SignRequest { key: PUBLIC, ..request }).is_err());
    assert!(Adapter.sign(&SignRequest { key: b"secret", ..request }).is_err());
}

/// The expected digits are what openssl and sha256sum say; the same key in any form is the same.
#[test]
fn a_public_key_is_known_by_its_fingerprint() {
    let pkcs1 = OLD_FORM.as_bytes();
    let in_environment = String::from_utf8(PUBLIC.to_vec()).unwrap().replace('\n', "\\n");
    for form in [PUBLIC, PUBLIC_BASE64.as_bytes(), pkcs1, in_environment.as_bytes()] {
        assert_eq!(super::keys::fingerprint(form).unwrap().to_string(), "d137784e506496f2");
    }
    assert_eq!(super::keys::fingerprint(OTHER_PUBLIC).unwrap().to_string(), "4df6f972787ee16b");
    let token = good(&json!({"exp": NOW + 60}));
    let configured = settings([("public_key", text(str::from_utf8(PUBLIC).unwrap()))]);
    let verified = Adapter.verify(
        &delivery(&format!("Bearer {token}")),
        &configured,
        &keys(&[OTHER_PUBLIC]),
        Timestamp::from_seconds(NOW),
    );
    let which = verified.unwrap().vouched().which.unwrap();
    let shown = which.fingerprint.map(|print| print.to_string());
    assert_eq!((which.place.get(), which.of, shown.as_deref()), (2, 2, Some("d137784e506496f2")));
}

#[test]
fn every_active_key_is_tried() {
    let theirs =
        token(&json!({"exp": NOW + 60}), Algorithm::RS256, &EncodingKey::from_rsa_pem(OTHER_PRIVATE).unwrap());
    let header = format!("Bearer {theirs}");
    let none = settings([]);
    assert_eq!(verify(&header), Err(VerifyError::SignatureMismatch));
    assert_eq!(verify_with(&header, &keys(&[PUBLIC, OTHER_PUBLIC]), &none, NOW), Ok(()));
    assert_eq!(verify_with(&header, &keys(&[OTHER_PUBLIC, PUBLIC]), &none, NOW), Ok(()));
    assert_eq!(verify_with(&header, &keys(&[b"no key", OTHER_PUBLIC]), &none, NOW), Ok(()));
    assert_eq!(verify_with(&header, &keys(&[]), &none, NOW), Err(VerifyError::NoKey));
    let ours = format!("Bearer {}", good(&json!({"exp": NOW + 60})));
    let option = settings([("public_key", text(PUBLIC_BASE64))]);
    assert_eq!(verify_with(&ours, &keys(&[]), &option, NOW), Ok(()));
    assert_eq!(verify_with(&ours, &keys(&[OTHER_PUBLIC]), &option, NOW), Ok(()));
}

#[test]
fn the_algorithm_is_pinned() {
    let claims = json!({"exp": NOW + 60});
    // The classic confusion: the public key, which everybody knows, as the secret of an HMAC.
    for secret in [PUBLIC, PUBLIC_BASE64.as_bytes()] {
        let forged = token(&claims, Algorithm::HS256, &EncodingKey::from_secret(secret));
        assert_eq!(verify(&format!("Bearer {forged}")), Err(VerifyError::WrongAlgorithm));
    }
    let key = EncodingKey::from_rsa_pem(PRIVATE).unwrap();
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let other = token(&claims, algorithm, &key);
        assert_eq!(verify(&format!("Bearer {other}")), Err(VerifyError::WrongAlgorithm));
    }
    let signed = good(&claims);
    let payload = signed.split('.').nth(1).unwrap();
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"NONE"}"#, r#"{"typ":"JWT"}"#, r#"{"alg":null}"#, r#"{"alg":5}"#]
    {
        let header = URL_SAFE_NO_PAD.encode(header);
        for forged in [format!("{header}.{payload}."), format!("{header}.{payload}.AAAA")] {
            assert_eq!(verify(&format!("Bearer {forged}")), Err(VerifyError::WrongAlgorithm));
        }
    }
    let critical = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#);
    assert_eq!(verify(&format!("Bearer {critical}.{payload}.AAAA")), Err(VerifyError::HeaderMalformed));
}

#[test]
fn a_changed_token_is_no_token() {
    let signed = good(&json!({"exp": NOW + 60}));
    let parts: Vec<&str> = signed.split('.').collect();
    let later = URL_SAFE_NO_PAD.encode(json!({"exp": NOW + 6000}).to_string());
    let forged = format!("Bearer {}.{later}.{}", parts[0], parts[2]);
    assert_eq!(verify(&forged), Err(VerifyError::SignatureMismatch));
    let unsigned = format!("Bearer {}.{}.", parts[0], parts[1]);
    assert_eq!(verify(&unsigned), Err(VerifyError::SignatureMismatch));
}

#[test]
fn the_header_must_stand_once_and_hold_one_bearer_token() {
    let token = good(&json!({"exp": NOW + 60}));
    for malformed in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token},{token}"),
        format!("Bearer {token}.x"),
        "Bearer a.b".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer ..".to_owned(),
    ] {
        let refused = verify(&malformed);
        assert!(
            matches!(refused, Err(VerifyError::HeaderMalformed | VerifyError::SignatureMismatch)),
            "{malformed}: {refused:?}"
        );
    }
    let mut headers = Headers::default();
    let keys = keys(&[PUBLIC]);
    let check = |headers: &Headers| {
        let delivery = Delivery { headers: headers.clone(), ..delivery("") };
        Adapter.verify(&delivery, &settings([]), &keys, Timestamp::from_seconds(NOW)).map(drop)
    };
    assert_eq!(check(&headers), Err(VerifyError::HeaderMissing));
    headers.add("authorization", format!("Bearer {token}"));
    assert_eq!(check(&headers), Ok(()));
    headers.add("AUTHORIZATION", format!("Bearer {token}"));
    assert_eq!(check(&headers), Err(VerifyError::HeaderDoubled));
    let mut binary = Headers::default();
    binary.add("authorization", b"Bearer \xff\xfe".to_vec());
    assert_eq!(check(&binary), Err(VerifyError::HeaderMalformed));
}

#[test]
fn times_are_checked_against_the_time_given() {
    let at = |claims: Value, now: i64| {
        verify_with(&format!("Bearer {}", good(&claims)), &keys(&[PUBLIC]), &settings([]), now)
    };
    // The clock of the machine that runs this test is years after NOW: it must not matter.
    assert_eq!(at(json!({"exp": NOW}), NOW - 1), Ok(()));
    assert_eq!(at(json!({"exp": NOW}), NOW + 59), Ok(()));
    assert_eq!(at(json!({"exp": NOW}), NOW + 60), Err(VerifyError::Expired));
    assert_eq!(at(json!({"exp": NOW + 9, "nbf": NOW}), NOW - 60), Ok(()));
    assert_eq!(at(json!({"exp": NOW + 9, "nbf": NOW}), NOW - 61), Err(VerifyError::NotYetValid));
    assert_eq!(at(json!({"exp": i64::MAX}), NOW), Ok(()));
    assert_eq!(at(json!({"exp": -5}), NOW), Err(VerifyError::Expired));
    // RFC 7519 allows a fraction.
    assert_eq!(at(serde_json::from_str(&format!(r#"{{"exp":{NOW}.75}}"#)).unwrap(), NOW + 59), Ok(()));
    for (claims, why) in [
        (json!({}), "no end"),
        (json!({"exp": null}), "null"),
        (json!({"exp": NOW.to_string()}), "a text"),
        (json!({"exp": true}), "a flag"),
        (json!({"exp": NOW + 9, "nbf": "soon"}), "not before a text"),
        (json!([]), "no object"),
    ] {
        assert_eq!(at(claims, NOW), Err(VerifyError::WrongClaim), "{why}");
    }
}

#[test]
fn the_claims_that_the_source_asks_for_must_hold() {
    let asked = [
        ("issuer", text("https://realm")),
        ("audience", texts(&["us", "them"])),
        ("azp", texts(&["client", "other"])),
    ];
    let all = settings(asked.clone());
    let full = json!({"exp": NOW + 9, "iss": "https://realm", "aud": ["x", "them"], "azp": "client"});
    let check = |claims: &Value, settings: &AdapterSettings| {
        verify_with(&format!("Bearer {}", good(claims)), &keys(&[PUBLIC]), settings, NOW)
    };
    assert_eq!(check(&full, &all), Ok(()));
    assert_eq!(check(&full, &settings([])), Ok(()), "what is not asked for is not looked at");
    for (claim, other) in [
        ("iss", json!("https://realm/")),
        ("iss", json!(["https://realm"])),
        ("iss", Value::Null),
        ("aud", json!("x")),
        ("aud", json!([])),
        ("aud", json!(7)),
        ("aud", Value::Null),
        ("azp", json!("another game")),
        ("azp", json!(["client"])),
        ("azp", Value::Null),
    ] {
        let mut claims = full.clone();
        claims[claim] = other.clone();
        assert_eq!(check(&claims, &all), Err(VerifyError::WrongClaim), "{claim} {other}");
        claims.as_object_mut().unwrap().remove(claim);
        assert_eq!(check(&claims, &all), Err(VerifyError::WrongClaim), "no {claim}");
    }
    let mut single = full;
    single["aud"] = json!("us");
    assert_eq!(check(&single, &all), Ok(()));
}

#[test]
fn the_key_url_answers_json_or_pem() {
    let answer = json!({"realm": "letsbet", "public_key": PUBLIC_BASE64, "token-service": "x"}).to_string();
    let header = format!("Bearer {}", good(&json!({"exp": NOW + 60})));
    let armoured = json!({"public_key": String::from_utf8_lossy(PUBLIC)}).to_string();
    let two = [OTHER_PUBLIC, PUBLIC].concat();
    for body in [answer.as_bytes(), armoured.as_bytes(), PUBLIC, &two] {
        let read = Adapter.read_remote_keys(body).unwrap();
        let keys = Keys { webhook: KeySet::new(read), ..Keys::default() };
        assert_eq!(verify_with(&header, &keys, &settings([]), NOW), Ok(()));
    }
    assert_eq!(Adapter.read_remote_keys(&two).unwrap().len(), 2);
    let ec = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfW18BfHoEulhcgbxBDboFgoqTfeorBYSI6gjD8HNVgoHI4bhtzd3zdUL0YOEcTbhaPa9cwa5zIDn9rFYRDMziw==";
    for bad in [
        b"".as_slice(),
        b"<html>",
        b"\xff",
        b"{}",
        br#"{"public_key":""}"#,
        br#"{"public_key":"AAAA"}"#,
        br#"{"public_key":"not base64!"}"#,
        json!({ "public_key": ec }).to_string().as_bytes(),
        json!({ "public_key": String::from_utf8_lossy(PRIVATE) }).to_string().as_bytes(),
        &PUBLIC[..200],
    ] {
        assert!(Adapter.read_remote_keys(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn a_source_that_could_not_work_is_refused() {
    let check = |mut options: Vec<(&'static str, OptionValue)>, pems: &[&'static [u8]]| {
        // Which clients are meant has a test of its own.
        if !options.iter().any(|(name, _)| *name == "azp") {
            options.push(("azp", text("platform")));
        }
        Adapter.check(&settings(options), &keys(pems))
    };
    assert_eq!(check(vec![], &[PUBLIC]), Ok(()));
    assert_eq!(check(vec![], &[PUBLIC_BASE64.as_bytes()]), Ok(()));
    assert_eq!(check(vec![("public_key", text(PUBLIC_BASE64))], &[]), Ok(()));
    let escaped = String::from_utf8_lossy(PUBLIC).replace('\n', "\\n");
    assert_eq!(check(vec![("public_key", text(&escaped))], &[]), Ok(()));
    let url = "https://prod.okletsplay.com/auth/realms/letsbet";
    assert_eq!(check(vec![("public_key_url", text(url))], &[]), Ok(()));
    assert_eq!(check(vec![("public_key_url", text("http://127.0.0.1:9/realm"))], &[]), Ok(()));
    assert_eq!(Adapter.remote_keys(&settings([("public_key_url", text(url))])).unwrap().url, url);
    assert_eq!(Adapter.remote_keys(&settings([])), None);

    assert!(matches!(check(vec![], &[]), Err(SettingsError::NoKey { .. })));
    for bad in [b"secret".as_slice(), PRIVATE, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
        assert!(matches!(check(vec![], &[bad]), Err(SettingsError::BadKey { key: "secrets", .. })));
    }
    assert!(matches!(check(vec![("public_key", text("x"))], &[]), Err(SettingsError::BadKey { .. })));
    for (option, value) in [
        ("public_key_url", text("http://prod.okletsplay.com/realm")),
        ("public_key_url", text("ftp://localhost/realm")),
        ("public_key_url", text("/realm")),
        ("public_key_url", text("not a url")),
        ("public_key_url", OptionValue::Flag(true)),
        ("public_key", text("")),
        ("issuer", text("")),
        ("issuer", texts(&["a"])),
        ("audience", texts(&[])),
        ("azp", texts(&["a", ""])),
        ("azp", OptionValue::Number(1)),
        ("on_inconsistent", text("ignore")),
    ] {
        let refused = check(vec![(option, value.clone())], &[PUBLIC]);
        assert!(matches!(refused, Err(SettingsError::BadOption { .. })), "{option} {value:?}: {refused:?}");
    }
    let unknown = check(vec![("isuer", text("x"))], &[PUBLIC]);
    assert!(matches!(unknown, Err(SettingsError::UnknownOption { .. })));
}

#[test]
fn a_source_says_which_clients_it_means_or_that_it_means_all() {
    let check = |options: &[(&'static str, OptionValue)]| {
        Adapter.check(&settings(options.iter().cloned()), &keys(&[PUBLIC]))
    };
    let all = ("any_client", OptionValue::Flag(true));
    let named = ("any_client", OptionValue::Flag(false));
    let azp = ("azp", text("platform"));
    let audience = ("audience", text("us"));
    for good in [
        [azp.clone()].as_slice(),
        std::slice::from_ref(&audience),
        &[azp.clone(), audience.clone(), named.clone()],
        std::slice::from_ref(&all),
    ] {
        assert_eq!(check(good), Ok(()), "{good:?}");
    }
    // The issuer is the same in the tokens of all clients.
    for bad in [[].as_slice(), &[("issuer", text("https://realm"))], &[named]] {
        let refused = check(bad).unwrap_err().to_string();
        assert!(refused.contains("another game's client would pass"), "{bad:?}: {refused}");
    }
    for bad in [[all.clone(), azp].as_slice(), &[all, audience], &[("any_client", text("yes"))]] {
        let refused = check(bad);
        assert!(matches!(refused, Err(SettingsError::BadOption { option: "any_client", .. })), "{refused:?}");
    }
}

#[test]
fn the_realm_whose_key_is_fetched_is_the_issuer_unless_another_is_set() {
    let issued_by = |issuer: &str| good(&json!({"exp": NOW + 60, "iss": issuer}));
    let verify = |token: &str, options: &[(&'static str, OptionValue)]| {
        let settings = settings(options.iter().cloned());
        verify_with(&format!("Bearer {token}"), &keys(&[PUBLIC]), &settings, NOW)
    };
    let realm = "https://prod.okletsplay.com/auth/realms/letsbet";
    for url in [realm.to_owned(), format!("{realm}/")] {
        let by_url = [("public_key_url", text(&url))];
        assert_eq!(verify(&issued_by(realm), &by_url), Ok(()), "{url}");
        assert_eq!(verify(&issued_by("https://other"), &by_url), Err(VerifyError::WrongClaim));
        assert_eq!(verify(&good(&json!({"exp": NOW + 60})), &by_url), Err(VerifyError::WrongClaim));
    }
    let by_option = [("public_key_url", text("http://127.0.0.1:9/mirror")), ("issuer", text(realm))];
    assert_eq!(verify(&issued_by(realm), &by_option), Ok(()));
    assert_eq!(verify(&issued_by("http://127.0.0.1:9/mirror"), &by_option), Err(VerifyError::WrongClaim));
    assert_eq!(verify(&issued_by("https://other"), &[]), Ok(()), "nothing says which realm it is");
}

fn normalize_with(
    method: Method,
    body: &[u8],
    settings: &AdapterSettings,
) -> Result<Normalized, NormalizeError> {
    let token = good(&json!({"exp": NOW + 60}));
    let delivery = Delivery {
        method,
        body: Bytes::copy_from_slice(body),
        ..delivery(&format!("Bearer {token}"))
    };
    let verified =
        Adapter.verify(&delivery, settings, &keys(&[PUBLIC]), Timestamp::from_seconds(NOW)).unwrap();
    Adapter.normalize(&verified, settings)
}

/// The only event: its subject and what it says.
fn normalize(method: Method, body: &str) -> (String, Payload) {
    let mut normalized = normalize_with(method, body.as_bytes(), &settings([])).unwrap();
    assert_eq!(normalized.events.len(), 1);
    assert_eq!(normalized.provider_type, method.as_str());
    let event = normalized.events.remove(0);
    (event.subject, event.payload)
}

fn snapshot(payload: Payload) -> MatchSnapshot {
    match payload {
        Payload::MatchSnapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

fn roster(snapshot: &MatchSnapshot) -> Vec<(&str, Vec<&str>)> {
    snapshot
        .groups
        .iter()
        .map(|g| (g.group_id.as_str(), g.players.iter().map(|p| p.player_id.as_str()).collect()))
        .collect()
}

#[test]
fn a_put_is_a_confirmed_match_with_the_configured_stake() {
    let (subject, payload) = normalize(Method::Put, std::str::from_utf8(BODY).unwrap());
    let snapshot = snapshot(payload);
    assert_eq!((subject.as_str(), snapshot.match_id.as_str()), ("m", "m"));
    assert_eq!((snapshot.kind, snapshot.status), (MatchKind::Platform, MatchStatus::Confirmed));
    assert_eq!(snapshot.provider_status, "");
    assert_eq!(snapshot.buy_in.as_ref().unwrap().minor_units, 500);
    assert_eq!(roster(&snapshot), [("a", vec!["p1"]), ("b", vec!["p2"])]);

    let mut without = settings([]);
    without.policy.stake = None;
    let normalized = normalize_with(Method::Put, BODY, &without).unwrap();
    assert!(matches!(&normalized.events[0].payload, Payload::MatchSnapshot(s) if s.buy_in.is_none()));
}

#[test]
fn there_may_be_more_than_two_teams_and_ids_may_be_numbers() {
    let (_, payload) = normalize(
        Method::Put,
        r#"{"match_id":"m","teams":[{"id":1},{"id":"2"},{"id":3}],"participants":[
            {"id":76561198234907126,"team_id":"1"},{"id":"x","team_id":2},{"id":"y","team_id":3},{"id":"z","team_id":3}]}"#,
    );
    let snapshot = snapshot(payload);
    assert_eq!(
        roster(&snapshot),
        [("1", vec!["76561198234907126"]), ("2", vec!["x"]), ("3", vec!["y", "z"])]
    );
}

#[test]
fn a_match_that_contradicts_itself_is_parked_or_refused_as_configured() {
    let refuse = settings([("on_inconsistent", text("refuse"))]);
    for (teams, participants, reason) in [
        ("[]", r#"[{"id":"p","team_id":"a"}]"#, "teams: a match has two teams or more"),
        (r#"[{"id":"a"}]"#, r#"[{"id":"p","team_id":"a"}]"#, "teams: a match has two teams or more"),
        (r#"[{"id":"a"},{"id":"b"}]"#, "[]", "participants: nobody plays"),
        (
            r#"[{"id":"a"},{"id":"b"},{"id":"a"}]"#,
            r#"[{"id":"p","team_id":"a"}]"#,
            "teams[2].id: team a stands there twice",
        ),
        (
            r#"[{"id":"a"},{"id":"b"}]"#,
            r#"[{"id":"p","team_id":"a"},{"id":"p","team_id":"b"}]"#,
            "participants[1].id: player p stands there twice",
        ),
        (
            r#"[{"id":"a"},{"id":"b"}]"#,
            r#"[{"id":"p","team_id":"a"},{"id":"q","team_id":"c"}]"#,
            "participants[1].team_id: team c is not among the teams",
        ),
    ] {
        let body = format!(r#"{{"match_id":"m","teams":{teams},"participants":{participants}}}"#);
        let expected = Unrecognized { kind: UnrecognizedKind::Inconsistent, reason: reason.to_owned() };
        assert_eq!(normalize(Method::Put, &body), ("m".to_owned(), Payload::Unrecognized(expected)));
        let refused = normalize_with(Method::Put, body.as_bytes(), &refuse).unwrap_err();
        assert_eq!(refused.to_string(), reason);
        // A cancellation of the same match is a cancellation all the same.
        let (subject, payload) = normalize(Method::Delete, &body);
        assert_eq!((subject.as_str(), snapshot(payload).groups), ("m", vec![]));
    }
}

#[test]
fn a_put_that_cannot_be_read_is_refused_by_its_field() {
    for (body, field) in [
        ("", "body"),
        ("[]", "body"),
        ("{}", "match_id"),
        (r#"{"match_id":"","participants":[],"teams":[]}"#, "match_id"),
        (r#"{"match_id":"m","participants":[{"id":"p"}],"teams":[]}"#, "participants[0].team_id"),
        (r#"{"match_id":"m","participants":[{"id":null,"team_id":"a"}],"teams":[]}"#, "participants[0].id"),
        (r#"{"match_id":"m","participants":null,"teams":[]}"#, "participants"),
        (r#"{"match_id":"m","match_id":"n","participants":[],"teams":[]}"#, "match_id"),
    ] {
        let refused = normalize_with(Method::Put, body.as_bytes(), &settings([])).unwrap_err();
        assert_eq!(refused.field, field, "{body}: {refused}");
    }
}

#[test]
fn a_delete_ends_the_match_that_it_names() {
    for (body, players) in [
        (r#"{"match_id":"m"}"#, 0),
        (r#"{"match_id":"m","participants":null,"teams":"gone"}"#, 0),
        (std::str::from_utf8(BODY).unwrap(), 2),
    ] {
        let (subject, payload) = normalize(Method::Delete, body);
        let snapshot = snapshot(payload);
        assert_eq!((subject.as_str(), snapshot.match_id.as_str()), ("m", "m"));
        assert_eq!(snapshot.status, MatchStatus::CanceledOther);
        assert_eq!(snapshot.provider_status, "DELETE");
        assert_eq!(snapshot.groups.iter().map(|g| g.players.len()).sum::<usize>(), players);
    }
}

#[test]
fn a_delete_that_names_no_match_is_kept_without_guessing() {
    for body in ["", " \r\n", "{}", r#"{"match_id":null}"#, r#"{"id":"m"}"#] {
        let expected = Unrecognized {
            kind: UnrecognizedKind::Inconsistent,
            reason: "a DELETE without a match_id".to_owned(),
        };
        assert_eq!(normalize(Method::Delete, body), (String::new(), Payload::Unrecognized(expected)));
    }
    for body in ["<html>", "[]", "null", r#"{"match_id":""}"#, r#"{"match_id":{}}"#] {
        assert!(normalize_with(Method::Delete, body.as_bytes(), &settings([])).is_err(), "{body}");
    }
}
