use std::time::Duration;

use anyhow::Result;
use matchpurse_store::{attempts, inbox};
use matchpurse_testkit::Database;

use crate::samples::event;

#[tokio::test]
async fn an_event_is_new_to_each_worker_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (a, b) = (event("s", 1).id, event("s", 2).id);
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    assert_eq!(inbox::claim_in_tx(&tx, "escrow", &[a, a]).await?, [a].into());
    tx.commit().await?;
    let tx = client.begin().await?;
    assert_eq!(inbox::claim_in_tx(&tx, "escrow", &[a, b]).await?, [b].into());
    assert_eq!(inbox::claim_in_tx(&tx, "stats", &[a]).await?, [a].into());
    tx.rollback().await?;
    let tx = client.begin().await?;
    assert_eq!(inbox::claim_in_tx(&tx, "escrow", &[a, b]).await?, [b].into(), "a rollback forgets");
    Ok(())
}

/// The second of two concurrent transactions waits, and then sees what the first has committed.
#[tokio::test]
async fn of_two_that_claim_the_same_event_one_gets_it() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let ids: Vec<_> = (0..50).map(|n| event("s", n).id).collect();
    let claim = |reversed: bool| {
        let (store, mut ids) = (store.clone(), ids.clone());
        async move {
            if reversed {
                ids.reverse();
            }
            let mut client = store.client().await?;
            let tx = client.begin().await?;
            let new = inbox::claim_in_tx(&tx, "escrow", &ids).await?;
            tx.commit().await?;
            anyhow::Ok(new.len())
        }
    };
    let (one, two) = tokio::try_join!(claim(false), claim(true))?;
    assert_eq!(one + two, 50);
    assert!(one == 0 || two == 0, "{one} and {two}: they took turns");
    Ok(())
}

#[tokio::test]
async fn old_rows_are_forgotten_in_small_batches() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let connection = database.connection().await?;
    let sql = "INSERT INTO inbox SELECT 'w', gen_random_uuid(), now() - make_interval(days => d)
                 FROM generate_series(1, 10) d";
    connection.execute(sql, &[]).await?;
    let week = Duration::from_secs(7 * 24 * 60 * 60 + 60);
    assert_eq!(store.prune_inbox(week, 2).await?, 2);
    assert_eq!(store.prune_inbox(week, 100).await?, 1);
    assert_eq!(store.prune_inbox(week, 100).await?, 0);
    Ok(())
}

#[tokio::test]
async fn attempts_are_counted_for_each_worker_until_they_are_cleared() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let id = event("s", 1).id;
    assert_eq!(store.record_failure("escrow", id, "first\0").await?, 1);
    assert_eq!(store.record_failure("escrow", id, "second").await?, 2);
    assert_eq!(store.record_failure("stats", id, "other").await?, 1);
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    attempts::clear_in_tx(&tx, "escrow", &[id]).await?;
    tx.commit().await?;
    assert_eq!(store.record_failure("escrow", id, "again").await?, 1);
    assert_eq!(store.record_failure("stats", id, "other").await?, 2);
    Ok(())
}
