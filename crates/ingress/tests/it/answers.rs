//! Every row of the table of answers: what the sender gets, and what is published.

use insta::assert_snapshot;
use matchpurse_bus::PublishError;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Payload, PayloadName, UnrecognizedKind};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_providers::Method;

use crate::harness::{Ingress, OTHER_TOKEN_KEY, TOKEN_KEY, body, now};
use crate::http::Request;
use crate::publisher::Mode;

fn payloads(messages: &[Message]) -> Vec<PayloadName> {
    messages.iter().map(|message| message.payload).collect()
}

#[tokio::test]
async fn what_is_kept_is_answered_200_for_every_provider() {
    let ingress = Ingress::start().await;
    for (source, method, name) in [
        ("duel", Method::Post, "game_created"),
        ("arena", Method::Put, "match_put"),
        ("servers", Method::Post, "round_end"),
        ("wall", Method::Post, "offer_removed"),
    ] {
        let answer = ingress.send(&ingress.signed(source, method, &body(name))).await;
        assert_eq!(answer.to_string(), "200\ncontent-length: 0\n\n", "{source}");
    }
    assert_eq!(
        payloads(&ingress.publisher.messages()),
        [
            PayloadName::MatchSnapshot,
            PayloadName::MatchSnapshot,
            PayloadName::MatchStatsSnapshot,
            PayloadName::OfferChanged
        ]
    );
}

#[tokio::test]
async fn the_event_says_where_it_came_from() {
    let ingress = Ingress::start().await;
    let before = now();
    let sent = body("game_created");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = ingress.signed("duel", Method::Post, &sent).header("traceparent", trace);
    assert_eq!(ingress.send(&request).await.status, 200);

    let source = SourceName::parse("duel").unwrap();
    let [event] = &ingress.publisher.events()[..] else { panic!("one event") };
    assert_eq!(event.id, EventId::of_delivery(&source, "POST", &sent, 0));
    assert_eq!(event.delivery_id, event.id);
    assert_eq!(event.source, source);
    assert_eq!(event.provider_type, "RecreationalGameCreated");
    assert_eq!(event.subject, "0d9f6f3a-5a0e-4b53-9f0e-6d3a1c2b7e10");
    assert_eq!(event.raw, sent, "byte for byte");
    assert!(event.provenance.body_authenticated);
    assert!((before..=now()).contains(&event.received_at));
    let [message] = &ingress.publisher.messages()[..] else { panic!("one message") };
    assert_eq!(message.id, event.id.uuid());
    assert!(message.headers.contains(&("traceparent".to_owned(), trace.to_owned())));
}

#[tokio::test]
async fn a_delivery_without_a_trace_gets_one_that_names_it() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    for traces in [&[][..], &["nonsense"], &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"; 2]] {
        let request =
            traces.iter().fold(request.clone(), |request, trace| request.header("traceparent", trace));
        assert_eq!(ingress.send(&request).await.status, 200);
    }
    for message in ingress.publisher.messages() {
        let trace = message.headers.iter().find(|(name, _)| name == "traceparent").unwrap();
        assert!(trace.1.starts_with(&format!("00-{}-", message.id.simple())), "{}", trace.1);
    }
}

#[tokio::test]
async fn the_same_bytes_again_are_the_same_event_and_answer() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let first = ingress.send(&request).await.to_string();
    assert_eq!(ingress.send(&request).await.to_string(), first);
    let messages = ingress.publisher.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].id, messages[1].id);
}

#[tokio::test]
async fn an_unknown_event_is_kept_and_answered_200() {
    let ingress = Ingress::start().await;
    let answer = ingress.send(&ingress.signed("duel", Method::Post, &body("unknown_event"))).await;
    assert_eq!(answer.status, 200);
    let [event] = &ingress.publisher.events()[..] else { panic!("one event") };
    let Payload::Unrecognized(unrecognized) = &event.payload else { panic!("{:?}", event.payload) };
    assert_eq!(unrecognized.kind, UnrecognizedKind::UnknownType);
    assert_eq!(event.raw, body("unknown_event"));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_kept_and_answered_422() {
    let ingress = Ingress::start().await;
    let answer = ingress.send(&ingress.signed("duel", Method::Post, &body("game_negative"))).await;
    assert_snapshot!(answer, @r#"
    422
    cache-control: no-store
    content-length: 215
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:malformed-body","title":"The body cannot be read","status":422,"detail":"buyInAmount: \"-10\" is negative; it was kept for the operators to see","source":"duel","field":"buyInAmount"}
    "#);
    let answer = ingress.send(&ingress.signed("arena", Method::Put, b"\xff\xfe not JSON")).await;
    assert_eq!(answer.status, 422);

    let [negative, not_json] = &ingress.publisher.events()[..] else { panic!("two events") };
    for (event, raw) in [(negative, &body("game_negative")[..]), (not_json, b"\xff\xfe not JSON")] {
        let Payload::Unrecognized(unrecognized) = &event.payload else { panic!("{:?}", event.payload) };
        assert_eq!(unrecognized.kind, UnrecognizedKind::Malformed);
        assert_eq!(event.raw, raw);
        assert_eq!((event.subject.as_str(), event.provider_type.as_str()), ("", ""));
    }
    let Payload::Unrecognized(negative) = &negative.payload else { panic!("{:?}", negative.payload) };
    assert_snapshot!(negative.reason, @r#"buyInAmount: "-10" is negative"#);
}

#[tokio::test]
async fn a_secret_in_a_body_is_not_published() {
    let ingress = Ingress::start().await;
    let sent = body("round_end");
    let secrets = ["8f6a2c0b5d1e4f7a9c3b", "hunter2"];
    assert!(secrets.iter().all(|secret| String::from_utf8_lossy(&sent).contains(secret)));
    assert_eq!(ingress.send(&ingress.signed("servers", Method::Post, &sent)).await.status, 200);
    // The same when the body cannot be read.
    let broken = [&sent[..], b","].concat();
    assert_eq!(ingress.send(&ingress.signed("servers", Method::Post, &broken)).await.status, 422);
    let messages = ingress.publisher.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        let bytes = String::from_utf8_lossy(&message.body).into_owned();
        assert!(secrets.iter().all(|secret| !bytes.contains(secret)), "{bytes}");
    }
}

#[tokio::test]
async fn what_nobody_vouches_for_is_answered_401_without_the_reason() {
    let ingress = Ingress::start().await;
    let sent = body("game_created");
    let signed = ingress.signed("duel", Method::Post, &sent);
    let unsigned = Request { headers: Vec::new(), ..signed.clone() };
    assert_snapshot!(ingress.send(&unsigned).await, @r#"
    401
    cache-control: no-store
    connection: close
    content-length: 182
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:bad-signature","title":"The delivery is not believed","status":401,"detail":"nothing in the request proves that the provider sent it","source":"duel"}
    "#);

    let (name, value) = signed.headers[0].clone();
    let mut changed = signed.clone();
    changed.body[10] ^= 1;
    let hour_ago = now().plus_seconds(-3600);
    let put = body("match_put");
    let refused = [
        changed,
        unsigned.clone().header(&name, &value[..value.len() - 1]),
        unsigned.clone().header(&name, b"sha256=\xff\xfe"),
        signed.clone().header(&name, &value),
        ingress.signed_by(b"a guess", "duel", Method::Post, &sent),
        ingress.signed_by(OTHER_TOKEN_KEY, "arena", Method::Put, &put),
        ingress.signed_at(hour_ago, TOKEN_KEY, "arena", Method::Put, &put),
        Request::new("PUT", "/hooks/arena", &put).header("authorization", "Bearer not.a.token"),
        ingress.signed_by(b"Bearer guess", "servers", Method::Post, &body("round_end")),
        ingress.signed_by(b"a guess", "wall", Method::Post, &body("offer_removed")),
    ];
    let told = ingress.send(&unsigned).await.body;
    for request in &refused {
        let answer = ingress.send(request).await;
        let source = request.path.rsplit('/').next().unwrap();
        assert_eq!((answer.status, answer.body), (401, told.replace("duel", source)));
    }
    assert!(ingress.publisher.messages().is_empty());

    let reasons: Vec<String> = ingress
        .rejected
        .last()
        .iter()
        .map(|rejected| {
            format!("{} {} {}", rejected.source, rejected.reason.as_str(), rejected.remote.unwrap())
        })
        .collect();
    assert_snapshot!(reasons.join("\n"), @r"
    duel header_missing 127.0.0.1
    duel header_missing 127.0.0.1
    duel signature_mismatch 127.0.0.1
    duel header_malformed 127.0.0.1
    duel header_malformed 127.0.0.1
    duel header_doubled 127.0.0.1
    duel signature_mismatch 127.0.0.1
    arena signature_mismatch 127.0.0.1
    arena expired 127.0.0.1
    arena header_malformed 127.0.0.1
    servers signature_mismatch 127.0.0.1
    wall signature_mismatch 127.0.0.1
    ");
}

#[tokio::test]
async fn both_secrets_of_a_rotation_are_accepted() {
    let ingress = Ingress::start().await;
    for key in ["the new one", "the old one"] {
        let request = ingress.signed_by(key.as_bytes(), "duel", Method::Post, &body("game_created"));
        assert_eq!(ingress.send(&request).await.status, 200, "{key}");
    }
}

#[tokio::test]
async fn an_unknown_source_is_answered_404() {
    let ingress = Ingress::start().await;
    let mut request = ingress.signed("duel", Method::Post, &body("game_created"));
    request.path = "/hooks/duell".to_owned();
    assert_snapshot!(ingress.send(&request).await, @r#"
    404
    cache-control: no-store
    connection: close
    content-length: 134
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:unknown-source","title":"No such source","status":404,"detail":"no source of this name is configured"}
    "#);
    for path in
        ["/hooks/duel/", "/hooks/", "/hooks", "//hooks/duel", "/hooks/duel/x", "/", "/metrics", "/readyz"]
    {
        request.path = path.to_owned();
        let answer = ingress.send(&request).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("urn:matchpurse:problem:not-found"), "{path}: {answer}");
    }
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn a_method_that_the_provider_does_not_use_is_answered_405() {
    let ingress = Ingress::start().await;
    let mut request = ingress.signed("arena", Method::Put, &body("match_put"));
    request.method = "POST".to_owned();
    assert_snapshot!(ingress.send(&request).await, @r#"
    405
    allow: PUT, DELETE
    cache-control: no-store
    connection: close
    content-length: 152
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:method-not-allowed","title":"Method not allowed","status":405,"detail":"this source takes PUT, DELETE","source":"arena"}
    "#);
    for method in ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = ingress.send(&Request::new(method, "/hooks/duel", b"")).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.headers.contains(&("allow".to_owned(), "POST".to_owned())), "{method}: {answer}");
    }
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn what_no_durable_storage_confirms_is_answered_503() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    ingress.publisher.set(Mode::Fail(|| PublishError::Unroutable));
    assert_snapshot!(ingress.send(&request).await, @r#"
    503
    cache-control: no-store
    content-length: 174
    content-type: application/problem+json
    retry-after: 2

    {"type":"urn:matchpurse:problem:unavailable","title":"The delivery cannot be kept now","status":503,"detail":"no durable storage confirmed it; send it again","source":"duel"}
    "#);
    let failures: [fn() -> PublishError; 5] = [
        || PublishError::NotConnected,
        || PublishError::Blocked,
        || PublishError::Refused,
        || PublishError::TimedOut,
        || PublishError::Overloaded,
    ];
    for failure in failures {
        ingress.publisher.set(Mode::Fail(failure));
        for (source, method, name) in [
            ("duel", Method::Post, "game_created"),
            ("duel", Method::Post, "game_negative"),
            ("arena", Method::Put, "match_put"),
        ] {
            let answer = ingress.send(&ingress.signed(source, method, &body(name))).await;
            assert_eq!(answer.status, 503, "{name}");
        }
    }
    ingress.publisher.set(Mode::Panic);
    assert_eq!(ingress.send(&request).await.status, 503);
    assert!(ingress.publisher.messages().is_empty());

    ingress.publisher.set(Mode::Keep);
    assert_eq!(ingress.send(&request).await.status, 200, "it goes on when the storage is back");
}
