//! The job beside its worker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_bus::{BusOptions, EmbeddedTransport, Transport};
use matchpurse_service_kit::health::Health;
use matchpurse_worker_kit::{Context, spawn};
use tokio_util::sync::CancellationToken;

use crate::stage::{NOW, Stage, shot};

/// Returns when the condition holds.
async fn until<F: Future<Output = Result<bool>>>(mut condition: impl FnMut() -> F) -> Result<()> {
    let patient = async {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), patient).await.context("it did not happen")?
}

/// The pause between two looks is an hour: what wakes the job is the database, also after it was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_is_woken_and_goes_on_when_the_database_is_back() -> Result<()> {
    let boards = "[leaderboards.kills]\nmetric = \"kills\"\n";
    let stage = Stage::start(&format!("{boards}[workers]\nresults_poll_ms = 3600000\n")).await?;
    let transport = EmbeddedTransport::new(Arc::new(stage.store.spool(10)), &BusOptions::default());
    let context = Context {
        store: stage.database.store().await?,
        transport: Transport::Embedded(transport),
        settings: Arc::new(stage.settings.clone()),
        health: Health::new("test"),
        shutdown: CancellationToken::new(),
    };
    let shutdown = context.shutdown.clone();
    let worker = spawn(matchpurse_player_stats::plan(&stage.settings)?, context);
    let kills = |id: &str| shot(id, NOW, (13, 7), &[("ann", 5)], &[("bob", 3)]);
    stage.apply(&[kills("m1")]).await?;
    until(|| async { Ok(stage.listed("kills", "all").await? == ["ann 5 1", "bob 3 1"]) }).await?;
    stage.apply(&[kills("m2")]).await?;
    until(|| async { Ok(stage.listed("kills", "all").await? == ["ann 10 2", "bob 6 2"]) }).await?;
    // What comes while nobody listens is found when somebody does again.
    let listening = "SELECT pid::text FROM pg_stat_activity
                      WHERE datname = current_database() AND query LIKE 'LISTEN matchpurse_results%'";
    until(|| async { Ok(!stage.database.texts(listening).await?.is_empty()) }).await?;
    stage.database.cut_off().await?;
    stage.database.restore().await?;
    stage.apply(&[kills("m3")]).await?;
    until(|| async { Ok(stage.listed("kills", "all").await? == ["ann 15 3", "bob 9 3"]) }).await?;
    shutdown.cancel();
    worker.await??;
    Ok(())
}
