//! What a batch tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::Delivery;
use matchpurse_service_kit::config::SecretUrl;
use matchpurse_service_kit::trace::{TraceOptions, install};
use matchpurse_testkit::{Collector, Database};

use crate::samples::{FINE, Noticing, REJECTED, delivery, worker};

fn options(collector: &Collector) -> Option<TraceOptions> {
    Some(TraceOptions {
        endpoint: SecretUrl::new(collector.url()).unwrap(),
        headers: Vec::new(),
        sample_ratio: 1.0,
        queue_spans_max: 1000,
        export_timeout: Duration::from_secs(10),
    })
}

/// The `n`-th delivery, in a trace of its own.
fn traced(n: u32, what: &str, flags: &str) -> Delivery {
    let traceparent = format!("00-{:032x}-00f067aa0ba902b7-{flags}", 0xabc0 + n);
    Delivery { traceparent: Some(traceparent), ..delivery(n, what) }
}

/// Ids that differ from run to run.
const WITHOUT: [&str; 1] = ["messaging.message.id"];

#[tokio::test]
async fn an_event_that_comes_alone_has_its_transaction_in_its_own_trace() -> Result<()> {
    let (database, collector) = (Database::create().await?, Collector::start().await?);
    let traces = install(options(&collector))?;
    let worker = worker(&database, Noticing::default()).await?;
    worker.process_batch(&[traced(1, FINE, "01")]).await;
    traces.flush().await;
    let expected = "\
process (player-stats) messaging.operation.name=process messaging.operation.type=process \
messaging.destination.name=matchpurse.player-stats messaging.batch.message_count=1 matchpurse.worker=player-stats \
matchpurse.redelivered=false matchpurse.replayed=false matchpurse.attempts=1 matchpurse.outcome=applied
  transaction (player-stats) matchpurse.worker=player-stats messaging.batch.message_count=1 \
db.system.name=postgresql matchpurse.outcome=committed
";
    assert_eq!(collector.tree(&WITHOUT)?, expected);
    let spans = collector.spans()?;
    assert!(spans.iter().all(|span| span.trace == format!("{:032x}", 0xabc1)), "{spans:?}");
    let process = spans.iter().find(|span| span.name == "process").unwrap();
    assert_eq!(process.parent.as_deref(), Some("00f067aa0ba902b7"));
    // The notice goes on from the work on its event.
    let stored = database.texts("SELECT traceparent FROM outbox").await?;
    assert_eq!(stored, [format!("00-{}-{}-01", process.trace, process.id)]);
    Ok(())
}

#[tokio::test]
async fn a_transaction_of_several_traces_is_linked_with_each_and_each_notice_goes_on_with_its_own()
-> Result<()> {
    let (database, collector) = (Database::create().await?, Collector::start().await?);
    let traces = install(options(&collector))?;
    let worker = worker(&database, Noticing::default()).await?;
    let batch = [
        traced(1, FINE, "01"),
        traced(2, REJECTED, "01"),
        // Nobody wants to see this one.
        traced(3, FINE, "00"),
        // And of this one nobody knows where it comes from.
        delivery(4, FINE),
    ];
    worker.process_batch(&batch).await;
    traces.flush().await;
    let without: Vec<&str> = WITHOUT
        .into_iter()
        .chain(["messaging.operation.name", "messaging.operation.type", "messaging.destination.name"])
        .chain(["matchpurse.worker", "matchpurse.redelivered", "matchpurse.replayed", "db.system.name"])
        .collect();
    // All four, then two and two; of the half with the culprit each alone.
    let expected = "\
process (player-stats) messaging.batch.message_count=4 matchpurse.attempts=3 matchpurse.outcome=applied LINKED: 2 transaction
  transaction (player-stats) messaging.batch.message_count=1 matchpurse.outcome=committed
process (player-stats) messaging.batch.message_count=4 matchpurse.attempts=3 matchpurse.outcome=parked FAILED: parked \
LINKED: 2 transaction
  transaction (player-stats) messaging.batch.message_count=1 matchpurse.outcome=failed FAILED: rejected
transaction (player-stats) messaging.batch.message_count=2 matchpurse.outcome=failed FAILED: rejected LINKED: 2 process
transaction (player-stats) messaging.batch.message_count=4 matchpurse.outcome=failed FAILED: rejected LINKED: 2 process
";
    assert_eq!(collector.tree(&without)?, expected);

    let spans = collector.spans()?;
    let ids: BTreeMap<&str, &str> =
        spans.iter().filter(|s| s.name == "process").map(|s| (s.trace.as_str(), s.id.as_str())).collect();
    let stored = database.texts("SELECT coalesce(traceparent, '') FROM outbox").await?;
    let first = format!("{:032x}", 0xabc1);
    // In the order of the alphabet.
    let expected = [
        String::new(),
        format!("00-{first}-{}-01", ids[first.as_str()]),
        format!("00-{:032x}-00f067aa0ba902b7-00", 0xabc3),
    ];
    assert_eq!(stored, expected);
    Ok(())
}

/// An exporter is the process's, and nextest gives each test a process.
#[tokio::test]
async fn without_a_collector_nothing_is_kept_of_a_trace() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    worker.process_batch(&[traced(1, FINE, "01")]).await;
    assert_eq!(database.texts("SELECT coalesce(traceparent, 'none') FROM outbox").await?, ["none"]);
    Ok(())
}
