//! JWTs of an issuer, how many requests a token may make, and which pages may read the answers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use insta::assert_snapshot;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use matchpurse_domain::event::{Event, MatchStatus, OfferChange};
use serde_json::{Value, json};

use crate::events::snapshot;
use crate::harness::{ANN, Api, BOB, READER, SETTINGS, deposit, request};
use crate::http::{Answer, Request};
use crate::offer_stream::Client;
use crate::offers::{apply, said};
use crate::script::shown;

const ISSUER: &[u8] = include_bytes!("../keys/issuer.pem");
const NEXT: &[u8] = include_bytes!("../keys/next.pem");

/// What must come to be does within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A key set in a file that goes with the test.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("matchpurse-api-{test}-{}.json", std::process::id())))
    }

    /// Puts another file in its place, as secrets are updated: at once.
    fn write(&self, text: &str) -> Result<()> {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(beside, &self.0)?)
    }

    fn settings(&self) -> String {
        let jwt = format!(
            "[api.jwt]\nissuer = \"https://id.example\"\naudience = \"matchpurse\"\njwks_file = {:?}\n\n[sources.ours]",
            self.0
        );
        SETTINGS.replace("[sources.ours]", &jwt)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn key(pem: &[u8]) -> EncodingKey {
    aws_lc::DEFAULT_PROVIDER.install_default().ok();
    EncodingKey::from_rsa_pem(pem).unwrap()
}

fn set(keys: &[(&str, &[u8])]) -> String {
    let jwk = |(kid, pem): &(&str, &[u8])| {
        let mut jwk = Jwk::from_encoding_key(&key(pem), Algorithm::RS256).unwrap();
        jwk.common.key_id = Some((*kid).to_owned());
        jwk
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

fn token(kid: &str, pem: &[u8], subject: &str, scope: &str) -> String {
    token_until(matchpurse_store::now().seconds() + 600, kid, pem, subject, scope)
}

/// One that ends at this moment, in Unix seconds.
fn token_until(ends: i64, kid: &str, pem: &[u8], subject: &str, scope: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
    let claims = json!({
        "iss": "https://id.example", "aud": "matchpurse", "sub": subject, "exp": ends, "scope": scope,
    });
    jsonwebtoken::encode(&header, &claims, &key(pem)).unwrap()
}

async fn status(api: &Api, token: &str) -> Result<u16> {
    Ok(api.send(&request(token, "GET", "/v1/corrections", "")).await?.status)
}

#[tokio::test]
async fn the_subject_of_a_jwt_is_the_actor_and_its_scopes_are_what_it_may() -> Result<()> {
    let file = KeyFile::new("subject");
    file.write(&set(&[("one", ISSUER)]))?;
    let api = Api::start_with(&file.settings()).await?;
    let carol = token("one", ISSUER, "carol@studio.example", "read operate");
    let mut asked = deposit("/v1/players/ours/a/deposits", "k", 10);
    asked.headers.retain(|(name, _)| name != "authorization");
    asked.headers.push(("authorization".to_owned(), format!("Bearer {carol}").into_bytes()));
    let answer = api.send(&asked).await?;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(api.database.texts("SELECT actor FROM operation").await?, ["carol@studio.example"]);
    // Nobody becomes a token of the configuration by being called like it.
    assert_eq!(status(&api, &token("one", ISSUER, "Ann", "read")).await?, 401);
    // The configuration's tokens are good beside it.
    assert_eq!(status(&api, ANN).await?, 200);

    let start = "/v1/offers/ours/o/starts/p";
    let mut table = String::new();
    for scope in ["read", "play", "operate", "admin", ""] {
        let token = token("one", ISSUER, "x", scope);
        let look = status(&api, &token).await?;
        let start = api.send(&request(&token, "PUT", start, "")).await?.status;
        let check = api.send(&request(&token, "POST", "/v1/match-tokens/check", "")).await?.status;
        let write = api.send(&request(&token, "POST", "/v1/rewards/x/release", "")).await?.status;
        table += &format!("{scope:8} look {look} start {start} check {check} write {write}\n");
    }
    assert_snapshot!(table, @"
    read     look 200 start 403 check 403 write 403
    play     look 403 start 404 check 415 write 403
    operate  look 403 start 404 check 415 write 415
    admin    look 403 start 403 check 403 write 403
             look 403 start 403 check 403 write 403
    ");
    let answer = api.send(&request(&token("one", NEXT, "x", "read"), "GET", "/v1/corrections", "")).await?;
    assert_snapshot!(shown(&answer)?, @r#"
    401
    www-authenticate: Bearer realm="matchpurse", error="invalid_token"
      detail: "the token's signature is wrong"
      status: 401
      title: "Nobody is known by this"
      type: "urn:matchpurse:problem:unauthorized"
    "#);
    api.stop().await
}

#[tokio::test]
async fn keys_change_without_a_restart() -> Result<()> {
    let file = KeyFile::new("rotation");
    file.write(&set(&[("one", ISSUER)]))?;
    let api = Api::start_with(&file.settings()).await?;
    let (old, new) = (token("one", ISSUER, "x", "read"), token("two", NEXT, "x", "read"));
    assert_eq!((status(&api, &old).await?, status(&api, &new).await?), (200, 401));
    file.write(&set(&[("one", ISSUER), ("two", NEXT)]))?;
    until(async || Ok(status(&api, &new).await? == 200)).await?;
    assert_eq!(status(&api, &old).await?, 200);
    file.write(&set(&[("two", NEXT)]))?;
    until(async || Ok(status(&api, &old).await? == 401)).await?;
    // Whoever takes back the last key means it.
    file.write("{\"keys\": []}")?;
    until(async || Ok(status(&api, &new).await? == 401)).await?;
    file.write(&set(&[("one", ISSUER)]))?;
    until(async || Ok(status(&api, &old).await? == 200 && status(&api, &new).await? == 401)).await?;
    api.stop().await
}

/// A stream may be open for days, and who has lost the right to read it must not read on.
#[tokio::test]
async fn a_stream_ends_with_its_token() -> Result<()> {
    let file = KeyFile::new("stream");
    file.write(&set(&[("one", ISSUER)]))?;
    let api = Api::start_with(&file.settings().replace("jwks_file", "leeway_s = 0\njwks_file")).await?;
    let long = token("one", ISSUER, "x", "read");
    for path in ["/v1/offers/theirs/stream", "/v1/events/stream"] {
        let ends = matchpurse_store::now().seconds() + 3;
        let short = token_until(ends, "one", ISSUER, "x", "read");
        let mut ending = Client::open_at(&api, &short, path, None).await?;
        let mut lasting = Client::open_at(&api, &long, path, None).await?;
        let mut of_nobody = Client::open_at(&api, READER, path, None).await?;
        for client in [&mut ending, &mut lasting, &mut of_nobody] {
            client.opened().await?;
        }
        assert_eq!(ending.next().await?, None, "{path}");
        assert!(matchpurse_store::now().seconds() >= ends, "not before its end");
        assert_eq!(status(&api, &short).await?, 401);
        // The others go on.
        let event = said(path, OfferChange::Created, 10);
        apply(&api, std::slice::from_ref(&event)).await?;
        archived(&api, &event).await?;
        for client in [&mut lasting, &mut of_nobody] {
            assert!(client.next().await?.is_some(), "{path}");
        }
    }
    api.stop().await
}

async fn archived(api: &Api, event: &Event) -> Result<()> {
    let store = api.database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    matchpurse_store::archive::append_in_tx(&tx, std::slice::from_ref(event), matchpurse_store::now())
        .await?;
    Ok(tx.commit().await?)
}

/// Ann has a token for scripts, and logs in by the studio's issuer.
#[tokio::test]
async fn a_persons_token_and_jwt_are_one_person() -> Result<()> {
    let file = KeyFile::new("person");
    file.write(&set(&[("one", ISSUER)]))?;
    let text =
        file.settings().replace("[api.tokens.ann]\n", "[api.tokens.ann]\nperson = \"ann@studio.example\"\n");
    let api = Api::start_with(&format!("[operations]\ncorrection_approvals = 2\n{text}")).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    let jwt = |subject| token("one", ISSUER, subject, "read operate");
    let ask = async |token: &str, path: &str, body: &str| {
        let mut asked = request(token, "POST", path, body);
        asked.headers.push(("idempotency-key".to_owned(), b"k".to_vec()));
        api.send(&asked).await
    };
    let refund = r#"{"end": {"as": "refund"}, "reason": "b was cheated"}"#;
    let made = ask(ANN, "/v1/matches/theirs/m1/corrections", refund).await?;
    let made: Value = serde_json::from_str(&made.body)?;
    assert_eq!(made["proposed_by"], "ann@studio.example", "{made}");
    let approve = format!("/v1/corrections/{}/approve", made["id"].as_str().unwrap());
    for herself in [jwt("ann@studio.example"), jwt("Ann@Studio.example"), ANN.to_owned()] {
        let answer = ask(&herself, &approve, "").await?;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    // Nobody else is called like the token.
    assert_eq!(ask(&jwt("ann"), &approve, "").await?.status, 401);
    let answer = ask(&jwt("carol@studio.example"), &approve, "").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    api.stop().await
}

async fn until(mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await?
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_to_wait_and_others_are_not() -> Result<()> {
    let text = SETTINGS
        .replace("[api]\n", "[api]\nrequests_per_second = 1\nrequests_burst = 3\n")
        .replace("[api.tokens.bob]\n", "[api.tokens.bob]\nrequests_per_second = 0\n");
    let api = Api::start_with(&text).await?;
    let mut answers = Vec::new();
    for _ in 0..8 {
        // What is refused for another reason counts too, or guessing would be free.
        answers.push(api.send(&request(ANN, "GET", "/v1/rewards/x", "")).await?);
        assert_eq!(status(&api, BOB).await?, 200);
    }
    assert!(answers[..3].iter().all(|answer| answer.status == 404), "{answers:?}");
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty(), "{answers:?}");
    assert!(refused.iter().all(|answer| answer.header("retry-after") == Some("1")), "{refused:?}");
    let problem: Value = serde_json::from_str(&refused[0].body)?;
    assert_eq!(problem["type"], "urn:matchpurse:problem:too-many-requests");
    api.stop().await
}

fn from(origin: &str, method: &str, more: &[(&str, &str)]) -> Request {
    let mut asked = request(ANN, method, "/v1/corrections", "");
    asked.headers.push(("origin".to_owned(), origin.as_bytes().to_vec()));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    asked.headers.extend(more);
    asked
}

#[tokio::test]
async fn pages_of_other_origins_read_nothing_unless_they_are_named() -> Result<()> {
    const OURS: &str = "https://tools.example";
    let named = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    let before = [("access-control-request-method", "GET")];
    let api = Api::start().await?;
    assert_eq!(named(&api.send(&from(OURS, "GET", &[])).await?), None);
    assert_eq!(api.send(&from(OURS, "OPTIONS", &before)).await?.status, 405);
    api.stop().await?;

    let text = SETTINGS.replace("[api]\n", &format!("[api]\ncors_origins = [{OURS:?}]\n"));
    let api = Api::start_with(&text).await?;
    let mut asked = from(OURS, "OPTIONS", &before);
    // Browsers ask without a token.
    asked.headers.retain(|(name, _)| name != "authorization");
    let answer = api.send(&asked).await?;
    assert_eq!((answer.status, named(&answer)), (204, Some(OURS.to_owned())));
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("idempotency-key"), "{allowed}");
    let answer = api.send(&from(OURS, "GET", &[])).await?;
    assert_eq!(
        (answer.status, named(&answer), answer.header("vary")),
        (200, Some(OURS.to_owned()), Some("origin"))
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for other in ["https://tools.example.evil", "http://tools.example", "null", "https://tools.example:444"] {
        let answer = api.send(&from(other, "GET", &[])).await?;
        assert_eq!((named(&answer), answer.header("vary")), (None, Some("origin")), "{other}");
        assert_ne!(api.send(&from(other, "OPTIONS", &before)).await?.status, 204, "{other}");
    }
    // Also what is refused can be read by the page that asked.
    let mut stranger = from(OURS, "GET", &[]);
    stranger.headers.retain(|(name, _)| name != "authorization");
    let answer = api.send(&stranger).await?;
    assert_eq!((answer.status, named(&answer)), (401, Some(OURS.to_owned())));
    api.stop().await
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1000).await?;
    let ask = async |method: &str, tag: Option<&str>| {
        let mut asked = request(ANN, method, "/v1/players/ours/a", "");
        asked.headers.extend(tag.map(|tag| ("if-none-match".to_owned(), tag.as_bytes().to_vec())));
        api.send(&asked).await
    };
    let first = ask("GET", None).await?;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let again = ask("GET", Some(&tag)).await?;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag.as_str())));
    assert!(again.header("x-request-id").is_some());
    assert_eq!(ask("HEAD", Some(&tag)).await?.status, 304);
    assert_eq!(ask("HEAD", None).await?.header("etag"), Some(tag.as_str()));
    api.deposit("a", 1).await?;
    let changed = ask("GET", Some(&tag)).await?;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    // A list changes all the time, and what is not there has no tag.
    for path in ["/v1/corrections", "/v1/players/ours/nobody"] {
        let answer = api.send(&request(ANN, "GET", path, "")).await?;
        assert_eq!(
            (answer.header("etag"), answer.header("cache-control")),
            (None, Some("no-store")),
            "{path}"
        );
    }
    api.stop().await
}
