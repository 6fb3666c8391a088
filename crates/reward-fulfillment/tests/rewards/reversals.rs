//! What an offerwall takes back, before or after it has given it.

use anyhow::Result;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_testkit::{Database, Trial};

use crate::events::*;

/// Conversions of which some are taken back. What the studio is told depends on which comes first, so the notices are
/// not among the tables.
fn trial() -> Trial<RewardFulfillment> {
    Trial {
        effects: RewardFulfillment::default(),
        events: vec![
            postback("kept", "ann", 150, "Reach level 20"),
            postback("back", "ann", 90, "Reach level 30"),
            reversal("back", "ann", Some(90)),
            reversal("back", "ann", None),
            postback("back-2", "bob", 40, "Reach level 5"),
            reversal("back-2", "bob", None),
            reversal("never-came", "bob", Some(70)),
        ],
        tables: &[
            "SELECT kind, contest_id, ending, outcome_digest, entries FROM contest",
            "SELECT grant_id, source, player_key, reward_ref, kind, amount, currency, value, payload, state, reason
               FROM reward_grant",
            "SELECT kind, subject FROM anomaly",
            "SELECT player_id FROM player",
        ],
        versions: "SELECT ctid || '/' || xmin FROM reward_grant UNION ALL SELECT ctid || '/' || xmin FROM outbox",
    }
}

#[tokio::test]
async fn a_conversion_taken_back_ends_alike_in_every_order() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    trial().apply(&store, &trial().events).await?;
    let expected = [
        "back ann/back reversed",
        "back-2 bob/back-2 reversed",
        "kept ann/kept granted",
        "never-came bob/never-came reversed",
    ];
    assert_eq!(grants(&database).await?, expected);
    assert_eq!(findings(&store).await?, [""; 0]);
    trial().every_order_and_batch_with_repeats_ends_in_the_same_tables().await
}

#[tokio::test]
async fn a_batch_with_reversals_that_comes_again_changes_no_row() -> Result<()> {
    trial().a_batch_that_comes_again_changes_no_row().await
}

#[tokio::test]
async fn workers_neither_deadlock_nor_differ_over_reversals() -> Result<()> {
    Box::pin(trial().workers_at_the_same_rows_neither_deadlock_nor_differ()).await
}

/// What the studio was told, by kind.
async fn told(database: &Database) -> Result<Vec<String>> {
    database.texts("SELECT kind || ' ' || (payload ->> 'state') FROM outbox").await
}

#[tokio::test]
async fn a_reversal_that_comes_first_leaves_nothing_to_give() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    trial().apply(&store, &[reversal("c", "ann", None)]).await?;
    trial().apply(&store, &[postback("c", "ann", 150, "goal")]).await?;
    assert_eq!(told(&database).await?, [""; 0], "the studio has never heard of it");
    let grant = "SELECT concat_ws(' ', state, amount, currency, payload ->> 'goal_name') FROM reward_grant";
    assert_eq!(
        database.texts(grant).await?,
        ["reversed 150 USD goal"],
        "what it would have been can be seen"
    );
    // And it stays so, whoever asks.
    let connection = database.connection().await?;
    for change in ["state = 'granted'", "state = 'delivering'", "amount = 151"] {
        assert!(
            connection.execute(&format!("UPDATE reward_grant SET {change}"), &[]).await.is_err(),
            "{change}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_reversal_takes_back_what_is_on_its_way_and_asks_about_what_was_given() -> Result<()> {
    for (state, after, notices, anomalies) in [
        ("granted", "reversed", 1, 0),
        ("delivering", "reversed", 1, 0),
        ("failed", "reversed", 1, 0),
        ("fulfilled", "fulfilled", 0, 1),
    ] {
        let database = Database::create().await?;
        let store = database.store().await?;
        let connection = database.connection().await?;
        trial().apply(&store, &[postback("c", "ann", 150, "goal")]).await?;
        connection.execute("UPDATE reward_grant SET state = $1", &[&state]).await?;
        for _ in 0..2 {
            trial().apply(&store, &[reversal("c", "ann", Some(150))]).await?;
            assert_eq!(grants(&database).await?, [format!("c ann/c {after}")]);
            let count = |what: &str| format!("SELECT count(*)::text FROM {what}");
            let reversed =
                count("outbox WHERE kind = 'reward.reversed' AND payload ->> 'state' = 'reversed'");
            assert_eq!(database.texts(&reversed).await?, [notices.to_string()], "{state}");
            let asked = count("anomaly WHERE kind = 'reversed_too_late' AND subject = 'c'");
            assert_eq!(database.texts(&asked).await?, [anomalies.to_string()], "{state}");
        }
    }
    Ok(())
}

/// The dispatcher may be telling the studio at the same moment: either it has, and a person is asked, or it has not.
#[tokio::test]
async fn a_reversal_waits_for_who_writes_what_became_of_the_delivery() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    trial().apply(&store, &[postback("c", "ann", 150, "goal")]).await?;
    let mut dispatcher = database.connection().await?;
    let tx = dispatcher.transaction().await?;
    tx.execute("UPDATE reward_grant SET state = 'fulfilled'", &[]).await?;
    let events = [reversal("c", "ann", None)];
    let (trial, observer) = (trial(), database.connection().await?);
    let reversing = trial.apply(&store, &events);
    let finishing = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                          AND wait_event_type = 'Lock'";
        while observer.query_one(waiting, &[]).await?.get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(tx.commit().await?)
    };
    tokio::try_join!(reversing, finishing)?;
    assert_eq!(grants(&database).await?, ["c ann/c fulfilled"]);
    assert_eq!(database.texts("SELECT kind FROM anomaly").await?, ["reversed_too_late"]);
    Ok(())
}

/// A dispatcher that begins to tell the studio of many grants, and workers that complete and take back the same ones,
/// lock them in the same order.
#[tokio::test]
async fn workers_and_dispatcher_at_the_same_grants_do_not_deadlock() -> Result<()> {
    use matchpurse_domain::event::{MatchKind, MatchStatus, Outcome, Reward};
    let contests: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let bare = || studio("r", "").map(|reward| Reward { metadata: None, ..reward });
    for _ in 0..3 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let mut given = Vec::new();
        let mut after = Vec::new();
        for contest in &contests {
            given.push(outcome(contest, "ann", &[("ann", Outcome::Win, bare())]));
            given.push(postback(contest, "ann", 150, "goal"));
            let open = [("ann", promised("r", "{}"))];
            after.push(snapshot(MatchKind::FreeToPlay, contest, MatchStatus::Open, &[], &open));
            after.push(reversal(contest, "ann", None));
        }
        trial().apply(&store, &given).await?;
        let mut dispatcher = database.connection().await?;
        let telling = async {
            for _ in 0..20 {
                let tx = dispatcher.transaction().await?;
                tx.query("SELECT FROM reward_grant ORDER BY grant_id FOR NO KEY UPDATE", &[]).await?;
                tx.execute("UPDATE reward_grant SET state = 'delivering' WHERE state = 'granted'", &[])
                    .await?;
                tx.commit().await?;
            }
            anyhow::Ok(())
        };
        let half = after.len() / 2;
        let (one, two) = after.split_at(half);
        let (first, second) = (trial(), trial());
        tokio::try_join!(telling, first.apply(&store, one), second.apply(&store, two))?;
        assert_eq!(grants(&database).await?.iter().filter(|grant| grant.ends_with("reversed")).count(), 12);
    }
    Ok(())
}
