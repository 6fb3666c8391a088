use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use serde_json::json;

use super::*;

const RSA: &[u8] = include_bytes!("../../tests/keys/issuer.pem");
const RSA_PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/issuer.pub.pem");
const NEXT: &[u8] = include_bytes!("../../tests/keys/next.pem");
const ED: &[u8] = include_bytes!("../../tests/keys/ed25519.pem");
const ED_PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.pub.pem");

const NOW: i64 = 1_790_000_000;

fn settings(more: &str) -> JwtSettings {
    let text = format!("[api.jwt]\nissuer = \"https://id.example\"\naudience = \"matchpurse\"\n{more}");
    matchpurse_settings::Settings::parse_str(&format!("[database]\nurl = \"postgres://u@h/d\"\n{text}"))
        .unwrap()
        .api
        .jwt
        .unwrap()
}

fn by_pem(path: &str) -> Jwt {
    Jwt::new(&settings(&format!("key_file = {path:?}"))).unwrap()
}

/// A verifier by a set of keys, in a file that is gone when this returns: it is read once here.
fn by_set(name: &str, set: &Value) -> Result<Jwt, KeysError> {
    let path = std::env::temp_dir().join(format!("matchpurse-jwks-{name}-{}.json", std::process::id()));
    std::fs::write(&path, set.to_string()).unwrap();
    let jwt = Jwt::new(&settings(&format!("jwks_file = {path:?}")));
    std::fs::remove_file(&path).unwrap();
    jwt
}

fn good() -> Value {
    json!({
        "iss": "https://id.example", "aud": "matchpurse", "sub": "ann", "exp": NOW + 60,
        "scope": "read operate",
    })
}

/// The good claims with other ones in their place; null takes one out.
fn but(other: &Value) -> Value {
    let mut claims = good();
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn rsa(pem: &[u8]) -> EncodingKey {
    EncodingKey::from_rsa_pem(pem).unwrap()
}

fn sign(header: &JwtHeader, claims: &Value, key: &EncodingKey) -> String {
    aws_lc::DEFAULT_PROVIDER.install_default().ok();
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn rs256(claims: &Value) -> String {
    sign(&JwtHeader::new(Algorithm::RS256), claims, &rsa(RSA))
}

fn with_kid(kid: &str, pem: &[u8]) -> String {
    let header = JwtHeader { kid: Some(kid.to_owned()), ..JwtHeader::new(Algorithm::RS256) };
    sign(&header, &good(), &rsa(pem))
}

fn jwk(pem: &[u8], kid: &str) -> Value {
    aws_lc::DEFAULT_PROVIDER.install_default().ok();
    let mut jwk = Jwk::from_encoding_key(&rsa(pem), Algorithm::RS256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}

/// A token whose header is written by hand, signed by nothing that fits.
fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

fn refusal(jwt: &Jwt, token: &str) -> Option<Refusal> {
    jwt.bearer(token.as_bytes(), NOW).err()
}

#[test]
fn a_token_of_either_kind_says_who_and_what() {
    let by_ed = sign(&JwtHeader::new(Algorithm::EdDSA), &good(), &EncodingKey::from_ed_pem(ED).unwrap());
    for (jwt, token) in [(by_pem(RSA_PUBLIC), rs256(&good())), (by_pem(ED_PUBLIC), by_ed)] {
        let bearer = jwt.bearer(token.as_bytes(), NOW).unwrap();
        assert_eq!((bearer.actor.as_str(), bearer.bucket.as_str()), ("ann", "ann"));
        // With the leeway: up to there it is taken.
        assert_eq!(bearer.ends, Some(NOW + 90));
        assert_eq!(bearer.scopes, [ApiScope::Read, ApiScope::Operate]);
    }
}

#[test]
fn scopes_come_as_words_or_as_a_list_and_unknown_ones_are_nothing() {
    let jwt = by_pem(RSA_PUBLIC);
    let scopes = |claims: &Value| jwt.bearer(rs256(&but(claims)).as_bytes(), NOW).unwrap().scopes;
    assert_eq!(scopes(&json!({ "scope": "play openid" })), [ApiScope::Play]);
    assert_eq!(scopes(&json!({ "scope": null, "scp": ["read", "Operate"] })), [ApiScope::Read]);
    assert_eq!(scopes(&json!({ "scope": null, "scp": "operate" })), [ApiScope::Operate]);
    assert_eq!(scopes(&json!({ "scope": { "read": true } })), []);
    assert_eq!(scopes(&json!({ "scope": null })), []);
}

#[test]
fn the_key_says_the_algorithm_and_never_the_token() {
    let jwt = by_pem(RSA_PUBLIC);
    // The public key is no secret: taken for one, whoever has it could sign.
    let public = std::fs::read(RSA_PUBLIC).unwrap();
    let confused = sign(&JwtHeader::new(Algorithm::HS256), &good(), &EncodingKey::from_secret(&public));
    assert_eq!(refusal(&jwt, &confused), Some(Refusal::Algorithm));
    for alg in ["none", "None", "nOnE", "", "RS512", "ES256", "rs256", "HS512"] {
        for signature in [&b""[..], b"x"] {
            let token = forged(&json!({ "alg": alg, "typ": "JWT" }), &good(), signature);
            assert_eq!(refusal(&jwt, &token), Some(Refusal::Algorithm), "{alg}");
        }
    }
    // A key that the token brings along is not looked at.
    let brought = json!({ "alg": "RS256", "jwk": jwk(NEXT, "x"), "jku": "https://evil.example/keys" });
    let (_, rest) = rs256(&good()).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(brought.to_string()));
    assert_eq!(refusal(&jwt, &token), Some(Refusal::Signature));
    let of_another = sign(&JwtHeader::new(Algorithm::RS256), &good(), &rsa(NEXT));
    assert_eq!(refusal(&jwt, &of_another), Some(Refusal::Signature));
    let by_rsa_for_ed = by_pem(ED_PUBLIC);
    assert_eq!(refusal(&by_rsa_for_ed, &rs256(&good())), Some(Refusal::Algorithm));
}

#[test]
fn what_is_no_jwt_is_refused_before_anything_is_computed() {
    let jwt = by_pem(RSA_PUBLIC);
    let token = rs256(&good());
    let parts: Vec<&str> = token.split('.').collect();
    let critical = forged(&json!({ "alg": "RS256", "crit": ["exp"] }), &good(), b"x");
    let of_another_purpose = forged(&json!({ "alg": "RS256", "typ": "logout+jwt" }), &good(), b"x");
    for bad in [
        ".",
        "..",
        "a.b.c",
        &parts[..2].join("."),
        &format!("{token}.x"),
        &critical,
        &of_another_purpose,
        "e30.e30.e30",
    ] {
        assert_eq!(refusal(&jwt, bad), Some(Refusal::Malformed), "{bad}");
    }
    assert_eq!(refusal(&jwt, &format!("{}.{}.", parts[0], parts[1])), Some(Refusal::Signature));
    assert_eq!(jwt.bearer(b"\xff.\xff.\xff", NOW).err(), Some(Refusal::Malformed));
    let long = rs256(&but(&json!({ "more": "x".repeat(LENGTH_MAX) })));
    assert_eq!(refusal(&jwt, &long), Some(Refusal::TooLong));
}

#[test]
fn claims_are_all_looked_at() {
    let jwt = by_pem(RSA_PUBLIC);
    for (claims, expected) in [
        (json!({ "iss": null }), Refusal::Issuer),
        (json!({ "iss": "https://id.example/" }), Refusal::Issuer),
        (json!({ "iss": ["https://id.example"] }), Refusal::Issuer),
        (json!({ "aud": null }), Refusal::Audience),
        (json!({ "aud": "another" }), Refusal::Audience),
        (json!({ "aud": ["another", "matchpurse2"] }), Refusal::Audience),
        (json!({ "aud": [] }), Refusal::Audience),
        (json!({ "exp": null }), Refusal::Claims),
        (json!({ "exp": "1790000060" }), Refusal::Claims),
        (json!({ "nbf": "soon" }), Refusal::Claims),
        (json!({ "sub": null }), Refusal::Subject),
        (json!({ "sub": "" }), Refusal::Subject),
        (json!({ "sub": " " }), Refusal::Subject),
        (json!({ "sub": " ann" }), Refusal::Subject),
        (json!({ "sub": 7 }), Refusal::Subject),
        (json!({ "sub": "a\u{0}b" }), Refusal::Subject),
        (json!({ "sub": "x".repeat(201) }), Refusal::Subject),
    ] {
        assert_eq!(refusal(&jwt, &rs256(&but(&claims))), Some(expected), "{claims}");
    }
    for good in [
        json!({ "aud": ["another", "matchpurse"] }),
        json!({ "nbf": NOW }),
        json!({ "exp": NOW + 60, "iat": NOW + 9999 }),
        json!({ "sub": "x".repeat(200) }),
    ] {
        assert_eq!(refusal(&jwt, &rs256(&but(&good))), None, "{good}");
    }
    // Twice the same claim is nobody's.
    let doubled =
        r#"{"iss":"https://id.example","iss":"https://id.example","aud":"matchpurse","sub":"a","exp":1}"#;
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(doubled).unwrap();
    let token = jsonwebtoken::encode(&JwtHeader::new(Algorithm::RS256), &raw, &rsa(RSA)).unwrap();
    assert_eq!(refusal(&jwt, &token), Some(Refusal::Claims));
}

#[test]
fn clocks_may_be_apart_by_the_leeway_and_no_more() {
    let jwt = by_pem(RSA_PUBLIC);
    for (claims, expected) in [
        (json!({ "exp": NOW - 29 }), None),
        (json!({ "exp": NOW - 30 }), Some(Refusal::Expired)),
        (json!({ "exp": f64::from(1_790_000_060) + 0.5 }), None),
        (json!({ "exp": -1 }), Some(Refusal::Expired)),
        (json!({ "exp": 0 }), Some(Refusal::Expired)),
        (json!({ "exp": i64::MAX }), None),
        (json!({ "exp": 1e300 }), Some(Refusal::Claims)),
        (json!({ "nbf": NOW + 30 }), None),
        (json!({ "nbf": NOW + 31 }), Some(Refusal::NotYet)),
    ] {
        assert_eq!(refusal(&jwt, &rs256(&but(&claims))), expected, "{claims}");
    }
}

#[test]
fn of_a_set_the_tokens_kid_chooses() {
    let jwt = by_set("two", &json!({ "keys": [jwk(RSA, "one"), jwk(NEXT, "two")] })).unwrap();
    assert_eq!(refusal(&jwt, &with_kid("one", RSA)), None);
    assert_eq!(refusal(&jwt, &with_kid("two", NEXT)), None);
    assert_eq!(refusal(&jwt, &with_kid("two", RSA)), Some(Refusal::Signature));
    assert_eq!(refusal(&jwt, &with_kid("three", RSA)), Some(Refusal::UnknownKey));
    // Without a kid it would have to be guessed.
    assert_eq!(refusal(&jwt, &rs256(&good())), Some(Refusal::UnknownKey));
    let jwt = by_set("one", &json!({ "keys": [jwk(RSA, "one")] })).unwrap();
    assert_eq!(refusal(&jwt, &rs256(&good())), None);
    // A key without an id is for tokens that no other key names.
    let mut nameless = jwk(RSA, "");
    nameless.as_object_mut().unwrap().remove("kid");
    let jwt = by_set("nameless", &json!({ "keys": [nameless, jwk(NEXT, "two")] })).unwrap();
    assert_eq!(refusal(&jwt, &with_kid("two", NEXT)), None);
    assert_eq!(refusal(&jwt, &with_kid("any", RSA)), None);
}

#[test]
fn keys_of_a_set_that_are_for_something_else_are_left_out() {
    let other = |name: &str, value: Value| {
        let mut key = jwk(RSA, "one");
        key[name] = value;
        key
    };
    let secret = json!({ "kty": "oct", "kid": "one", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" });
    let short = json!({ "kty": "RSA", "kid": "one", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 128]) });
    for (name, key) in [
        ("enc", other("use", json!("enc"))),
        ("alg", other("alg", json!("PS256"))),
        ("ops", other("key_ops", json!(["encrypt"]))),
        ("oct", secret),
        ("short", short),
        ("kty", json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" })),
        ("none", json!({})),
    ] {
        let refused = by_set(name, &json!({ "keys": [key] })).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("no key for signatures")), "{name}");
        // Beside a good one they do no harm.
        let jwt = by_set(name, &json!({ "keys": [jwk(NEXT, "two"), json!({ "kty": "?" })] })).unwrap();
        assert_eq!(refusal(&jwt, &with_kid("two", NEXT)), None);
    }
    assert!(by_set("empty", &json!({ "keys": [] })).is_err());
    assert!(by_set("no-set", &json!([])).is_err());
}

#[test]
fn a_file_that_holds_no_public_key_is_refused_at_the_start() {
    let private = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/issuer.pem");
    for (path, words) in [
        (private, "a private key"),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "no public key"),
        ("/nowhere/key.pem", "cannot read"),
    ] {
        let error = Jwt::new(&settings(&format!("key_file = {path:?}"))).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_shared_secret_is_for_development_and_takes_nothing_else() {
    let secret = "only-for-development-0123456789abcdef";
    let jwt =
        Jwt::new(&settings(&format!("hs256_secret = {secret:?}\nhs256_for_development = true"))).unwrap();
    let key = EncodingKey::from_secret(secret.as_bytes());
    assert_eq!(refusal(&jwt, &sign(&JwtHeader::new(Algorithm::HS256), &good(), &key)), None);
    assert_eq!(refusal(&jwt, &rs256(&good())), Some(Refusal::Algorithm));
    let other = EncodingKey::from_secret(b"another");
    let token = sign(&JwtHeader::new(Algorithm::HS256), &good(), &other);
    assert_eq!(refusal(&jwt, &token), Some(Refusal::Signature));
}
