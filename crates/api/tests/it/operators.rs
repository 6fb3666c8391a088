//! What operators see, and what clients see while something is broken.

use std::time::Duration;

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::MatchStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::events::snapshot;
use crate::harness::{ANN, Api, deposit, request};
use crate::script::shown;

/// What must come to be does within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A condition is looked at again after this time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn while_the_database_is_away_clients_are_told_to_ask_again() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1000).await?;
    readiness(&api, 200).await?;
    api.database.cut_off().await?;
    let write = deposit("/v1/players/ours/a/deposits", "d2", 500);
    assert_snapshot!(shown(&api.send(&write).await?)?, @r#"
    503
    retry-after: 5
      detail: "the database is away or busy; ask again, a write with the same Idempotency-Key"
      status: 503
      title: "Not possible now"
      type: "urn:matchpurse:problem:unavailable"
    "#);
    assert_eq!(api.send(&request(ANN, "GET", "/v1/corrections", "")).await?.status, 503);
    readiness(&api, 503).await?;
    assert_eq!(api.admin("/healthz").await?.status, 200, "it is well, and starting it anew would not help");

    api.database.restore().await?;
    readiness(&api, 200).await?;
    assert_eq!(api.send(&write).await?.status, 201);
    assert_eq!(api.send(&write).await?.status, 200);
    api.stop().await
}

#[tokio::test]
async fn a_defect_of_ours_shows_nothing_of_its_cause() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    let client = api.database.connection().await?;
    client.execute("UPDATE match SET currency = 'no currency'", &[]).await?;
    let answer = api.send(&request(ANN, "GET", "/v1/matches/theirs/m1", "")).await?;
    assert_snapshot!(shown(&answer)?, @r#"
    500
      detail: "this is a defect of the service; its log has the cause under the answer's X-Request-Id"
      status: 500
      title: "Something is broken here"
      type: "urn:matchpurse:problem:internal"
    "#);
    api.stop().await
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_what_anybody_can_invent() -> Result<()> {
    let api = Api::start().await?;
    for (method, path) in [
        ("GET", "/v1/players/ours/a"),
        ("GET", "/v1/players/ours/b"),
        ("BREW", "/v1/ledger/trial-balance"),
        ("GET", "/invented/1"),
        ("GET", "/v1/invented/2"),
    ] {
        api.send(&request(ANN, method, path, "")).await?;
    }
    let metrics = api.admin("/metrics").await?.body;
    for line in [
        r#"matchpurse_api_requests_total{route="/v1/players/{source}/{player}",method="GET",status="404"}"#,
        r#"matchpurse_api_requests_total{route="/v1/ledger/trial-balance",method="other",status="405"}"#,
        r#"matchpurse_api_requests_total{route="astray",method="GET",status="404"}"#,
        r#"matchpurse_api_request_seconds_count{route="/v1/players/{source}/{player}"}"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("invented") && !metrics.contains("BREW"), "{metrics}");
    api.stop().await
}

#[tokio::test]
async fn what_is_in_work_ends_before_the_api_does() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1000).await?;
    // The player's account is somebody else's for a while.
    let mut other = api.database.connection().await?;
    let held = other.transaction().await?;
    held.execute("SELECT FROM account FOR UPDATE", &[]).await?;
    let mut stream = TcpStream::connect(api.address).await?;
    let body = r#"{"amount": {"minor_units": 500, "currency": "USD"}, "reason": "r"}"#;
    let head = format!(
        "POST /v1/players/ours/a/deposits HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {ANN}\r\n\
         idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let watching = api.database.connection().await?;
    until("the deposit waits", async || Ok(watching.query_one(waits, &[]).await?.get::<_, i64>(0) > 0))
        .await?;

    api.stop.cancel();
    readiness(&api, 503).await?;
    held.rollback().await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    api.running.await??;
    let money = api.database.texts("SELECT balance::text FROM account WHERE kind = 1").await?;
    assert_eq!(money, ["1500"]);
    for address in [api.address, api.admin] {
        tokio::net::TcpListener::bind(address).await.expect("the port is free");
    }
    Ok(())
}

/// Who hangs up does not take back what was asked for.
#[tokio::test]
async fn a_write_ends_though_its_client_is_gone() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1000).await?;
    let mut other = api.database.connection().await?;
    let held = other.transaction().await?;
    held.execute("SELECT FROM account FOR UPDATE", &[]).await?;
    let asked = deposit("/v1/players/ours/a/deposits", "k", 500);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let watching = api.database.connection().await?;
    tokio::select! {
        answer = api.send(&asked) => panic!("answered although it must wait: {answer:?}"),
        waiting = until("the deposit waits", async || Ok(watching.query_one(waits, &[]).await?.get::<_, i64>(0) > 0)) => waiting?,
    }
    held.rollback().await?;
    api.stop.cancel();
    api.running.await??;
    let money = api.database.texts("SELECT balance::text FROM account WHERE kind = 1").await?;
    assert_eq!(money, ["1500"]);
    Ok(())
}

/// Waits until the admin port says so.
async fn readiness(api: &Api, status: u16) -> Result<()> {
    until(&format!("/readyz answers {status}"), async || Ok(api.admin("/readyz").await?.status == status))
        .await
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| anyhow::anyhow!("never: {what}"))?
}
