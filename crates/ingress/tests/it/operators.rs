//! What operators see: health, metrics and the rejected log.

use insta::assert_snapshot;
use matchpurse_providers::Method;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::Request;

#[tokio::test]
async fn readiness_follows_the_publisher_and_liveness_does_not() {
    let ingress = Ingress::start().await;
    assert_eq!(ingress.get_admin("/readyz").await.status, 200);
    ingress.publisher.set_ready(false);
    let answer = ingress.get_admin("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("events cannot be put on durable storage now"), "{answer}");
    assert_eq!(ingress.get_admin("/healthz").await.status, 200);
    assert_eq!(ingress.send(&Request::new("GET", "/healthz", b"")).await.status, 200);
    ingress.publisher.set_ready(true);
    assert_eq!(ingress.get_admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn every_outcome_is_counted_by_source() {
    // A source of its own: the metrics are the process's.
    let ingress = Ingress::start_with(&SOURCES.replace("sources.duel", "sources.counted")).await;
    let kept = ingress.signed("counted", Method::Post, &body("game_created"));
    let unsigned = Request { headers: Vec::new(), ..kept.clone() };
    let malformed = ingress.signed("counted", Method::Post, &body("game_negative"));
    for request in [&kept, &kept, &unsigned, &malformed, &Request::new("GET", "/hooks/counted", b"")] {
        ingress.send(request).await;
    }
    let metrics = ingress.get_admin("/metrics").await.body;
    let mut counted: Vec<&str> = metrics
        .lines()
        .filter(|line| line.contains("source=\"counted\"") && !line.contains("_seconds_bucket"))
        .filter(|line| !line.contains("_seconds_sum"))
        .collect();
    counted.sort_unstable();
    assert_snapshot!(counted.join("\n"), @r#"
    matchpurse_ingress_deliveries_total{source="counted",outcome="kept"} 2
    matchpurse_ingress_deliveries_total{source="counted",outcome="malformed"} 1
    matchpurse_ingress_deliveries_total{source="counted",outcome="method_not_allowed"} 1
    matchpurse_ingress_deliveries_total{source="counted",outcome="not_believed"} 1
    matchpurse_ingress_request_seconds_count{source="counted",outcome="kept"} 2
    matchpurse_ingress_request_seconds_count{source="counted",outcome="malformed"} 1
    matchpurse_ingress_request_seconds_count{source="counted",outcome="method_not_allowed"} 1
    matchpurse_ingress_request_seconds_count{source="counted",outcome="not_believed"} 1
    matchpurse_ingress_verify_failures_total{source="counted",reason="header_missing"} 1
    "#);
    for name in ["matchpurse_ingress_in_flight", "matchpurse_ingress_publish_seconds_bucket"] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_name_that_anybody_can_invent_becomes_no_label() {
    let ingress = Ingress::start().await;
    ingress.send(&Request::new("POST", "/hooks/invented", b"")).await;
    ingress.send(&Request::new("POST", "/invented", b"")).await;
    let metrics = ingress.get_admin("/metrics").await.body;
    for outcome in ["unknown_source", "unknown_path"] {
        assert!(metrics.contains(&format!("{{source=\"unknown\",outcome=\"{outcome}\"}}")), "{metrics}");
    }
    assert!(!metrics.contains("invented"), "{metrics}");
}

#[tokio::test]
async fn refused_deliveries_are_shown_without_what_they_held() {
    let ingress = Ingress::start().await;
    let forged = ingress.signed_by(b"a guess", "duel", Method::Post, &body("game_created"));
    ingress.send(&forged).await;
    let answer = ingress.get_admin("/rejected").await;
    let digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_snapshot!(digits(&answer.body), @r#"{"last":[{"at_unix_ms":,"reason":"signature_mismatch","remote":"...","source":"duel"}],"total":}"#);
}
