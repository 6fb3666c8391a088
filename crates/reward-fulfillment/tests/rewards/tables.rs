//! What events leave in the tables, in whatever order, batch and number they come.

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_store::Store;
use matchpurse_testkit::{Database, Trial};

use crate::events::*;

/// Events that do not contradict each other: two free contests, a game, a tournament, conversions, wishes.
fn harmony() -> Vec<Event> {
    use MatchKind::{FreeToPlay, Recreational, Tournament};
    use MatchStatus::{Closed, Confirmed, Locked, Open};
    use Outcome::{Loss, Win};
    let drink = r#"{"sku":"free-drink","qty":1}"#;
    let won = [("ann", Win, studio("intent-1", drink)), ("bob", Loss, None)];
    let longer = [won[0].clone(), won[1].clone(), ("cat", Win, studio("", drink))];
    vec![
        snapshot(FreeToPlay, "c1", Open, &[], &[("ann", promised("intent-1", drink))]),
        snapshot(
            FreeToPlay,
            "c1",
            Confirmed,
            &[],
            &[("ann", promised("intent-1", drink)), ("bob", promised("intent-2", drink))],
        ),
        outcome("c1", "ann", &won),
        outcome("c1", "bob", &won),
        outcome("c1", "cat", &longer),
        outcome("c2", "ann", &[("ann", Outcome::Tie, studio("i", r#"{"a":"\u0000"}"#)), ("bob", Loss, None)]),
        snapshot(Recreational, "g1", Open, &[], &[("ann", cash(1800))]),
        snapshot(Recreational, "g1", Locked, &[], &[("ann", None), ("bob", None)]),
        snapshot(Recreational, "g1", Closed, &["ann"], &[("ann", cash(1800)), ("bob", None)]),
        snapshot(Tournament, "t1", Closed, &[], &[("ann", cash(500)), ("bob", studio("gold", drink))]),
        postback("conv-1", "ann", 150, "Reach level 20"),
        postback("conv-2", "bob", 90, "Reach \"30\""),
        wish("w1", 10_000, "FAILED"),
        wish("w2", 10_000, "COMPLETED"),
    ]
}

async fn apply(store: &Store, events: &[Event]) -> Result<()> {
    trial().apply(store, events).await
}

/// The tables are all that the worker has written, but for what tells which delivery came first.
fn trial() -> Trial<RewardFulfillment> {
    Trial {
        effects: RewardFulfillment::default(),
        events: harmony(),
        tables: &[
        "SELECT kind, contest_id, ending, outcome_digest, entries FROM contest",
        "SELECT g.grant_id, c.kind, c.contest_id, p.player_id, g.reward_ref, g.kind, g.amount, g.currency,
                g.value, g.payload, g.state, g.reason
           FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)",
        "SELECT intent_id, amount, currency, converted_amount, answer FROM credit_conversion",
        // A notice goes out before the promise names the value.
        "SELECT webhook_id, kind, subject, payload - 'value' FROM outbox",
        "SELECT kind, subject FROM anomaly",
        "SELECT player_id FROM player",
        ],
        versions: "SELECT ctid || '/' || xmin FROM reward_grant UNION ALL SELECT ctid || '/' || xmin FROM outbox
                   UNION ALL SELECT grant_id || '' FROM reward_grant UNION ALL SELECT decided_at || '' FROM contest
                   WHERE decided_at IS NOT NULL",
    }
}

#[tokio::test]
async fn events_lead_to_these_grants() -> Result<()> {
    let database = Database::create().await?;
    apply(&database.store().await?, &harmony()).await?;
    let expected = [
        "c1 ann/intent-1 granted",
        "c1 bob/intent-2 released",
        "c1 cat/ needs_review no_reference",
        "c2 ann/i needs_review payload_not_storable",
        "conv-1 ann/conv-1 granted",
        "conv-2 bob/conv-2 granted",
        "g1 ann/match recorded",
        "t1 ann/match recorded",
        "t1 bob/gold granted",
        "w2 ann/w2 granted",
    ];
    assert_eq!(grants(&database).await?, expected);
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
async fn a_contradiction_moves_nothing_and_is_opened_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    let before = grants(&database).await?;
    let other = [("ann", Outcome::Loss, None), ("bob", Outcome::Win, studio("intent-2", "{}"))];
    let contradictions = [
        outcome("c1", "ann", &other),
        outcome("c1", "bob", &other),
        snapshot(MatchKind::Recreational, "g1", MatchStatus::CanceledByOwner, &[], &[("ann", None)]),
        snapshot(MatchKind::Recreational, "g1", MatchStatus::CanceledOther, &[], &[("ann", None)]),
        postback("conv-1", "bob", 150, "Reach level 20"),
        postback("conv-1", "ann", 151, "Reach level 20"),
        wish("w1", 20_000, "FAILED"),
    ];
    for _ in 0..2 {
        apply(&store, &contradictions).await?;
    }
    assert_eq!(grants(&database).await?, before);
    let sql = "SELECT a.kind || ' ' || a.subject FROM anomaly a ORDER BY 1";
    let rows = database.connection().await?.query(sql, &[]).await?;
    let opened: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected = [
        "conversion_conflict w1",
        "outcome_conflict c1",
        "postback_conflict conv-1",
        "postback_conflict conv-1",
        "terminal_conflict g1",
    ];
    assert_eq!(opened, expected);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'anomaly.opened'";
    let told: i64 = database.connection().await?.query_one(told, &[]).await?.get(0);
    assert_eq!(told, 5);
    Ok(())
}

#[tokio::test]
async fn a_grant_on_its_way_is_left_alone() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    let connection = database.connection().await?;
    let fulfil = "UPDATE reward_grant SET state = 'fulfilled' WHERE state = 'granted'";
    assert_eq!(connection.execute(fulfil, &[]).await?, 5);
    apply(&store, &harmony()).await?;
    let count = "SELECT count(*) FROM reward_grant WHERE state = 'fulfilled'";
    assert_eq!(connection.query_one(count, &[]).await?.get::<_, i64>(0), 5);
    // Nobody makes a promise of it again, or another reward.
    for change in ["state = 'released'", "reward_ref = 'another'", "amount = 1, currency = 'USD'"] {
        let sql = format!("UPDATE reward_grant SET {change} WHERE state = 'fulfilled'");
        assert!(connection.execute(&sql, &[]).await.is_err(), "{change}");
    }
    Ok(())
}

/// The value that only the promise names is filled in, once, wherever the grant is by then.
#[tokio::test]
async fn a_promise_that_comes_after_the_outcome_fills_in_the_value() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let connection = database.connection().await?;
    let bare = Some(Reward { metadata: None, ..studio("i", "").unwrap() });
    apply(&store, &[outcome("c", "ann", &[("ann", Outcome::Win, bare)])]).await?;
    connection.execute("UPDATE reward_grant SET state = 'fulfilled'", &[]).await?;
    let open = |reward| snapshot(MatchKind::FreeToPlay, "c", MatchStatus::Open, &[], &[("ann", reward)]);
    let other = Some(Reward { value: Some("another".to_owned()), ..studio("i", "[]").unwrap() });
    for reward in [promised("i", r#"{"sku":1}"#), other] {
        apply(&store, &[open(reward)]).await?;
        let sql = "SELECT concat_ws(' ', state, value, payload) FROM reward_grant";
        assert_eq!(database.texts(sql).await?, [r#"fulfilled id of i {"sku": 1}"#]);
    }
    for change in ["'another'", "NULL"] {
        let sql = format!("UPDATE reward_grant SET value = {change}");
        assert!(connection.execute(&sql, &[]).await.is_err(), "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_finds_a_grant_that_nothing_decided() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let running =
        snapshot(MatchKind::FreeToPlay, "c9", MatchStatus::Open, &[], &[("ann", promised("i", "{}"))]);
    apply(&store, &[harmony(), vec![running]].concat()).await?;
    assert_eq!(findings(&store).await?, Vec::<String>::new());
    let connection = database.connection().await?;
    let given = "UPDATE reward_grant SET state = 'granted' WHERE state = 'reserved'";
    assert_eq!(connection.execute(given, &[]).await?, 1);
    let found = findings(&store).await?;
    assert!(
        matches!(found.as_slice(), [what] if what.ends_with(": granted, contest undecided")),
        "{found:?}"
    );
    let lost = "DELETE FROM contest WHERE contest_id IN ('c9', 'conv-1')";
    assert_eq!(connection.execute(lost, &[]).await?, 2);
    assert_eq!(findings(&store).await?.len(), 2);
    Ok(())
}
