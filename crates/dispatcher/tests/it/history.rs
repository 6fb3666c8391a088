//! What ended long ago goes; what waits, or waits for somebody, stays.

use anyhow::Result;
use matchpurse_domain::grants::GrantState;
use matchpurse_store::dispatch::{Pruned, prune};
use matchpurse_testkit::{Reply, Studio};

use crate::rewards::{calls, findings, give, grant_state, provider, take_back, told_source, won};
use crate::stage::{Stage, endpoint, json, notice, notices};

const DAY_S: i64 = 86_400;

async fn count(stage: &Stage, table: &str) -> Result<String> {
    Ok(stage.texts(&format!("SELECT count(*)::text FROM {table}")).await?.remove(0))
}

#[tokio::test]
async fn what_has_arrived_is_forgotten_after_its_time() -> Result<()> {
    let stage = Stage::new().await?;
    let (good, bad) = (Studio::start().await?, Studio::start().await?);
    bad.behave(|request, _| match json(request)["data"]["n"].as_u64() {
        Some(0) => Reply::status(500),
        _ => Reply::ok(),
    });
    let settings = [
        "dispatcher.history_days = 7\n".to_owned(),
        endpoint("good", &good, ""),
        endpoint("bad", &bad, "events = [\"match.*\"]"),
    ]
    .concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    stage.tell(&notices(3)).await?;
    stage.live(&mut dispatcher, 6 * DAY_S).await?;
    // One notice was given up at one of its endpoints, and somebody wants to know.
    assert_eq!(stage.states().await?, "delivered 5, given_up 1");
    assert_eq!(
        (count(&stage, "outbox").await?, count(&stage, "delivery_attempt").await?),
        ("3".into(), "15".into())
    );
    // One second before, and at the time.
    stage.set(Stage::begin().plus_seconds(7 * DAY_S));
    dispatcher.turn().await?;
    assert_eq!(stage.states().await?, "delivered 5, given_up 1");
    stage.advance(60);
    dispatcher.turn().await?;
    assert_eq!(stage.states().await?, "given_up 1");
    assert_eq!(
        (count(&stage, "outbox").await?, count(&stage, "delivery_attempt").await?),
        ("1".into(), "10".into())
    );

    // An operator's retry ends it, and then it goes too; what the operator did stays.
    bad.behave(|_, _| Reply::ok());
    let id: i64 = stage.texts("SELECT delivery_id::text FROM delivery").await?[0].parse()?;
    let now = stage.now();
    stage
        .in_tx(async |tx| Ok(matchpurse_store::dispatch::retry_in_tx(tx, id, "ann", "mended", now).await?))
        .await?;
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "delivered 1");
    stage.advance(7 * DAY_S + 60);
    dispatcher.turn().await?;
    for table in ["outbox", "delivery", "delivery_attempt"] {
        assert_eq!(count(&stage, table).await?, "0", "{table}");
    }
    let kept = "SELECT kind || ' ' || delivery_id FROM dispatch_operation";
    assert_eq!(stage.texts(kept).await?, [format!("delivery_retried {id}")]);
    Ok(())
}

/// What nobody wanted, what waits, what is behind, and what was withdrawn.
#[tokio::test]
async fn only_what_has_ended_goes() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = [
        "dispatcher.history_days = 1\n".to_owned(),
        endpoint("game", &studio, "events = [\"reward.*\", \"match.*\"]\nordered = true"),
    ]
    .concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    stage.tell(&[notice("offer.removed", "o", 0)]).await?;
    let grant = give(&stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    take_back(&stage, grant).await?;
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "delivered 1, withdrawn 1");
    studio.behave(|_, _| Reply::status(410));
    stage.tell(&[notice("match.held", "m", 1), notice("match.settled", "m", 2)]).await?;
    dispatcher.settle().await?;
    assert_eq!(count(&stage, "outbox").await?, "5");
    stage.advance(2 * DAY_S);
    dispatcher.turn().await?;
    assert_eq!(stage.states().await?, "behind 1, waiting 1");
    assert_eq!(stage.texts("SELECT kind FROM outbox").await?, ["match.held", "match.settled"]);
    assert_eq!(grant_state(&stage, grant).await?, "reversed");
    assert_eq!(findings(&stage).await?, [""; 0]);
    Ok(())
}

/// A grant and what its provider was told stay, and an endpoint that is brought back is not told again.
#[tokio::test]
async fn a_reward_stays_given_when_its_deliveries_are_forgotten() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let api = provider(&stage).await?;
    let settings = [
        "dispatcher.history_days = 1\n".to_owned(),
        endpoint("game", &studio, ""),
        told_source("arena", &api),
    ]
    .concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let grant = give(&stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    dispatcher.settle().await?;
    stage.advance(2 * DAY_S);
    dispatcher.settle().await?;
    assert_eq!((count(&stage, "delivery").await?, count(&stage, "outbox").await?), ("0".into(), "0".into()));
    assert_eq!(
        (grant_state(&stage, grant).await?.as_str(), calls(&stage).await?),
        ("fulfilled", vec!["c/ann told".to_owned()])
    );
    // Taken back after that, the studio hears of it at once.
    take_back(&stage, grant).await?;
    dispatcher.settle().await?;
    assert_eq!((studio.requests().len(), api.requests().len()), (2, 1));
    Ok(())
}

/// In small batches, by one at a time.
#[tokio::test]
async fn history_goes_in_small_batches() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    stage.tell(&notices(25)).await?;
    dispatcher.settle().await?;
    let (mut client, mut other) = (stage.store.client().await?, stage.store.client().await?);
    let later = stage.now().plus_seconds(1);
    let some = |deliveries, notices| Pruned { deliveries, notices };
    assert_eq!(prune(&mut client, stage.now(), 10).await?, some(0, 0), "nothing is older than now");
    assert_eq!(prune(&mut client, later, 10).await?, some(10, 10));
    let (one, two) = tokio::try_join!(prune(&mut client, later, 10), prune(&mut other, later, 10))?;
    assert!(one.deliveries + two.deliveries >= 10, "{one:?} {two:?}");
    while prune(&mut client, later, 10).await?.deliveries > 0 {}
    assert_eq!((count(&stage, "delivery").await?, count(&stage, "outbox").await?), ("0".into(), "0".into()));
    Ok(())
}

/// Nobody can remove what has not ended, whatever the code believes.
#[tokio::test]
async fn the_tables_refuse_to_lose_what_waits() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::status(500));
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    stage.tell(&notices(1)).await?;
    let client = stage.database.connection().await?;
    let refused = async |sql: &str| {
        let error = client.batch_execute(sql).await.unwrap_err();
        error.code().map(|code| code.code().to_owned()).unwrap_or_default()
    };
    assert_eq!(refused("DELETE FROM outbox").await, "ES012");
    dispatcher.settle().await?;
    assert_eq!(refused("DELETE FROM delivery").await, "ES012");
    assert_eq!(refused("DELETE FROM outbox").await, "23503");
    stage.live(&mut dispatcher, 6 * DAY_S).await?;
    assert_eq!(stage.states().await?, "given_up 1");
    assert_eq!(refused("DELETE FROM delivery").await, "ES012");
    Ok(())
}
