//! Spans on their way to a collector of a few lines on the loopback.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matchpurse_service_kit::config::{SecretUrl, SecretValue};
use matchpurse_service_kit::metrics::{self, Metrics};
use matchpurse_service_kit::trace::{
    Kind, SPANS_DROPPED, SPANS_EXPORTED, Span, SpanContext, TraceOptions, Traces, install,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

/// What came: the head, and the body.
type Request = (String, Value);

/// Answers the n-th request with the n-th of these statuses, the last one for ever; 0 never answers.
async fn collector(statuses: &'static [u16]) -> Result<(String, UnboundedReceiver<Request>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/traces", listener.local_addr()?);
    let (told, requests) = unbounded_channel();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(request) = read(&mut stream).await {
                let status = statuses[count.min(statuses.len() - 1)];
                count += 1;
                answer(&mut stream, &told, request, status).await;
            }
        }
    });
    Ok((url, requests))
}

async fn answer(stream: &mut TcpStream, told: &UnboundedSender<Request>, request: Request, status: u16) {
    told.send(request).ok();
    if status == 0 {
        std::future::pending::<()>().await;
    }
    let answer = format!("HTTP/1.1 {status} so\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(answer.as_bytes()).await.ok();
}

async fn read(stream: &mut TcpStream) -> Result<Request> {
    let mut bytes = Vec::new();
    loop {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "it hung up");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.context("no length")?.parse::<usize>()? {
            return Ok((head, serde_json::from_str(body)?));
        }
    }
}

fn options(url: &str) -> TraceOptions {
    TraceOptions {
        endpoint: SecretUrl::new(url).unwrap(),
        headers: vec![("authorization".to_owned(), SecretValue::new("Bearer hunter2").unwrap())],
        sample_ratio: 1.0,
        queue_spans_max: 10,
        export_timeout: Duration::from_secs(5),
    }
}

fn begin(traces: &Traces, name: &'static str) -> Span {
    traces.tracer("worker").begin(TRACE, None, name, Kind::Consumer, Instant::now())
}

fn counted(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |count| count.parse().unwrap())
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    counted(metrics, &format!("{SPANS_DROPPED}{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn spans_of_two_services_are_sent_with_what_the_collector_wants_to_hear() -> Result<()> {
    let (url, mut requests) = collector(&[200]).await?;
    let traces = install(Some(options(&url)))?;
    let mut parent = traces.tracer("front").begin(TRACE, Some(7), "delivery", Kind::Server, Instant::now());
    parent.set("matchpurse.source", "duel");
    let context = parent.context().unwrap();
    traces.tracer("worker").child(context, "process", Kind::Consumer, Instant::now()).end();
    parent.end();
    // Dropped, as when the sender hangs up.
    drop(begin(&traces, "cut off"));
    traces.flush().await;

    let (head, body) = requests.recv().await.unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    for header in ["content-type: application/json", "authorization: bearer hunter2"] {
        assert!(head.contains(header), "{head}");
    }
    let [front, worker] = body["resourceSpans"].as_array().unwrap().as_slice() else { panic!("{body}") };
    let names = ["service.namespace", "service.name", "service.version", "service.instance.id"];
    for (resource, name) in [(front, "front"), (worker, "worker")] {
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        assert_eq!(attributes.iter().map(|a| a["key"].as_str().unwrap()).collect::<Vec<_>>(), names);
        assert_eq!(attributes[1]["value"]["stringValue"], name);
    }
    let delivery = &front["scopeSpans"][0]["spans"][0];
    assert_eq!(delivery["traceId"], format!("{TRACE:032x}"));
    assert_eq!(delivery["parentSpanId"], "0000000000000007");
    assert_eq!(delivery["status"], Value::Null);
    let [process, cut_off] = worker["scopeSpans"][0]["spans"].as_array().unwrap().as_slice() else {
        panic!("{worker}")
    };
    assert_eq!(process["parentSpanId"], delivery["spanId"]);
    assert_eq!(cut_off["status"]["message"], "abandoned");
    Ok(())
}

#[tokio::test]
async fn while_the_collector_is_away_spans_are_dropped_and_counted() -> Result<()> {
    let metrics = metrics::install()?;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let traces = install(Some(options(&format!("http://{address}/v1/traces"))))?;
    // The exporter's task has had no turn yet, so the queue is as it begins: it has room for ten.
    (0..1000).for_each(|_| begin(&traces, "process").end());
    assert_eq!(dropped(&metrics, "full"), 990);
    traces.flush().await;
    assert_eq!(dropped(&metrics, "not_taken"), 10);
    assert_eq!(counted(&metrics, SPANS_EXPORTED), 0);
    Ok(())
}

#[tokio::test]
async fn what_the_collector_cannot_take_now_is_sent_again_and_what_it_refuses_is_not() -> Result<()> {
    let metrics = metrics::install()?;
    let (url, mut requests) = collector(&[503, 200, 400]).await?;
    let traces = install(Some(options(&url)))?;
    begin(&traces, "first").end();
    let (first, again) = (requests.recv().await.unwrap(), requests.recv().await.unwrap());
    assert_eq!(first.1, again.1);
    begin(&traces, "second").end();
    requests.recv().await.unwrap();
    traces.flush().await;
    assert!(requests.try_recv().is_err(), "a refusal is the last word");
    assert_eq!((counted(&metrics, SPANS_EXPORTED), dropped(&metrics, "not_taken")), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_collector_that_never_answers_does_not_hold_up_the_end() -> Result<()> {
    let (url, _requests) = collector(&[0]).await?;
    let traces = install(Some(TraceOptions { export_timeout: Duration::from_millis(200), ..options(&url) }))?;
    begin(&traces, "process").end();
    tokio::time::timeout(Duration::from_secs(5), traces.flush()).await?;
    Ok(())
}

#[tokio::test]
async fn a_trace_is_sent_whole_or_not_at_all() -> Result<()> {
    let (url, _requests) = collector(&[200]).await?;
    let with = |sample_ratio| install(Some(TraceOptions { sample_ratio, ..options(&url) }));
    let (half, same, all, none) = (with(0.5)?, with(0.5)?, with(1.0)?, with(0.0)?);
    let samples = |traces: &Traces, trace: u128| {
        let span = traces.tracer("x").begin(trace, None, "x", Kind::Internal, Instant::now());
        span.is_recording()
    };
    // Numbers that are spread over all that there are.
    let ids = (1..=1000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let mut sampled = 0;
    for id in ids {
        assert_eq!(samples(&half, id), samples(&same, id));
        sampled += usize::from(samples(&half, id));
        assert!(samples(&all, id) && !samples(&none, id));
    }
    assert!((400..600).contains(&sampled), "{sampled}");
    // Who begins a trace decides for all.
    let of = SpanContext { trace: TRACE, span: 7, sampled: false };
    assert!(!all.tracer("x").child(of, "x", Kind::Internal, Instant::now()).is_recording());
    for traces in [half, same, all, none] {
        traces.flush().await;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_collector_spans_are_empty() -> Result<()> {
    let traces = install(None)?;
    let tracer = traces.tracer("x");
    let mut span = tracer.begin(TRACE, None, "x", Kind::Internal, Instant::now());
    span.set("a", "b");
    assert!(!tracer.is_on() && !span.is_recording() && span.context().is_none());
    traces.flush().await;
    let counted = allocation_counter::measure(|| {
        let mut span = tracer.begin(TRACE, None, "x", Kind::Internal, Instant::now());
        span.set("a", "b");
        span.end();
    });
    assert_eq!(counted.count_total, 0, "what is off costs nothing");
    let wrong = TraceOptions {
        headers: vec![("x".to_owned(), SecretValue::new("two\nlines").unwrap())],
        ..options("http://127.0.0.1:1/")
    };
    assert_eq!(
        install(Some(wrong)).unwrap_err().to_string(),
        "the header x for the collector cannot be sent"
    );
    Ok(())
}
