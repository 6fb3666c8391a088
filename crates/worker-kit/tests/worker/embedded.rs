use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_bus::{BusOptions, EmbeddedTransport, Transport};
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_testkit::Database;
use matchpurse_worker_kit::{Context, Plan, run, spawn};
use tokio_util::sync::CancellationToken;

use crate::samples::{Noticing, POISON, REJECTED, applied, batch, subjects};

async fn context(database: &Database, store: &Store) -> Result<Context> {
    let settings = Settings::parse_str(&format!("[database]\nurl = {:?}", database.url()))?;
    let options = BusOptions { spool_poll: Duration::from_millis(5), ..BusOptions::default() };
    let transport = EmbeddedTransport::new(Arc::new(store.spool(1_000)), &options);
    Ok(Context {
        store: store.clone(),
        transport: Transport::Embedded(transport),
        settings: Arc::new(settings),
        health: Health::new("test"),
        shutdown: CancellationToken::new(),
    })
}

/// Returns when the condition holds; the test's own time limit ends it otherwise.
async fn until<F: Future<Output = Result<bool>>>(mut condition: impl FnMut() -> F) -> Result<()> {
    let patient = async {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), patient).await.context("it did not happen")?
}

/// From the publisher through the spool to the effects: applied, parked or waiting, and never lost.
#[tokio::test]
async fn events_go_through_the_spool_to_their_effects() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let context = context(&database, &store).await?;
    let events = batch(20, &[(3, REJECTED), (4, POISON)]);
    let messages = events.iter().map(|d| anyhow::Ok(Message::new(decode(&d.body)?, None)));
    context.transport.publisher().publish(messages.collect::<Result<_>>()?).await?;

    let (shutdown, health) = (context.shutdown.clone(), context.health.clone());
    let worker = spawn(Plan::new(Noticing::default()), context);
    until(|| async { Ok(applied(&database).await?.len() == 18 && store.parked_open().await? == 1) }).await?;
    until(|| async { Ok(health.is_ready()) }).await?;
    shutdown.cancel();
    worker.await??;
    assert_eq!(applied(&database).await?, subjects(20, &[3, 4]));
    assert!(!health.is_ready());
    // Nobody but this worker wanted the events, so only the one to be tried again is left.
    let left = database.connection().await?.query("SELECT destination FROM spool_destination", &[]).await?;
    let own = left.iter().filter(|row| row.get::<_, &str>(0) == "matchpurse.player-stats").count();
    assert_eq!(own, 1);
    Ok(())
}

#[tokio::test]
async fn a_job_that_ends_by_itself_ends_the_worker_with_an_error() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let ended =
        run(Plan::new(Noticing::default()).job("sweeper", |_| async {}), context(&database, &store).await?);
    assert_eq!(ended.await.unwrap_err().to_string(), "sweeper ended by itself");
    let panicking = Plan::new(Noticing::default()).job("sweeper", |_| async { panic!("a defect") });
    assert!(run(panicking, context(&database, &store).await?).await.is_err());
    Ok(())
}

#[tokio::test]
async fn jobs_run_until_shutdown_and_end_with_it() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let context = context(&database, &store).await?;
    let shutdown = context.shutdown.clone();
    let (turns, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let plan = Plan::new(Noticing::default()).job("sweeper", |context| async move {
        let work = || async {
            turns.send(()).unwrap();
            Err(matchpurse_store::Error::rejected("it fails at each turn"))
        };
        context.every(Duration::from_millis(1), "sweeper", work).await;
    });
    let worker = spawn(plan, context);
    for _ in 0..3 {
        seen.recv().await.context("the job ended")?;
    }
    shutdown.cancel();
    worker.await??;
    while seen.recv().await.is_some() {}
    Ok(())
}
