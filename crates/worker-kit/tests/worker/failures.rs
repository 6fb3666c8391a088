use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::Disposition;
use matchpurse_store::{Store, StoreOptions};
use matchpurse_testkit::Database;
use matchpurse_worker_kit::{Worker, WorkerOptions};

use crate::samples::{LOCKED, Noticing, SLOW, applied, batch, slow_down, subjects, worker};

async fn counted(database: &Database) -> Result<i64> {
    Ok(database.connection().await?.query_one("SELECT count(*) FROM attempts", &[]).await?.get(0))
}

#[tokio::test]
async fn while_the_database_is_away_everything_is_retried_and_nothing_is_counted() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let deliveries = batch(10, &[]);
    database.cut_off().await?;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let outcome = worker.process_batch(&deliveries).await;
        let Disposition::Retry(pause) = outcome[0] else { panic!("{outcome:?}") };
        assert!(outcome.iter().all(|d| *d == Disposition::Retry(pause)));
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 5_000]);
    database.restore().await?;
    assert!(worker.process_batch(&deliveries).await.iter().all(|d| *d == Disposition::Ack));
    assert_eq!(applied(&database).await?, subjects(10, &[]));
    assert_eq!(counted(&database).await?, 0);
    Ok(())
}

/// The connection dies after the effects are written and before the commit.
#[tokio::test]
async fn a_transaction_that_is_cut_leaves_nothing_and_is_done_again() -> Result<()> {
    let database = Arc::new(Database::create().await?);
    let effects = Noticing { cut_off: Some(Arc::clone(&database)), ..Noticing::default() };
    let calls = Arc::clone(&effects.calls);
    let worker = worker(&database, effects).await?;
    let deliveries = batch(10, &[]);
    let outcome = worker.process_batch(&deliveries).await;
    assert!(outcome.iter().all(|d| matches!(d, Disposition::Retry(_))), "{outcome:?}");
    database.restore().await?;
    assert!(applied(&database).await?.is_empty());
    assert!(worker.process_batch(&deliveries).await.iter().all(|d| *d == Disposition::Ack));
    assert_eq!(applied(&database).await?, subjects(10, &[]));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    Ok(())
}

/// A batch waits in place for a database that comes back soon; it is not handed around meanwhile.
#[tokio::test]
async fn a_short_outage_is_waited_out() -> Result<()> {
    let database = Arc::new(Database::create().await?);
    let effects = Noticing { cut_off: Some(Arc::clone(&database)), ..Noticing::default() };
    let options = WorkerOptions { retry_min: Duration::from_millis(20), ..WorkerOptions::default() };
    let worker = Worker::new(database.store().await?, effects, options);
    let deliveries = batch(5, &[]);
    let (outcome, restored) = tokio::join!(worker.process_batch(&deliveries), async {
        // Cut off by the first transaction; this waits until that has happened.
        while database.connection().await.is_ok() {
            tokio::task::yield_now().await;
        }
        database.restore().await
    });
    restored?;
    assert!(outcome.iter().all(|d| *d == Disposition::Ack), "{outcome:?}");
    assert_eq!(applied(&database).await?, subjects(5, &[]));
    Ok(())
}

#[tokio::test]
async fn shutdown_ends_the_wait_for_the_database() -> Result<()> {
    let database = Database::create().await?;
    let hour = Duration::from_secs(3_600);
    let options = WorkerOptions { retry_min: hour, hold_max: 24 * hour, ..WorkerOptions::default() };
    let shutdown = options.shutdown.clone();
    let worker = Worker::new(database.store().await?, Noticing::default(), options);
    database.cut_off().await?;
    shutdown.cancel();
    let outcome = worker.process_batch(&batch(3, &[])).await;
    assert!(outcome.iter().all(|d| matches!(d, Disposition::Retry(_))), "{outcome:?}");
    Ok(())
}

/// A row that cannot be locked keeps back its own event only, and that is not counted against it.
#[tokio::test]
async fn an_event_whose_row_is_locked_does_not_hold_up_the_others() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let outcome = worker.process_batch(&batch(16, &[(5, LOCKED)])).await;
    assert!(matches!(outcome[5], Disposition::Retry(_)), "{outcome:?}");
    assert_eq!(applied(&database).await?, subjects(16, &[5]));
    assert_eq!(counted(&database).await?, 0);
    Ok(())
}

/// A store whose statements may take so long.
async fn impatient(database: &Database, statements: Duration, locks: Duration) -> Result<Store> {
    let options = StoreOptions {
        statement_timeout: statements,
        lock_timeout: locks,
        ..StoreOptions::for_worker(database.url().into(), "test")
    };
    Ok(Store::connect(&options).await?)
}

/// One event whose statement takes too long, in batches that have time for two such statements: its neighbours
/// are applied although it comes first each time, and it is counted and parked in the end.
#[tokio::test]
async fn an_event_that_takes_too_long_holds_up_nobody_and_is_parked_in_the_end() -> Result<()> {
    let database = Database::create().await?;
    slow_down(&database).await?;
    let store = impatient(&database, Duration::from_millis(600), Duration::from_millis(200)).await?;
    let options = WorkerOptions {
        attempts_max: 2,
        batch_time_max: Duration::from_millis(1_600),
        ..WorkerOptions::default()
    };
    let worker = Worker::new(store, Noticing::default(), options);
    let deliveries = batch(16, &[(0, SLOW)]);
    let outcome = worker.process_batch(&deliveries).await;
    assert!(outcome[8..].iter().all(|d| *d == Disposition::Ack), "the other half was tried: {outcome:?}");
    assert!(matches!(outcome[0], Disposition::Retry(_)), "{outcome:?}");
    assert_eq!(counted(&database).await?, 0, "nobody knows yet which event it is");
    let mut batches = 1;
    let reason = loop {
        batches += 1;
        assert!(batches < 10, "it is never parked");
        let outcome = worker.process_batch(&deliveries).await;
        if let Disposition::Park(reason) = &outcome[0] {
            break reason.clone();
        }
    };
    assert!(reason.starts_with("given up after 2 attempts: the database answered 57014: "), "{reason}");
    assert_eq!(applied(&database).await?, subjects(16, &[0]));
    Ok(())
}

/// The two first statements of a transaction travel together. When one cannot have its row, its error is
/// returned and not that of the other, which only follows from it.
#[tokio::test]
async fn a_row_of_the_inbox_that_is_locked_is_not_counted_against_the_event() -> Result<()> {
    let database = Database::create().await?;
    let store = impatient(&database, Duration::from_secs(8), Duration::from_millis(20)).await?;
    let options = WorkerOptions { attempts_max: 1, ..WorkerOptions::default() };
    let worker = Worker::new(store, Noticing::default(), options);
    let deliveries = batch(1, &[]);
    let mut other = database.connection().await?;
    let claim = other.transaction().await?;
    let id = deliveries[0].id.unwrap();
    claim.execute("INSERT INTO inbox (worker, event_id) VALUES ('player-stats', $1)", &[&id]).await?;
    for _ in 0..8 {
        let outcome = worker.process_batch(&deliveries).await;
        assert!(matches!(outcome.as_slice(), [Disposition::Retry(_)]), "{outcome:?}");
    }
    assert_eq!(counted(&database).await?, 0);
    claim.rollback().await?;
    assert_eq!(worker.process_batch(&deliveries).await, [Disposition::Ack]);
    Ok(())
}
