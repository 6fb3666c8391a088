//! One delivery from the request through RabbitMQ to the database and the studio, as its trace tells it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use matchpurse_testkit::{Collector, Studio, Vhost};
use serde_json::Value;

use crate::ground::Played;
use crate::live::{FREE_PORTS, Running, send};

/// What a delivery of the provider's makes, by whom; `notice` is a part of the work on the event that it tells of.
const EXPECTED: &str = "\
delivery (ingress) matchpurse.source=offerwall http.route=/hooks/{source} http.request.method=POST \
matchpurse.type=offer.removed matchpurse.verdict=kept http.response.status_code=200
  publish (ingress) messaging.operation.name=publish messaging.operation.type=send \
messaging.destination.name=matchpurse.events messaging.batch.message_count=1 matchpurse.outcome=confirmed
    process (event-archive) messaging.operation.name=process messaging.operation.type=process \
messaging.destination.name=matchpurse.event-archive messaging.batch.message_count=1 \
matchpurse.worker=event-archive matchpurse.redelivered=false matchpurse.replayed=false matchpurse.attempts=1 \
matchpurse.outcome=applied
      transaction (event-archive) matchpurse.worker=event-archive messaging.batch.message_count=1 \
db.system.name=postgresql matchpurse.outcome=committed
    process (offer-removal) messaging.operation.name=process messaging.operation.type=process \
messaging.destination.name=matchpurse.offer-removal messaging.batch.message_count=1 \
matchpurse.worker=offer-removal matchpurse.redelivered=false matchpurse.replayed=false matchpurse.attempts=1 \
matchpurse.outcome=applied
      notice (dispatcher) matchpurse.endpoint=game matchpurse.notice=offer.removed matchpurse.attempt=1 \
http.request.method=POST matchpurse.outcome=delivered http.response.status_code=204
      transaction (offer-removal) matchpurse.worker=offer-removal messaging.batch.message_count=1 \
db.system.name=postgresql matchpurse.outcome=committed
";

fn configuration(database_url: &str, collector: &Collector, studio: &Studio) -> String {
    format!(
        r#"
[database]
url = {database_url:?}
{FREE_PORTS}
[telemetry.otlp]
endpoint = "{}"
headers.authorization = "Bearer planted"
[endpoints.game]
url = "{}"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
allow_private = true
[sources.offerwall]
provider = "adgem"
currency = "GEMS"
currency_exponent = 0
custody = "provider"
secrets = ["a secret of the offer wall"]
keys.postback = ["a secret of its postbacks"]
"#,
        collector.url(),
        studio.url("/hook"),
    )
}

#[tokio::test]
async fn a_delivery_is_one_trace_from_the_request_to_the_notice() -> Result<()> {
    let (collector, studio) = (Collector::start().await?, Studio::start().await?);
    let (played, vhost) = (Played::nothing("traces", "").await?, Vhost::create()?);
    let url = played.database.url();
    std::fs::write(played.folder.join("matchpurse.toml"), configuration(&url, &collector, &studio))?;
    let mut child = played
        .command(&["dev", "--json", "--port", "0", "--api-port", "0"])
        .env("MATCHPURSE_INGRESS__DRAIN_DELAY_MS", "0")
        .args(["--database-url", &url, "--amqp-url", &vhost.amqp_url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().context("piped")?;
    let mut running = Running(child);
    let places = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
    let places = places.context("dev ended")??;

    let sent = send(&played, &places, &["offer_removed", "--source", "offerwall"])?;
    ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    studio.received(1).await?;
    let archive = played.database.connection().await?;
    while archive.query_one("SELECT count(*) FROM archive", &[]).await?.get::<_, i64>(0) < 1 {
        tokio::task::yield_now().await;
    }
    // Whoever is asked to end sends what it still has.
    let id = running.0.id().to_string();
    ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "kill failed");
    let ended = tokio::task::spawn_blocking(move || running.0.wait());
    ensure!(tokio::time::timeout(Duration::from_secs(60), ended).await???.success(), "dev failed");

    // Ids, and the length of the body.
    let without =
        ["matchpurse.delivery_id", "http.request.body.size", "messaging.message.id", "matchpurse.webhook_id"];
    assert_eq!(collector.tree(&without)?, EXPECTED);
    let spans = collector.spans()?;
    let delivery = spans.iter().find(|span| span.name == "delivery").context("no delivery")?;
    // Whoever has the event's id has the trace's.
    assert_eq!(delivery.attribute("matchpurse.delivery_id").replace('-', ""), delivery.trace);
    assert!(spans.iter().all(|span| span.trace == delivery.trace), "{spans:?}");
    // The studio goes on from the attempt that reached it.
    let notice = spans.iter().find(|span| span.name == "notice").context("no notice")?;
    let heard = studio.requests()[0].header("traceparent").to_owned();
    assert_eq!(heard, format!("00-{}-{}-01", notice.trace, notice.id));
    assert!(collector.requests().iter().all(|request| request.header("authorization") == "Bearer planted"));
    Ok(())
}
