//! How much is given before somebody looks.

use anyhow::Result;
use matchpurse_domain::event::Event;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_store::Store;
use matchpurse_testkit::{Database, Dice, Trial};

use crate::events::*;

/// Midnight, UTC.
const MIDNIGHT: i64 = 1_790_035_200;
const HOUR: i64 = 3600;

fn trial(rewards: &str) -> Trial<RewardFulfillment> {
    Trial { effects: worker(rewards), events: Vec::new(), tables: &[], versions: "" }
}

fn earned(n: usize, player: &str, minor_units: i64, seconds: i64) -> Event {
    at(postback(&format!("c{n}"), player, minor_units, "goal"), seconds)
}

/// How many grants are in which state, and why.
async fn states(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', count(*), state, reason, sum(amount)) FROM reward_grant GROUP BY state, reason";
    database.texts(sql).await
}

async fn whole(store: &Store) -> Result<()> {
    assert_eq!(findings(store).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn what_goes_beyond_a_limit_is_held_with_its_reason() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let trial = trial("player_day_count = 2\nsource_hour_amount = \"3.00\"");
    let day = MIDNIGHT;
    let events = [
        earned(1, "ann", 100, day),
        earned(2, "ann", 100, day + 1),
        earned(3, "ann", 1, day + 2),
        earned(4, "ann", 1, day + 24 * HOUR),
        earned(5, "bob", 100, day + 3),
        earned(6, "bob", 1, day + 4),
        earned(7, "bob", 1, day + HOUR),
        // The last second of the day before.
        earned(8, "ann", 300, day - 1),
        // Not counted: the provider gives it.
        at(
            snapshot(
                matchpurse_domain::event::MatchKind::Recreational,
                "g",
                matchpurse_domain::event::MatchStatus::Closed,
                &["ann"],
                &[("ann", cash(99_999))],
            ),
            day,
        ),
    ];
    trial.apply(&store, &events).await?;
    let sql = "SELECT concat_ws(' ', c.contest_id, g.state, g.reason, g.detail)
                 FROM reward_grant g JOIN contest c USING (contest_key)";
    insta::assert_snapshot!(database.texts(sql).await?.join("\n"), @r#"
    c1 granted
    c2 granted
    c3 needs_review limit_player_day 2 given, of at most 2
    c4 granted
    c5 granted
    c6 needs_review limit_source_hour 300 minor units given and 1 more, of at most 300
    c7 granted
    c8 granted
    g recorded
    "#);
    whole(&store).await?;
    // A repeat is counted no second time, and what was held is not given by it.
    let before = database.texts("SELECT reward_count::text FROM reward_count").await?;
    trial.apply(&store, &events).await?;
    assert_eq!(database.texts("SELECT reward_count::text FROM reward_count").await?, before);
    whole(&store).await
}

#[tokio::test]
async fn a_source_without_limits_counts_nothing() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    trial("").apply(&store, &[earned(1, "ann", 100, MIDNIGHT)]).await?;
    assert_eq!(database.texts("SELECT source FROM reward_count").await?, [""; 0]);
    assert_eq!(states(&database).await?, ["1 granted 100"]);
    Ok(())
}

#[tokio::test]
async fn workers_at_once_give_exactly_as_much_as_the_limits_allow() -> Result<()> {
    let limits = "player_day_count = 7\nplayer_day_amount = \"0.50\"\nsource_hour_count = 40";
    for seed in 0..4 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let mut dice = Dice::new(seed);
        let players = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
        // 160 of 10 cents each, on one day: five a player are 50 cents, and 40 in each of three hours.
        let events: Vec<Event> =
            (0..160).map(|n| earned(n, players[n % 8], 10, MIDNIGHT + HOUR * (n as i64 % 3))).collect();
        let events = dice.shuffled_with_repeats(&events);
        let part = events.len().div_ceil(4);
        let mut parts = events.chunks(part);
        let mut worker = |size: usize| {
            let (store, part) = (store.clone(), parts.next().unwrap_or_default());
            async move {
                for batch in part.chunks(size) {
                    trial(limits).apply(&store, batch).await?;
                }
                anyhow::Ok(())
            }
        };
        tokio::try_join!(worker(1), worker(5), worker(16), worker(3))?;
        let given = "SELECT player_id || ' ' || count(*) || ' ' || sum(amount)
                       FROM reward_grant JOIN player USING (player_key) WHERE state = 'granted' GROUP BY player_id";
        assert_eq!(
            database.texts(given).await?,
            players.map(|player| format!("{player} 5 50")),
            "seed {seed}"
        );
        assert_eq!(states(&database).await?, ["120 needs_review limit_player_day 1200", "40 granted 400"]);
        let told = "SELECT kind || ' ' || count(*) FROM outbox GROUP BY kind";
        assert_eq!(database.texts(told).await?, ["reward.granted 40", "reward.held 120"]);
        whole(&store).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_hours_limit_holds_between_workers_too() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let events: Vec<Event> = (0..90).map(|n| earned(n, &format!("p{n}"), 10, MIDNIGHT + n as i64)).collect();
    let worker = |part: usize| {
        let (store, events) = (store.clone(), &events);
        async move {
            for batch in events[part * 30..(part + 1) * 30].chunks(4) {
                trial("source_hour_amount = \"2.05\"").apply(&store, batch).await?;
            }
            anyhow::Ok(())
        }
    };
    tokio::try_join!(worker(0), worker(1), worker(2))?;
    assert_eq!(states(&database).await?, ["20 granted 200", "70 needs_review limit_source_hour 700"]);
    whole(&store).await
}

/// What the studio refuses is not counted, and what the promise brings along is counted when it is given.
#[tokio::test]
async fn only_what_is_given_is_counted() -> Result<()> {
    use matchpurse_domain::event::{MatchKind, MatchStatus, Outcome, Reward};
    let database = Database::create().await?;
    let store = database.store().await?;
    let trial = trial("player_day_count = 1\nschemas.studio = '{ \"type\": \"object\" }'");
    let bare = |reference: &str| studio(reference, "").map(|reward| Reward { metadata: None, ..reward });
    let won = |contest: &str, reward| outcome(contest, "ann", &[("ann", Outcome::Win, reward)]);
    let open = |contest: &str| {
        snapshot(MatchKind::FreeToPlay, contest, MatchStatus::Open, &[], &[("ann", promised("r", "{}"))])
    };
    trial.apply(&store, &[won("c1", bare("r")), won("c2", bare("r"))]).await?;
    let counts = "SELECT grants || ' ' || amount FROM reward_count";
    assert_eq!(database.texts(counts).await?, ["0 0"]);
    trial.apply(&store, &[open("c1")]).await?;
    assert_eq!(database.texts(counts).await?, ["1 0"]);
    trial.apply(&store, &[open("c2")]).await?;
    let held = ["c1 ann/r granted", "c2 ann/r needs_review limit_player_day"];
    assert_eq!(grants(&database).await?, held);
    assert_eq!(database.texts(counts).await?, ["1 0"]);
    whole(&store).await
}
