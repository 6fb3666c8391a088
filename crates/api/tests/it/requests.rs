//! Requests that cannot be understood.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use insta::assert_snapshot;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{ANN, Api, SETTINGS, deposit, request};
use crate::http::Request;
use crate::script::{Script, shown};

const DEPOSITS: &str = "/v1/players/ours/a/deposits";

#[tokio::test]
async fn a_body_is_refused_with_the_field_that_is_wrong() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    let long =
        format!(r#"{{"amount": {{"minor_units": 1, "currency": "USD"}}, "reason": "{}"}}"#, "x".repeat(1001));
    for body in [
        "{",
        r#"{"amount": {"minor_units": 10, "currency": "USD"}, "reason": "r"} x"#,
        r#"{}"#,
        r#"{"amount": 10, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 10.0, "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": "10", "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 1e1, "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 9223372036854775808, "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 10, "currency": "USD", "exponent": 2}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 10, "minor_units": 20, "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": -10, "currency": "USD"}, "reason": "r"}"#,
        r#"{"amount": {"minor_units": 10, "currency": "USD"}}"#,
        r#"{"amount": {"minor_units": 10, "currency": "USD"}, "reason": " \t"}"#,
        r#"{"amount": {"minor_units": 10, "currency": "USD"}, "reason": "a\u0000b"}"#,
        &long,
        r#"{"amount": {"minor_units": 10, "currency": "USD"}, "reason": "r", "dry_run": true}"#,
    ] {
        script.say(&format!("ann POST {DEPOSITS} key=k {body}")).await?;
    }
    script.say(r#"ann POST /v1/matches/ours/m/corrections key=k {"end": {"as": "payouts", "payouts": [{"player": "a"}]}, "reason": "r"}"#).await?;
    script.say(r#"ann POST /v1/matches/ours/m/corrections key=k {"end": {"as": "refund"}}"#).await?;
    script
        .say(r#"ann POST /v1/matches/ours/m/corrections key=k {"end": {"as": "refund"}, "dryrun": true}"#)
        .await?;
    assert_snapshot!(script.text().replace(&"x".repeat(1001), "x…x"));
    assert_eq!(api.database.texts("SELECT kind FROM operation").await?, [""; 0]);
    api.stop().await
}

#[tokio::test]
async fn a_write_needs_a_key_that_can_be_kept() -> Result<()> {
    let api = Api::start().await?;
    let mut all = String::new();
    let with = |keys: &[&[u8]]| {
        let mut request = deposit(DEPOSITS, "k", 10);
        request.headers.retain(|(name, _)| name != "idempotency-key");
        request.headers.extend(keys.iter().map(|key| ("Idempotency-Key".to_owned(), key.to_vec())));
        request
    };
    let (longest, longer) = ([b'k'; 255], [b'k'; 256]);
    for bad in [
        with(&[]),
        with(&[b""]),
        with(&[b"a b"]),
        with(&[&longer]),
        with(&[b"\xc3\xa4"]),
        with(&[b"a", b"a"]),
    ] {
        writeln!(all, "{}", shown(&api.send(&bad).await?)?)?;
    }
    assert_snapshot!(all);
    assert_eq!(api.send(&with(&[&longest])).await?.status, 201);
    api.stop().await
}

#[tokio::test]
async fn a_query_is_refused_when_a_part_of_it_is_not_understood() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    for path in [
        "/v1/players/ours/a?att=2026-01-01T00:00:00Z",
        "/v1/players/ours/a?at=yesterday",
        "/v1/players/ours/a?at=2026-01-01T00:00:00+01:00",
        "/v1/players/ours/a?at=2026-01-01T00:00:00Z&at=2026-01-02T00:00:00Z",
        "/v1/matches/ours/m?kind=duel",
        "/v1/matches/ours/m/timeline?kind=recreational",
        "/v1/corrections?state=open",
        "/v1/corrections?limit=0",
        "/v1/corrections?limit=201",
        "/v1/corrections?cursor=AAAA",
        "/v1/ledger/accounts/1/entries?cursor=%00",
        "/v1/ledger/trial-balance?at=",
        "/v1/corrections/1",
    ] {
        script.say(&format!("ann GET {path}")).await?;
    }
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn methods_and_media_types_are_few() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    for line in [
        "ann DELETE /v1/players/ours/a",
        "ann GET /v1/players/ours/a/deposits",
        "ann PUT /v1/corrections",
        "ann OPTIONS /v1/corrections",
        "ann BREW /v1/ledger/trial-balance",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());

    let mut plain = deposit(DEPOSITS, "k", 10);
    for media_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        plain.headers.retain(|(name, _)| name != "content-type");
        if !media_type.is_empty() {
            plain.headers.push(("content-type".to_owned(), media_type.as_bytes().to_vec()));
        }
        let answer = api.send(&plain).await?;
        assert_eq!(answer.status, 415, "{media_type}: {answer:?}");
        assert!(answer.body.contains("urn:matchpurse:problem:unsupported-media-type"), "{answer:?}");
    }
    plain.headers.retain(|(name, _)| name != "content-type");
    plain.headers.push(("content-type".to_owned(), b"application/json; charset=utf-8".to_vec()));
    assert_eq!(api.send(&plain).await?.status, 201);

    // HEAD is GET without the body.
    let head = api.send(&request(ANN, "HEAD", "/v1/players/ours/a", "")).await?;
    let get = api.send(&request(ANN, "GET", "/v1/players/ours/a", "")).await?;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    api.stop().await
}

#[tokio::test]
async fn a_body_has_a_size_and_a_time() -> Result<()> {
    let api = Api::start_with(&SETTINGS.replace("[api]\n", "[api]\nrequest_timeout_ms = 1000\n")).await?;
    let body = |length: usize| {
        let mut request = deposit(DEPOSITS, "k", 10);
        request.body.resize(length, b' ');
        request
    };
    assert_eq!(api.send(&body(64 * 1024)).await?.status, 201);
    let answer = api.send(&body(64 * 1024 + 1)).await?;
    assert_snapshot!(shown(&answer)?, @r#"
    413
      detail: "bodies of up to 65536 bytes are taken"
      status: 413
      title: "The body is too large"
      type: "urn:matchpurse:problem:body-too-large"
    "#);

    // Announced and not sent, or sent in pieces without an end.
    let head = format!(
        "POST {DEPOSITS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {ANN}\r\n\
                        idempotency-key: k\r\ncontent-type: application/json\r\n"
    );
    for rest in ["content-length: 10\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut stream = TcpStream::connect(api.address).await?;
        stream.write_all(format!("{head}{rest}").as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await??;
        let text = String::from_utf8_lossy(&answer[..length]);
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    let mut stream = TcpStream::connect(api.address).await?;
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\nno chunk\r\n").as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await??;
    let text = String::from_utf8_lossy(&answer[..length]);
    assert!(text.contains("urn:matchpurse:problem:broken-body"), "{text}");
    api.stop().await
}

#[tokio::test]
async fn a_request_has_an_id() -> Result<()> {
    let api = Api::start().await?;
    let ask = async |id: Option<&[u8]>| {
        let mut asked: Request = request(ANN, "GET", "/v1/corrections", "");
        asked.headers.extend(id.map(|id| ("x-request-id".to_owned(), id.to_vec())));
        let answer = api.send(&asked).await.unwrap();
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask(Some(b"trace-17.a_b:c")).await, "trace-17.a_b:c");
    for bad in [&b"two words"[..], b"\"quoted\"", &[b'a'; 129]] {
        let made = ask(Some(bad)).await;
        assert_eq!(made.len(), 36, "{made}");
    }
    assert_ne!(ask(None).await, ask(None).await);
    // Who is not let in has one too.
    let refused = api.send(&Request::new("GET", "/v1/corrections", b"")).await?;
    assert_eq!(refused.header("x-request-id").map(str::len), Some(36));
    api.stop().await
}
