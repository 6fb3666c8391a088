//! Deliveries, seen and sent again.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_testkit::Reply;
use serde_json::Value;

use crate::backend::{Backend, earned, settled};
use crate::harness::{READER, request};
use crate::script::Script;

/// Two endpoints; one refuses what is about the reward of contest c2, and wants order.
async fn with_deliveries() -> Result<Backend> {
    let backend = Backend::start("").await?;
    backend.studio.behave(|request, _| {
        let refused = String::from_utf8_lossy(&request.body).contains(r#""id": "c2""#);
        if refused { Reply::status(400).body("no such contest") } else { Reply::ok() }
    });
    let mut script = Script::new(&backend.api);
    for (name, more) in [("all", ""), ("granted", r#", "events": ["reward.granted"], "ordered": true"#)] {
        script.say(&format!("ann POST /v1/endpoints key=e1 {}", backend.endpoint(name, more))).await?;
    }
    backend.apply(&[earned("c1", "ann", 150)]).await?;
    backend.apply(&[earned("c2", "ann", 250)]).await?;
    backend.apply(&[earned("c3", "ann", 250)]).await?;
    backend.dispatcher().await?.settle().await?;
    Ok(backend)
}

#[tokio::test]
async fn deliveries_are_listed_by_what_is_asked_for() -> Result<()> {
    let backend = with_deliveries().await?;
    let grant = backend.grants("ann").await?.remove(0);
    let mut script = Script::new(&backend.api);
    for query in [
        "",
        "?endpoint=granted&state=waiting",
        "?kind=reward.held",
        &format!("?source=wall&subject={grant}&endpoint=all"),
        "?source=ours",
        "?endpoint=nobody",
        "?limit=2&state=delivered",
        "?state=open",
        "?subject=c1",
        "?kind=%01",
        "?webhook_id=1",
        "?endpoint=Game",
        "?cursor=AAAA",
        "?delivery=1",
    ] {
        script.say(&format!("reader GET /v1/deliveries{query}")).await?;
    }
    assert_snapshot!(settled(&script.text()));
    backend.api.stop().await
}

#[tokio::test]
async fn a_delivery_is_sent_again_when_it_can_be() -> Result<()> {
    let backend = with_deliveries().await?;
    let refused = backend
        .api
        .database
        .texts("SELECT delivery_id::text FROM delivery WHERE state = 'waiting' ORDER BY delivery_id")
        .await?;
    let delivered = backend
        .api
        .database
        .texts("SELECT min(delivery_id)::text FROM delivery WHERE state = 'delivered'")
        .await?;
    let mut script = Script::new(&backend.api);
    let retry = |who: &str, id: &str, key: &str| {
        format!(r#"{who} POST /v1/deliveries/{id}/retry key={key} {{"reason": "they know it now"}}"#)
    };
    for line in [
        retry("ann", &refused[0], "r1"),
        retry("bob", &refused[0], "r1"),
        retry("ann", &refused[1], "r1"),
        retry("ann", &delivered[0], "r2"),
        retry("ann", "9999", "r3"),
        retry("ann", "x", "r3"),
        retry("reader", &refused[0], "r3"),
        format!(r#"ann POST /v1/deliveries/{}/retry {{"reason": "no key"}}"#, refused[0]),
        format!(r#"ann POST /v1/deliveries/{}/retry key=r4 {{"reason": ""}}"#, refused[0]),
        format!("reader GET /v1/deliveries/{}", refused[0]),
        "reader GET /v1/deliveries/9999".to_owned(),
        format!("reader GET /v1/deliveries/{}?body=no", refused[0]),
    ] {
        script.say(&line).await?;
    }
    backend.studio.behave(|_, _| Reply::ok());
    backend.dispatcher().await?.settle().await?;
    script.say(&retry("ann", &refused[0], "r5")).await?;
    // A repeat of what was asked for is no new question, whatever came of it.
    script.say(&retry("ann", &refused[0], "r1")).await?;
    assert_snapshot!(settled(&script.text()));
    backend.api.stop().await
}

/// Of a line only the first can be sent; what is being sent is left alone.
#[tokio::test]
async fn a_delivery_is_not_sent_out_of_its_turn() -> Result<()> {
    let backend = with_deliveries().await?;
    let connection = backend.api.database.connection().await?;
    let sql = "UPDATE delivery SET state = 'behind' WHERE state = 'waiting' AND line IS NOT NULL RETURNING delivery_id";
    let behind: i64 = connection.query_one(sql, &[]).await?.get(0);
    let sql = "UPDATE delivery SET claimed_at = now(), next_attempt_at = now() + interval '1 minute'
                WHERE state = 'waiting' RETURNING delivery_id";
    let in_flight: i64 = connection.query_one(sql, &[]).await?.get(0);
    let mut script = Script::new(&backend.api);
    for id in [behind, in_flight] {
        script.say(&format!(r#"ann POST /v1/deliveries/{id}/retry key=r1 {{"reason": "now"}}"#)).await?;
    }
    assert_snapshot!(script.text());
    // A refusal leaves the key free.
    let kept = backend
        .api
        .database
        .texts("SELECT kind FROM dispatch_request WHERE kind = 'delivery_retried'")
        .await?;
    assert_eq!(kept, [""; 0]);
    backend.api.stop().await
}

/// However rare what is looked for is among however many, a page comes soon, and the pages together have it all.
#[tokio::test]
async fn what_is_rare_in_a_long_history_is_found_over_short_pages() -> Result<()> {
    let backend = with_deliveries().await?;
    let connection = backend.api.database.connection().await?;
    connection
        .batch_execute(
            "INSERT INTO outbox (webhook_id, source, kind, subject, payload, occurred_at, fanned_out_at, body)
             SELECT md5(n::text)::uuid, 'wall', 'match.settled', 'm' || n, '{}', now(), now(), '{}'
               FROM generate_series(1, 12000) n;
             INSERT INTO delivery (endpoint_id, webhook_id, position, state, next_attempt_at, created_at, finished_at)
             SELECT 1, webhook_id, position, 'delivered', now(), now(), now() FROM outbox
              WHERE kind = 'match.settled' ORDER BY position",
        )
        .await?;
    for (query, expected) in [
        ("kind=reward.held", 1),
        ("kind=reward.granted", 4),
        ("kind=match.settled", 12_000),
        // An endpoint's own, however many the other one has, and no more than that.
        ("endpoint=granted", 2),
        ("endpoint=granted&kind=match.settled", 0),
        ("endpoint=granted&state=waiting", 1),
        ("endpoint=all", 12_003),
        ("state=withdrawn", 0),
    ] {
        let mut path = format!("/v1/deliveries?{query}&limit=200");
        let (mut found, mut pages) = (0, 0);
        loop {
            let answer = backend.api.send(&request(READER, "GET", &path, "")).await?;
            let page: Value = serde_json::from_str(&answer.body)?;
            found += page["items"].as_array().unwrap().len();
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/deliveries?{query}&limit=200&cursor={next}");
        }
        assert_eq!(found, expected, "{query}");
        // A page looks at 2,000 of them at most.
        assert!(pages <= 8 + expected / 200, "{query}: {pages} pages");
    }
    backend.api.stop().await
}
