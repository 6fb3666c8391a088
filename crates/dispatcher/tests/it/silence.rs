//! A connection to the database on which nobody answers any more, and that nobody closes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_store::{Store, StoreOptions, dispatch};
use matchpurse_testkit::{FaultProxy, Reply, Studio};

use crate::stage::{Stage, endpoint, ids, notice};

/// How to reach the database by a proxy, and that an answer may take half a second.
async fn behind_proxy(stage: &Stage) -> Result<(Arc<FaultProxy>, StoreOptions)> {
    let url = stage.database.service_url();
    let (scheme, rest) = url.split_once("://").context("no URL")?;
    let (authority, path) = rest.split_once('/').context("no database")?;
    let (user, server) = authority.rsplit_once('@').context("no user")?;
    let proxy = Arc::new(FaultProxy::start(server).await?);
    let url = format!("{scheme}://{user}@{}/{path}", proxy.address());
    let options = StoreOptions {
        statement_timeout: Duration::from_millis(400),
        answer_grace: Duration::from_millis(100),
        ..StoreOptions::new(url.into(), "test")
    };
    Ok((proxy, options))
}

/// The studio has answered, and where it is to be written down is silent: it is written over a new connection, and the
/// studio is not asked again.
#[tokio::test]
async fn an_answer_is_written_down_over_a_new_connection() -> Result<()> {
    let (mut stage, studio) = (Stage::new().await?, Studio::start().await?);
    let (proxy, options) = behind_proxy(&stage).await?;
    stage.store = Store::connect(&options).await?;
    studio.behave(move |_, _| {
        proxy.abandon();
        Reply::ok().working()
    });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let told = stage.tell(&[notice("match.held", "m", 1)]).await?;
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "delivered 1");
    assert_eq!(ids(studio.work()), told);
    assert_eq!(studio.requests().len(), 1);
    Ok(())
}

/// Who listens on a silent connection hears of nothing; he is told that it has ended, and listens anew.
#[tokio::test]
async fn who_listens_learns_that_nothing_can_come_any_more() -> Result<()> {
    let stage = Stage::new().await?;
    let (proxy, options) = behind_proxy(&stage).await?;
    let mut listener = dispatch::listen(&options).await?;
    stage.tell(&[notice("match.held", "m", 1)]).await?;
    assert!(listener.told().await);
    proxy.abandon();
    assert!(!listener.told().await);
    let mut listener = dispatch::listen(&options).await?;
    stage.tell(&[notice("match.held", "m", 2)]).await?;
    assert!(listener.told().await);
    Ok(())
}
