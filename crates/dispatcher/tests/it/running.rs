//! The loop: woken by the database, and ended without losing an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use matchpurse_dispatcher::Turn;
use matchpurse_store::StoreOptions;
use matchpurse_store::dispatch;
use matchpurse_testkit::{Reply, Studio};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, endpoint, ids, notice, notices};

/// No polling: only the database's word can have woken it.
#[tokio::test]
async fn a_new_notice_wakes_the_dispatcher() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = format!("dispatcher.poll_ms = 3600000\n{}", endpoint("game", &studio, ""));
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let (woken, stop, turns) = (Arc::new(Notify::new()), CancellationToken::new(), Arc::new(Notify::new()));
    let options = StoreOptions::new(stage.database.service_url().into(), "test");
    let mut listener = dispatch::listen(&options).await?;
    let listening = tokio::spawn({
        let woken = Arc::clone(&woken);
        async move {
            while listener.told().await {
                woken.notify_one()
            }
        }
    });
    let running = tokio::spawn({
        let (stop, turns) = (stop.clone(), Arc::clone(&turns));
        async move { dispatcher.run(&woken, &stop, |_| turns.notify_one()).await }
    });
    // It has looked once and found nothing.
    turns.notified().await;
    for n in 1..4 {
        stage.tell(&[notice("match.held", "m", n)]).await?;
        studio.received(n).await?;
    }
    stop.cancel();
    running.await?;
    assert_eq!(stage.states().await?, "delivered 3");
    // The connection is ended from the other side; who listens learns it.
    let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                WHERE application_name = 'test' AND query LIKE 'LISTEN%' AND datname = current_database()";
    assert_eq!(stage.texts(end).await?, ["true"]);
    listening.await?;
    Ok(())
}

/// Asked to stop while the studio is working: the answer is waited for and written down, and nothing new is begun.
#[tokio::test]
async fn what_is_in_flight_ends_before_the_dispatcher_does() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::hang().working());
    let settings = format!("dispatcher.sends_per_endpoint_max = 2\n{}", endpoint("game", &studio, ""));
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let told = stage.tell(&notices(5)).await?;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { dispatcher.run(&Notify::new(), &stop, |_: matchpurse_store::Result<Turn>| {}).await }
    });
    studio.received(2).await?;
    stop.cancel();
    running.await?;
    assert_eq!(stage.outcomes().await?, ["unknown", "unknown"], "both are written down");
    assert_eq!(studio.requests().len(), 2);
    let held = "SELECT count(*)::text FROM delivery WHERE claimed_at IS NOT NULL";
    assert_eq!(stage.texts(held).await?, ["0"], "nobody has to wait for a lease");

    studio.behave(|_, _| Reply::ok());
    let mut next = stage.dispatcher(&settings).await?;
    stage.live(&mut next, 86_400).await?;
    assert_eq!(ids(studio.work()), told);
    Ok(())
}

/// While the database is away the loop goes on trying; answers that come meanwhile are written when it is back.
#[tokio::test]
async fn an_answer_is_written_down_when_the_database_is_back() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = format!("dispatcher.poll_ms = 5\n{}", endpoint("game", &studio, ""));
    let mut dispatcher = stage.dispatcher(&settings).await?;
    stage.tell(&notices(4)).await?;
    assert_eq!(dispatcher.turn().await?.begun, 4);
    stage.database.cut_off().await?;
    studio.received(4).await?;
    let failed = Arc::new(AtomicUsize::new(0));
    let (stop, saw_failure) = (CancellationToken::new(), Arc::new(Notify::new()));
    let running = tokio::spawn({
        let (stop, failed, saw_failure) = (stop.clone(), Arc::clone(&failed), Arc::clone(&saw_failure));
        let turned = move |turn: matchpurse_store::Result<Turn>| {
            if turn.is_err() {
                failed.fetch_add(1, Ordering::SeqCst);
                saw_failure.notify_one();
            }
        };
        async move { dispatcher.run(&Notify::new(), &stop, turned).await }
    });
    saw_failure.notified().await;
    saw_failure.notified().await;
    stage.database.restore().await?;
    stop.cancel();
    running.await?;
    assert!(failed.load(Ordering::SeqCst) >= 2);
    assert_eq!(stage.states().await?, "delivered 4");
    assert_eq!(studio.requests().len(), 4, "nothing was sent twice");
    Ok(())
}
