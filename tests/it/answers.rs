//! The ingress's answers where something is not as it should be, and what is kept then.

use anyhow::{Context as _, Result};
use insta::assert_snapshot;
use matchpurse_domain::ids::EventId;
use matchpurse_providers::Method;
use uuid::Uuid;

use crate::system::System;
use crate::system::http::{Answer, Request};
use crate::system::sources::{Fixture, Source, fixture};

/// More than the samples, less than what a sender may try.
const LIMIT: usize = 4000;

fn shown(answer: &Answer) -> String {
    let header =
        |name: &str| answer.header(name).map(|value| format!("{name}: {value}\n")).unwrap_or_default();
    let headers = ["allow", "content-type", "retry-after"].map(header).concat();
    format!("{}\n{headers}{}", answer.status, answer.body)
}

#[tokio::test]
async fn what_is_not_understood_is_kept_and_what_is_not_wanted_is_not() -> Result<()> {
    let mut source = Source::of("lucra", "games")?;
    source.more = format!("max_body_bytes = {LIMIT}");
    let mut system = System::start(vec![source]).await?;

    let unknown = fixture("lucra", "unknown_event")?;
    let answer = system.deliver("games", &unknown).await?;
    assert_snapshot!(shown(&answer), @"200");
    let not_json = fixture("lucra", "not_json")?;
    let answer = system.deliver("games", &not_json).await?;
    assert_snapshot!(shown(&answer), @r#"
    422
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:malformed-body","title":"The body cannot be read","status":422,"detail":"body: key must be a string at line 2 column 33; it was kept for the operators to see","source":"games","field":"body"}
    "#);
    system.settle().await?;
    let parked = "SELECT format('%s %s: %s', queue, kind, reason) FROM parked ORDER BY id";
    assert_snapshot!(system.lines(parked).await?.join("\n"), @r#"
    matchpurse.event-archive unrecognized: unknown_type: event: unknown event "SportsMatchupCreated"
    matchpurse.event-archive unrecognized: malformed: body: key must be a string at line 2 column 33
    "#);
    for body in [&unknown.body, &not_json.body] {
        let id = EventId::of_delivery(&system.source("games")?.name, "POST", body, 0).uuid();
        assert_eq!(&parked_raw(&system, id).await?, body);
        assert_eq!(&archived_raw(&system, id).await?, body);
    }

    let before = system.tables(&[]).await?;
    let source = system.source("games")?;
    let good = fixture("lucra", "RecreationalGameCreated")?;
    let signed = |body: &[u8]| source.delivery("webhook", Method::Post, body);

    let mut padded = good.body.clone();
    padded.resize(LIMIT + 1, b' ');
    let answer = system.send(&signed(&padded)?).await?;
    assert_snapshot!(shown(&answer), @r#"
    413
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:body-too-large","title":"The body is too large","status":413,"detail":"this source takes bodies of up to 4000 bytes","source":"games"}
    "#);

    let mut elsewhere = signed(&good.body)?;
    elsewhere.path = "/hooks/nobody".to_owned();
    assert_snapshot!(shown(&system.send(&elsewhere).await?), @r#"
    404
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:unknown-source","title":"No such source","status":404,"detail":"no source of this name is configured"}
    "#);
    elsewhere.path = "/elsewhere".to_owned();
    assert_snapshot!(shown(&system.send(&elsewhere).await?), @r#"
    404
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:not-found","title":"Nothing is here","status":404,"detail":"deliveries go to /hooks/{source}"}
    "#);

    assert_snapshot!(shown(&system.send(&Request::new("GET", "/hooks/games", b"")).await?), @r#"
    405
    allow: POST
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:method-not-allowed","title":"Method not allowed","status":405,"detail":"this source takes POST","source":"games"}
    "#);
    assert_snapshot!(shown(&system.send(&Request::new("POST", "/hooks/games", &good.body)).await?), @r#"
    401
    content-type: application/problem+json
    {"type":"urn:matchpurse:problem:bad-signature","title":"The delivery is not believed","status":401,"detail":"nothing in the request proves that the provider sent it","source":"games"}
    "#);

    // A body that just fits is the first that leaves something again.
    padded.resize(LIMIT, b' ');
    let fits = Fixture { body: padded, ..good };
    let changes = before.changes(&system.tables(&[]).await?);
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(system.deliver("games", &fits).await?.status, 200);
    system.settle().await?;
    assert_eq!(system.count("SELECT count(*) FROM archive").await?, 3);
    assert_eq!(system.count("SELECT count(*) FROM parked").await?, 2);
    assert_eq!(system.count("SELECT count(*) FROM match").await?, 1);
    system.stop().await
}

async fn parked_raw(system: &System, id: Uuid) -> Result<Vec<u8>> {
    let row = system.client.query_one("SELECT body FROM parked WHERE event_id = $1", &[&id]).await;
    let body: Vec<u8> = row.context("not parked")?.try_get(0)?;
    Ok(matchpurse_contracts::wire::decode(&body)?.raw.to_vec())
}

async fn archived_raw(system: &System, id: Uuid) -> Result<Vec<u8>> {
    let row = system.client.query_one("SELECT raw FROM archive WHERE event_id = $1", &[&id]).await;
    Ok(row.context("not archived")?.try_get(0)?)
}
