//! Notices go on with the trace of the event that they tell of.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_service_kit::config::SecretUrl;
use matchpurse_service_kit::trace::{TraceOptions, install};
use matchpurse_store::outbox;
use matchpurse_testkit::{Collector, Reply, Studio};

use crate::stage::{Stage, endpoint, notice, source};

const FROM: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(source: &SourceName) -> EventId {
    EventId::of_delivery(source, "POST", b"{}", 0)
}

/// Writes two notices: one of an event whose trace is known, one of a person.
async fn tell(stage: &Stage) -> Result<()> {
    let cause = event(&source("arena"));
    let told = [notice("match.settled", "m1", 1).because_of(cause), notice("match.corrected", "m2", 2)];
    stage
        .in_tx(async |tx| {
            tx.follow(BTreeMap::from([(cause, FROM.to_owned())]));
            Ok(outbox::append_in_tx(tx, &told).await?)
        })
        .await
}

#[tokio::test]
async fn every_attempt_is_a_span_and_the_receiver_can_go_on_from_it() -> Result<()> {
    let (stage, studio, collector) = (Stage::new().await?, Studio::start().await?, Collector::start().await?);
    let traces = install(Some(TraceOptions {
        endpoint: SecretUrl::new(collector.url()).unwrap(),
        headers: Vec::new(),
        sample_ratio: 1.0,
        queue_spans_max: 1000,
        export_timeout: Duration::from_secs(10),
    }))?;
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    studio.behave(|_, nth| if nth == 1 { Reply::status(500) } else { Reply::ok() });
    tell(&stage).await?;
    stage.live(&mut dispatcher, 3600).await?;
    traces.flush().await;

    let expected = "\
notice (dispatcher) matchpurse.endpoint=game matchpurse.notice=match.settled matchpurse.attempt=1 \
http.request.method=POST matchpurse.outcome=refused http.response.status_code=500 FAILED: refused
notice (dispatcher) matchpurse.endpoint=game matchpurse.notice=match.settled matchpurse.attempt=2 \
http.request.method=POST matchpurse.outcome=delivered http.response.status_code=204
";
    assert_eq!(collector.tree(&["matchpurse.webhook_id"])?, expected);
    let spans = collector.spans()?;
    let heard: Vec<String> =
        studio.requests().iter().map(|request| request.header("traceparent").to_owned()).collect();
    let of_spans: Vec<String> =
        spans.iter().map(|span| format!("00-{}-{}-01", span.trace, span.id)).collect();
    assert!(spans.iter().all(|span| span.parent.as_deref() == Some("00f067aa0ba902b7")), "{spans:?}");
    let of_event: Vec<&String> = heard.iter().filter(|header| !header.is_empty()).collect();
    assert_eq!(of_event, of_spans.iter().collect::<Vec<_>>());
    // What a person did belongs to no trace.
    assert_eq!(heard.iter().filter(|header| header.is_empty()).count(), 2);
    Ok(())
}

/// An exporter is the process's, and nextest gives each test a process.
#[tokio::test]
async fn without_a_collector_of_its_own_the_dispatcher_hands_the_trace_on() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    tell(&stage).await?;
    dispatcher.settle().await?;
    let mut heard: Vec<String> =
        studio.requests().iter().map(|request| request.header("traceparent").to_owned()).collect();
    heard.sort();
    assert_eq!(heard, ["", FROM]);
    Ok(())
}
