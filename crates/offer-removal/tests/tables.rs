//! What events leave in the tables, in whatever order, batch and number they come.

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::time::Timestamp;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_store::Store;
use matchpurse_testkit::{Database, Trial};

fn event(payload: Payload) -> Event {
    matchpurse_testkit::event("wall", true, payload)
}

fn offer(id: &str, change: OfferChange, at: i64, data: &str) -> Event {
    event(Payload::OfferChanged(OfferChanged {
        offer_id: id.to_owned(),
        change,
        changed_at: Timestamp::from_seconds(at),
        app_id: Some("1".to_owned()),
        campaign_id: None,
        data: data.to_owned(),
    }))
}

fn player(id: &str, standing: Standing, at: i64) -> Event {
    let (changed_at, reason) = (Timestamp::from_seconds(at), Some(format!("reason of {at}")));
    event(Payload::PlayerStanding(PlayerStanding { player_id: id.into(), standing, changed_at, reason }))
}

fn harmony() -> Vec<Event> {
    use OfferChange::{Created, Removed, Updated};
    use Standing::{Banned, Good};
    let long = "123456789456123456";
    vec![
        offer("1", Created, 10, "{\"v\":1}"),
        offer("1", Updated, 20, "{\"v\":2,\"nul\":\"\\u0000\"}"),
        offer("1", Removed, 30, "{}"),
        offer(long, Removed, 10, "{}"),
        offer(long, Created, 20, "{\"back\":true}"),
        offer("3", Updated, 5, "{\"a\":1}"),
        offer("3", Updated, 5, "{\"b\":1}"),
        offer("4", Removed, 7, "{}"),
        offer("4", Created, 7, "{\"same\":\"time\"}"),
        player("ann", Banned, 1),
        player("ann", Good, 2),
        player("bob", Banned, 3),
        player("bob", Good, 3),
        player("cat", Good, 9),
    ]
}

async fn apply(store: &Store, events: &[Event]) -> Result<()> {
    trial().apply(store, events).await
}

/// The tables are all that the worker has written but for the notices, which tell of the way and not of its
/// end, and for what tells which delivery came first.
fn trial() -> Trial<OfferRemoval> {
    Trial {
        effects: OfferRemoval,
        events: harmony(),
        tables: &[
            "SELECT offer_id, state, state_at, data, data_at, app_id, campaign_id FROM offer",
            "SELECT player_id, standing, changed_at, reason FROM player_standing JOIN player USING (player_key)",
        ],
        versions: "SELECT offer_id || '/' || ctid || '/' || updated_at FROM offer
                   UNION ALL SELECT player_key || '/' || ctid || '/' || updated_at FROM player_standing
                   UNION ALL SELECT webhook_id || '/' || xmin FROM outbox",
    }
}

#[tokio::test]
async fn events_lead_to_these_offers_and_standings() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    for event in harmony() {
        apply(&store, &[event]).await?;
    }
    let offers = "SELECT concat_ws(' ', offer_id, state, extract(epoch FROM state_at)::int, data,
                                   extract(epoch FROM data_at)::int) FROM offer";
    assert_eq!(
        database.texts(offers).await?,
        [
            "1 removed 30 {\"v\":2,\"nul\":\"\\u0000\"} 20",
            "123456789456123456 active 20 {\"back\":true} 20",
            "3 active {\"b\":1} 5",
            "4 removed 7 {\"same\":\"time\"} 7",
        ]
    );
    let standings = "SELECT concat_ws(' ', player_id, standing, reason)
                       FROM player_standing JOIN player USING (player_key)";
    assert_eq!(
        database.texts(standings).await?,
        ["ann good reason of 2", "bob banned reason of 3", "cat good reason of 9"]
    );
    let told = "SELECT kind || ' ' || subject FROM outbox";
    assert_eq!(
        database.texts(told).await?,
        [
            "offer.created 1",
            "offer.removed 1",
            "offer.removed 123456789456123456",
            "offer.removed 4",
            "offer.restored 123456789456123456",
            "player.banned ann",
            "player.banned bob",
            "player.unbanned ann",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn every_order_and_batch_with_repeats_ends_in_the_same_tables() -> Result<()> {
    trial().every_order_and_batch_with_repeats_ends_in_the_same_tables().await
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_no_row() -> Result<()> {
    trial().a_batch_that_comes_again_changes_no_row().await
}

#[tokio::test]
async fn workers_at_the_same_rows_neither_deadlock_nor_differ() -> Result<()> {
    Box::pin(trial().workers_at_the_same_rows_neither_deadlock_nor_differ()).await
}

#[tokio::test]
async fn changes_are_forgotten_after_their_time_some_at_once() -> Result<()> {
    use std::time::Duration;

    use matchpurse_offer_removal::forget;
    use matchpurse_store::now;

    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    let count = "SELECT count(*)::text FROM offer_change";
    let before = database.texts(count).await?;
    let hour = Duration::from_secs(3600);
    assert!(!forget(&store, now(), hour, 5).await?, "nothing is old enough");
    assert_eq!(database.texts(count).await?, before);
    let later = Timestamp::from_micros(now().micros() + 3_700_000_000);
    // What a transaction before them may still hold up, anywhere on the server, stays for another turn.
    let kept = async || anyhow::Ok(database.texts(count).await? != ["0"]);
    while kept().await? {
        forget(&store, later, hour, 5).await?;
    }
    let offers = "SELECT count(*)::text FROM offer";
    assert_eq!(database.texts(offers).await?, ["4"], "the offers themselves stay");
    Ok(())
}
