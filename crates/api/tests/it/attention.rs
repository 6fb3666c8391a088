//! What waits for a person: parked deliveries and anomalies; and the archive, in which both are looked up.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, MatchStatus};

use crate::events::snapshot;
use crate::harness::{Api, SETTINGS};
use crate::script::Script;

/// Parks a body on the escrow's queue, as the worker does that could not apply it.
async fn park(api: &Api, event: &Event, body: &[u8]) -> Result<()> {
    let sql =
        "INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, source, event_type, subject)
               VALUES ($1, 'matchpurse.match-escrow', 'technical', 'given up after 20 attempts: it broke', $2,
                       'match_snapshot.any.theirs', 'theirs', 'Told', 'm1')";
    api.database.connection().await?.execute(sql, &[&event.id.uuid(), &body]).await?;
    Ok(())
}

#[tokio::test]
async fn a_parked_delivery_is_resolved_once() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    let (one, two) = (
        snapshot("theirs", MatchStatus::Closed, Some("g1")),
        snapshot("theirs", MatchStatus::Closed, Some("g2")),
    );
    park(&api, &one, &Message::new(one.clone(), None).body).await?;
    park(&api, &two, b"no event").await?;
    let mut script = Script::new(&api);
    for line in [
        "reader GET /v1/parked",
        "reader GET /v1/parked/1",
        "reader GET /v1/parked/2",
        "reader GET /v1/parked/3",
        "reader GET /v1/parked?worker=player-stats",
        "reader GET /v1/parked?kind=broken",
        "reader GET /v1/parked?source=%00",
        "reader GET /v1/parked?since=yesterday",
        r#"reader POST /v1/parked/1/replay {"reason": "1.4.2 can"}"#,
        r#"ann POST /v1/parked/1/replay {"reason": " "}"#,
        r#"ann POST /v1/parked/1/replay {"reason": "1.4.2 can"}"#,
        // It is told what was done, and by whom.
        r#"bob POST /v1/parked/1/replay {"reason": "me too"}"#,
        r#"bob POST /v1/parked/1/discard {"reason": "or not"}"#,
        r#"ann POST /v1/parked/2/replay {"reason": "1.4.2 can"}"#,
        r#"ann POST /v1/parked/2/discard {"reason": "a stranger's"}"#,
        "reader GET /v1/parked",
        "reader GET /v1/parked?state=resolved&worker=match-escrow&limit=1",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    let sql = "SELECT destination FROM spool_destination JOIN spool USING (position)
                WHERE headers::text LIKE '%matchpurse-replay%'";
    assert_eq!(api.database.texts(sql).await?, ["matchpurse.match-escrow"], "one message, for one worker");
    api.stop().await
}

#[tokio::test]
async fn an_anomaly_is_decided_once_and_what_showed_it_is_in_the_archive() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g2"))]).await?;
    let mut script = Script::new(&api);
    let found = script.say("reader GET /v1/anomalies?source=theirs&subject=m1").await?;
    let event = found["items"][0]["event_id"].as_str().unwrap().to_owned();
    for line in [
        "reader GET /v1/anomalies?kind=stake_changed",
        "reader GET /v1/anomalies/1",
        &format!("reader GET /v1/events/{event}"),
        r#"ann POST /v1/anomalies/1/resolve {"reason": "the provider took it back"}"#,
        r#"ann POST /v1/anomalies/1/resolve {"reason": "the provider took it back"}"#,
        r#"bob POST /v1/anomalies/1/resolve {"reason": "another one"}"#,
        r#"bob POST /v1/anomalies/7/resolve {"reason": "there is none"}"#,
        "reader GET /v1/anomalies?state=resolved",
        "reader GET /v1/events/7",
        "reader GET /v1/events?type=player_kicked",
        "reader GET /v1/events?from=2100-01-01T00:00:00Z",
    ] {
        script.say(line).await?;
    }
    let first = script.say("reader GET /v1/events?type=match_snapshot&subject=m1&limit=1").await?;
    let next = first["next"].as_str().unwrap();
    script
        .say(&format!("reader GET /v1/events?type=match_snapshot&subject=m1&limit=1&cursor={next}"))
        .await?;
    assert_snapshot!(script.text());
    api.stop().await
}
