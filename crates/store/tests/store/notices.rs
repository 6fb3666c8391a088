use anyhow::Result;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::anomalies::{self, NewAnomaly};
use matchpurse_store::outbox::{self, Notice};
use matchpurse_store::players;
use matchpurse_testkit::Database;
use serde_json::json;

use crate::samples::source;

fn notice(subject: &str, discriminator: &str) -> Notice {
    Notice {
        source: source("s"),
        kind: "match.settled",
        subject: subject.to_owned(),
        discriminator: discriminator.to_owned(),
        payload: json!({"match": subject, "prize": 900}),
        occurred_at: Timestamp::from_seconds(1_700_000_000),
        cause: None,
    }
}

#[tokio::test]
async fn the_same_notice_again_adds_nothing() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    outbox::append_in_tx(&tx, &[notice("m1", ""), notice("m1", "")]).await?;
    outbox::append_in_tx(&tx, &[notice("m1", "")]).await?;
    tx.commit().await?;
    let tx = client.begin().await?;
    outbox::append_in_tx(&tx, &[notice("m1", ""), notice("m1", "2"), notice("m2", "")]).await?;
    tx.commit().await?;
    let rows = database.connection().await?.query("SELECT subject FROM outbox ORDER BY subject", &[]).await?;
    let subjects: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(subjects, ["m1", "m1", "m2"]);
    Ok(())
}

/// A receiver that wants order gets them in the order in which they were given, whatever their keys are.
#[tokio::test]
async fn notices_have_their_places_in_the_order_in_which_they_were_given() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let all: Vec<Notice> = (0..50).map(|n| notice(&format!("{n:02}"), "")).collect();
    for part in all.chunks(20) {
        let tx = client.begin().await?;
        outbox::append_in_tx(&tx, part).await?;
        tx.commit().await?;
    }
    let rows =
        database.connection().await?.query("SELECT subject FROM outbox ORDER BY position", &[]).await?;
    let subjects: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(subjects, all.iter().map(|notice| notice.subject.as_str()).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn an_anomaly_opens_once_even_after_it_was_resolved() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let anomaly = |key: &str| NewAnomaly {
        key: key.to_owned(),
        kind: "terminal_conflict",
        source: source("s"),
        subject: "m1".to_owned(),
        event_id: None,
        detail: json!({"first": "CLOSED"}),
    };
    let both = [anomaly("b"), anomaly("a"), anomaly("b")];
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let opened = anomalies::open_in_tx(&tx, &both).await?;
    assert_eq!(opened.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    tx.commit().await?;
    let sql = "UPDATE anomaly SET resolved_at = now(), resolution = 'kept'";
    database.connection().await?.execute(sql, &[]).await?;
    let tx = client.begin().await?;
    assert!(anomalies::open_in_tx(&tx, &both).await?.is_empty());
    Ok(())
}

/// An id of a provider, however long, opens its anomaly once; it must not meet the limit of an index.
#[tokio::test]
async fn an_anomaly_of_any_key_is_opened_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    // Not compressible, as an index would otherwise shorten it.
    let noise: String = (0_u32..4_000).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    let anomaly = |key: String| NewAnomaly {
        key,
        kind: "provider_failure",
        source: source("s"),
        subject: noise.clone(),
        event_id: None,
        detail: json!({}),
    };
    let both = [anomaly(format!("{noise}1")), anomaly(format!("{noise}2")), anomaly(format!("{noise}1"))];
    let mut client = store.client().await?;
    for expected in [2, 0] {
        let tx = client.begin().await?;
        assert_eq!(anomalies::open_in_tx(&tx, &both).await?.len(), expected);
        tx.commit().await?;
    }
    Ok(())
}

#[tokio::test]
async fn players_are_remembered_once_by_their_key() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let player = PlayerId::new("76561198000000001");
    let seen = [(source("a"), player.clone()), (source("b"), player.clone()), (source("a"), player.clone())];
    let mut client = store.client().await?;
    for _ in 0..2 {
        let tx = client.begin().await?;
        players::remember_in_tx(&tx, &seen).await?;
        tx.commit().await?;
    }
    let rows = database.connection().await?;
    let rows = rows.query("SELECT player_key, source, player_id FROM player ORDER BY source", &[]).await?;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<_, uuid::Uuid>(0), player.key(&source("a")));
    assert_eq!(rows[1].get::<_, &str>(2), "76561198000000001");
    Ok(())
}
