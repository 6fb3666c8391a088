//! Statements that travel with what comes next: all of them are kept, or none.

use anyhow::Result;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::outbox::{self, Notice};
use matchpurse_store::{inbox, players};
use matchpurse_testkit::Database;
use serde_json::{Value, json};

use crate::samples::{event, source};

fn notice(subject: &str, payload: Value) -> Notice {
    Notice {
        source: source("s"),
        kind: "match.settled",
        subject: subject.to_owned(),
        discriminator: String::new(),
        payload,
        occurred_at: Timestamp::from_seconds(1_700_000_000),
        cause: None,
    }
}

/// PostgreSQL makes a rollback of a commit behind something that failed, and says nothing of it.
#[tokio::test]
async fn a_commit_keeps_nothing_when_something_that_travelled_with_it_failed() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let player = (source("s"), PlayerId::new("p"));
    // The first time the connection has prepared nothing; the second time it has.
    for _ in 0..2 {
        let tx = client.begin().await?;
        inbox::claim_in_tx(&tx, "w", &[event("s", 1).id]).await?;
        players::remember_in_tx(&tx, std::slice::from_ref(&player)).await?;
        outbox::append_in_tx(&tx, &[notice("m", json!({ "name": "a\u{0}b" }))]).await?;
        players::remember_in_tx(&tx, std::slice::from_ref(&player)).await?;
        let error = tx.commit().await.unwrap_err();
        assert_eq!(error.code(), Some("22P05"), "{error}: the cause, and not what follows from it");
    }
    let kept = database.texts("SELECT player_id FROM player UNION ALL SELECT worker FROM inbox").await?;
    assert!(kept.is_empty(), "{kept:?}");
    // The connection is as good as before.
    let tx = client.begin().await?;
    players::remember_in_tx(&tx, &[player]).await?;
    tx.commit().await?;
    assert_eq!(database.texts("SELECT player_id FROM player").await?, ["p"]);
    Ok(())
}

#[tokio::test]
async fn what_is_asked_sees_what_was_left_for_later_and_a_drop_leaves_nothing() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let player = (source("s"), PlayerId::new("p"));
    let tx = client.begin().await?;
    players::remember_in_tx(&tx, std::slice::from_ref(&player)).await?;
    outbox::append_in_tx(&tx, &[notice("m", json!({ "name": "a\u{0}b" }))]).await?;
    let error = inbox::claim_in_tx(&tx, "w", &[event("s", 1).id]).await.unwrap_err();
    assert_eq!(error.code(), Some("22P05"), "an error of what was before it is an error of what was asked");
    drop(tx);
    let tx = client.begin().await?;
    players::remember_in_tx(&tx, &[player]).await?;
    tx.settle().await?;
    drop(tx);
    let tx = client.begin().await?;
    outbox::append_in_tx(&tx, &[notice("n", json!({}))]).await?;
    tx.commit().await?;
    let kept = database.texts("SELECT player_id FROM player UNION ALL SELECT subject FROM outbox").await?;
    assert_eq!(kept, ["n"]);
    Ok(())
}
