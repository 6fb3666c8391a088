//! What events leave in the tables, in whatever order, batch and number they come.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::Result;
use bytes::Bytes;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_store::Store;
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;

fn event(payload: Payload) -> Event {
    let source = SourceName::parse("wall").unwrap();
    let id = EventId::of_delivery(&source, "POST", format!("{payload:?}").as_bytes(), 0);
    Event {
        id,
        delivery_id: id,
        source,
        provider: "p".to_owned(),
        provider_type: String::new(),
        subject: String::new(),
        occurred_at: None,
        received_at: Timestamp::from_seconds(1_790_000_000),
        provenance: Provenance { body_authenticated: true, amount_rounded: false },
        raw: Bytes::new(),
        payload,
    }
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
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    OfferRemoval.apply_in_tx(&tx, events, Timestamp::from_seconds(1_790_000_000)).await?;
    Ok(tx.commit().await?)
}

async fn texts(database: &Database, sql: &str) -> Result<Vec<String>> {
    let rows = database.connection().await?.query(sql, &[]).await?;
    let mut texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    texts.sort_unstable();
    Ok(texts)
}

/// All that the worker has written but for the notices, which tell of the way and not of its end, and for
/// what tells which delivery came first.
async fn tables(database: &Database) -> Result<Vec<String>> {
    let offers = "SELECT (offer_id, state, state_at, data, data_at, app_id, campaign_id)::text FROM offer";
    let standings = "SELECT (player_id, standing, changed_at, reason)::text
                       FROM player_standing JOIN player USING (player_key)";
    Ok([texts(database, offers).await?, texts(database, standings).await?].concat())
}

/// A small generator, so that a failing order can be played again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    /// The events in another order, some of them repeatedly.
    fn shuffled(&mut self, events: &[Event]) -> Vec<Event> {
        let mut all = events.to_vec();
        for _ in 0..events.len() / 2 {
            all.push(events[self.below(events.len())].clone());
        }
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n + 1));
        }
        all
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
        texts(&database, offers).await?,
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
        texts(&database, standings).await?,
        ["ann good reason of 2", "bob banned reason of 3", "cat good reason of 9"]
    );
    let told = "SELECT kind || ' ' || subject FROM outbox";
    assert_eq!(
        texts(&database, told).await?,
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
    let database = Database::create().await?;
    apply(&database.store().await?, &harmony()).await?;
    let expected = tables(&database).await?;
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let database = Database::create().await?;
        let store = database.store().await?;
        let size = 1 + dice.below(8);
        for batch in dice.shuffled(&harmony()).chunks(size) {
            apply(&store, batch).await?;
        }
        assert_eq!(tables(&database).await?, expected, "seed {seed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_no_row() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    let versions = "SELECT offer_id || '/' || ctid || '/' || updated_at FROM offer
                    UNION ALL SELECT player_key || '/' || ctid || '/' || updated_at FROM player_standing
                    UNION ALL SELECT webhook_id || '/' || xmin FROM outbox";
    let before = texts(&database, versions).await?;
    apply(&store, &harmony()).await?;
    assert_eq!(texts(&database, versions).await?, before);
    Ok(())
}

#[tokio::test]
async fn workers_at_the_same_rows_neither_deadlock_nor_differ() -> Result<()> {
    let database = Database::create().await?;
    apply(&database.store().await?, &harmony()).await?;
    let expected = tables(&database).await?;
    for seed in 100..104 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let worker = |seed| {
            let store = store.clone();
            async move {
                let mut dice = Dice(seed);
                for batch in dice.shuffled(&harmony()).chunks(5) {
                    apply(&store, batch).await?;
                }
                anyhow::Ok(())
            }
        };
        tokio::try_join!(worker(seed), worker(seed + 1000), worker(seed + 2000), worker(seed + 3000))?;
        assert_eq!(tables(&database).await?, expected, "seed {seed}");
    }
    Ok(())
}
