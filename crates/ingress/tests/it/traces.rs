//! The spans of deliveries, on their way to a collector.

use std::time::Duration;

use matchpurse_bus::PublishError;
use matchpurse_providers::Method;
use matchpurse_service_kit::config::SecretUrl;
use matchpurse_service_kit::trace::{TraceOptions, Traces, install};
use matchpurse_testkit::Collector;

use crate::harness::{Ingress, body};
use crate::publisher::Mode;

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traces(collector: &Collector, sample_ratio: f64) -> Traces {
    install(Some(TraceOptions {
        endpoint: SecretUrl::new(collector.url()).unwrap(),
        headers: Vec::new(),
        sample_ratio,
        queue_spans_max: 1000,
        export_timeout: Duration::from_secs(10),
    }))
    .unwrap()
}

fn traceparents(ingress: &Ingress) -> Vec<String> {
    let messages = ingress.publisher.messages();
    let header = |message: &matchpurse_contracts::wire::Message| {
        message.headers.iter().find(|(name, _)| name == "traceparent").unwrap().1.clone()
    };
    messages.iter().map(header).collect()
}

#[tokio::test]
async fn a_delivery_is_a_trace_with_its_verdict_and_its_events_are_made_in_it() {
    let collector = Collector::start().await.unwrap();
    let traces = traces(&collector, 1.0);
    let ingress = Ingress::start().await;
    // In the sender's trace, in one of its own, one that cannot be read, and one that cannot be kept.
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&request.clone().header("traceparent", SENT)).await.status, 200);
    assert_eq!(ingress.send(&request).await.status, 200);
    let malformed = ingress.signed("duel", Method::Post, b"{");
    assert_eq!(ingress.send(&malformed).await.status, 422);
    ingress.publisher.set(Mode::Fail(|| PublishError::NotConnected));
    assert_eq!(ingress.send(&request).await.status, 503);
    // Who is not believed has no span: he could make any number.
    let stranger = ingress.signed_by(b"another key", "duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&stranger).await.status, 401);
    let messages = ingress.publisher.messages();
    let made_in = traceparents(&ingress);
    ingress.stop().await;
    traces.flush().await;

    let without = ["matchpurse.delivery_id", "http.route", "http.request.method", "http.request.body.size"];
    let text = collector.tree(&without).unwrap();
    let expected = "\
delivery (ingress) matchpurse.source=duel matchpurse.type=RecreationalGameCreated matchpurse.verdict=kept \
http.response.status_code=200
  publish (ingress) OF matchpurse.outcome=confirmed
delivery (ingress) matchpurse.source=duel matchpurse.type=RecreationalGameCreated matchpurse.verdict=kept \
http.response.status_code=200
  publish (ingress) OF matchpurse.outcome=confirmed
delivery (ingress) matchpurse.source=duel matchpurse.type=RecreationalGameCreated matchpurse.verdict=unavailable \
http.response.status_code=503 FAILED: unavailable
  publish (ingress) OF matchpurse.outcome=not_connected FAILED: not_connected
delivery (ingress) matchpurse.source=duel matchpurse.verdict=malformed http.response.status_code=422
  publish (ingress) OF matchpurse.outcome=confirmed
";
    let of = "messaging.operation.name=publish messaging.operation.type=send \
              messaging.destination.name=matchpurse.events messaging.batch.message_count=1";
    assert_eq!(text, expected.replace("OF", of));

    let spans = collector.spans().unwrap();
    let [first, second, third, _] = &spans.iter().filter(|s| s.name == "delivery").collect::<Vec<_>>()[..]
    else {
        panic!("{spans:?}")
    };
    assert_eq!(first.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(first.parent.as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!((&second.trace, &second.parent), (&messages[1].id.simple().to_string(), &None));
    // The events go on from the publish.
    for (delivery, made_in) in [first, second, third].into_iter().zip(made_in) {
        let publish = spans.iter().find(|span| span.parent.as_ref() == Some(&delivery.id)).unwrap();
        assert_eq!(made_in, format!("00-{}-{}-01", publish.trace, publish.id));
        assert!(delivery.began <= publish.began && publish.ended <= delivery.ended, "{spans:?}");
    }
}

#[tokio::test]
async fn a_trace_that_is_not_sent_says_so_to_those_behind_us() {
    let collector = Collector::start().await.unwrap();
    let traces = traces(&collector, 0.0);
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&request.clone().header("traceparent", SENT)).await.status, 200);
    assert_eq!(ingress.send(&request).await.status, 200);
    let [sent, own] = &traceparents(&ingress)[..] else { panic!("two messages") };
    assert_eq!(*sent, format!("{}00", &SENT[..53]));
    assert!(own.ends_with("-00"), "{own}");
    ingress.stop().await;
    traces.flush().await;
    assert!(collector.requests().is_empty());
}

#[tokio::test]
async fn while_the_collector_is_away_deliveries_are_answered_as_before() {
    let collector = Collector::start().await.unwrap();
    collector.take_down().await;
    let traces = traces(&collector, 1.0);
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    for _ in 0..50 {
        assert_eq!(ingress.send(&request).await.status, 200);
    }
    ingress.stop().await;
    traces.flush().await;
    let metrics = matchpurse_service_kit::metrics::install().unwrap().render();
    // A delivery and a publish each.
    assert!(metrics.contains("matchpurse_otlp_spans_dropped_total{reason=\"not_taken\"} 100"), "{metrics}");
}
