//! Connections on which nobody answers any more and that nobody closes: a proxy or a firewall lost the other side.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_bus::Disposition;
use matchpurse_store::{Store, StoreOptions};
use matchpurse_testkit::{Database, FaultProxy};
use matchpurse_worker_kit::{Worker, WorkerOptions};

use crate::samples::{Noticing, applied, batch, subjects};

/// A database behind a proxy, and a store that reaches it so.
struct Stage {
    database: Database,
    proxy: Arc<FaultProxy>,
    store: Store,
}

impl Stage {
    /// The server gives a statement so long, and a transaction that does nothing half a second.
    async fn new(statement_timeout: Duration) -> Result<Self> {
        let database = Database::create().await?;
        let url = database.service_url();
        let (scheme, rest) = url.split_once("://").context("no URL")?;
        let (authority, path) = rest.split_once('/').context("no database")?;
        let (user, server) = authority.rsplit_once('@').context("no user")?;
        let proxy = Arc::new(FaultProxy::start(server).await?);
        let options = StoreOptions {
            statement_timeout,
            answer_grace: Duration::from_millis(100),
            idle_in_transaction_timeout: Duration::from_millis(500),
            ..StoreOptions::for_worker(format!("{scheme}://{user}@{}/{path}", proxy.address()).into(), "test")
        };
        let store = Store::connect(&options).await?;
        Ok(Self { database, proxy, store })
    }

    /// A worker that tries again soon.
    fn worker(&self, effects: Noticing) -> Worker<Noticing> {
        let options = WorkerOptions { retry_min: Duration::from_millis(20), ..WorkerOptions::default() };
        Worker::new(self.store.clone(), effects, options)
    }

    async fn attempts(&self) -> Result<i64> {
        let row = self.database.connection().await?.query_one("SELECT count(*) FROM attempts", &[]).await?;
        Ok(row.try_get(0)?)
    }
}

fn all_done(outcome: &[Disposition]) -> bool {
    outcome.iter().all(|disposition| *disposition == Disposition::Ack)
}

/// The effects are written, and what commits them never arrives: they are written once more, over a new connection, and
/// once only are they there.
#[tokio::test]
async fn a_transaction_that_falls_silent_is_done_again_in_the_same_batch() -> Result<()> {
    let stage = Stage::new(Duration::from_millis(600)).await?;
    let effects = Noticing { abandon: Some(Arc::clone(&stage.proxy)), ..Noticing::default() };
    let calls = Arc::clone(&effects.calls);
    let outcome = stage.worker(effects).process_batch(&batch(10, &[])).await;
    assert!(all_done(&outcome), "{outcome:?}");
    assert_eq!(applied(&stage.database).await?, subjects(10, &[]));
    assert_eq!(stage.attempts().await?, 0, "no event is to blame");
    assert!(calls.load(Ordering::Relaxed) >= 2);
    Ok(())
}

/// What was idle in the pool is silent too, and costs one limit in all, not one for each connection.
#[tokio::test]
async fn what_lies_in_the_pool_is_given_up_with_the_first_that_is_silent() -> Result<()> {
    let stage = Stage::new(Duration::from_millis(600)).await?;
    let idle = [stage.store.client().await?, stage.store.client().await?, stage.store.client().await?];
    drop(idle);
    let before = stage.proxy.accepted();
    stage.proxy.abandon();
    let error = stage.store.ping().await.unwrap_err();
    assert!(matches!(error, matchpurse_store::Error::Silent(_)), "{error:?}");
    stage.store.ping().await?;
    assert_eq!(stage.proxy.accepted(), before + 1, "the next one is new");
    Ok(())
}

/// The commit arrives and its answer does not. Nobody knows then, but the keys do: nothing is applied twice.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_applied_twice() -> Result<()> {
    let stage = Stage::new(Duration::from_secs(1)).await?;
    let mut owner = stage.database.connection().await?;
    // The commit waits for a lock of ours, and with it the test knows that it has begun.
    owner
        .batch_execute(
            "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION wait_at_commit()",
        )
        .await?;
    let gate = owner.transaction().await?;
    gate.execute("SELECT pg_advisory_xact_lock(7)", &[]).await?;
    let effects = Noticing::default();
    let calls = Arc::clone(&effects.calls);
    let worker = stage.worker(effects);
    let deliveries = batch(10, &[]);
    let (outcome, lost) = tokio::join!(worker.process_batch(&deliveries), async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while gate.query_one(waiting, &[]).await?.try_get::<_, i64>(0)? == 0 {
            tokio::task::yield_now().await;
        }
        stage.proxy.abandon();
        gate.commit().await
    });
    lost?;
    assert!(all_done(&outcome), "{outcome:?}");
    assert_eq!(applied(&stage.database).await?, subjects(10, &[]));
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the inbox knows the events");
    Ok(())
}

/// New connections are silent too, for a while: the batch waits in place and is applied when they are not any more.
#[tokio::test]
async fn a_silence_of_everything_is_waited_out() -> Result<()> {
    let stage = Stage::new(Duration::from_millis(600)).await?;
    let worker = stage.worker(Noticing::default());
    stage.proxy.pause();
    let deliveries = batch(5, &[]);
    let (outcome, ()) = tokio::join!(worker.process_batch(&deliveries), async {
        // The pool's connection is given up and a new one asked for, before anything is heard.
        while stage.proxy.accepted() < 2 {
            tokio::task::yield_now().await;
        }
        stage.proxy.restore();
    });
    assert!(all_done(&outcome), "{outcome:?}");
    assert_eq!(applied(&stage.database).await?, subjects(5, &[]));
    Ok(())
}
