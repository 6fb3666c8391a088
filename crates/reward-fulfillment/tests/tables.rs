//! What events leave in the tables, in whatever order, batch and number they come.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use anyhow::Result;
use bytes::Bytes;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_store::Store;
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;

fn event(payload: Payload) -> Event {
    let source = SourceName::parse("lounge").unwrap();
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

fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, CurrencyCode::parse("USD").unwrap())
}

fn studio(reference: &str, metadata: &str) -> Option<Reward> {
    let (reference, metadata) = (Some(reference.to_owned()), Some(metadata.to_owned()));
    Some(Reward { kind: RewardKind::Studio, amount: None, value: None, reference, metadata })
}

fn cash(minor_units: i64) -> Option<Reward> {
    let amount = Some(usd(minor_units));
    Some(Reward { kind: RewardKind::Cash, amount, value: None, reference: None, metadata: None })
}

fn outcome(contest_id: &str, to: &str, entries: &[(&str, Outcome, Option<Reward>)]) -> Event {
    let entry = |(player, outcome, reward): &(&str, Outcome, Option<Reward>)| PlayerOutcome {
        player_id: (*player).into(),
        outcome: *outcome,
        reward: reward.clone(),
    };
    let outcomes = entries.iter().map(entry).collect();
    let contest_id = contest_id.to_owned();
    event(Payload::ContestOutcome(ContestOutcome { contest_id, addressed_to: to.into(), outcomes }))
}

fn snapshot(
    kind: MatchKind,
    id: &str,
    status: MatchStatus,
    winners: &[&str],
    players: &[(&str, Option<Reward>)],
) -> Event {
    let group = |(player, reward): &(&str, Option<Reward>)| Group {
        group_id: format!("of {player}"),
        name: None,
        players: vec![Participant { player_id: (*player).into(), reward: reward.clone() }],
    };
    event(Payload::MatchSnapshot(MatchSnapshot {
        match_id: id.to_owned(),
        kind,
        status,
        provider_status: String::new(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: None,
        groups: players.iter().map(group).collect(),
        winner_group_ids: winners.iter().map(|player| format!("of {player}")).collect(),
    }))
}

fn postback(conversion: &str, player: &str, minor_units: i64, goal: &str) -> Event {
    event(Payload::RewardPostback(RewardPostback {
        conversion_id: conversion.to_owned(),
        request_id: None,
        player_id: player.into(),
        offer_id: Some("12345678900123456".to_owned()),
        goal_id: None,
        goal_name: Some(goal.to_owned()),
        kind: ConversionKind::Reward,
        amount: Some(usd(minor_units)),
        payout: None,
    }))
}

fn wish(intent: &str, minor_units: i64, answer: &str) -> Event {
    event(Payload::CreditConversion(CreditConversion {
        intent_id: intent.to_owned(),
        player_id: "ann".into(),
        amount: usd(minor_units),
        converted_amount: "120".to_owned(),
        metadata: None,
        answer: answer.to_owned(),
    }))
}

/// Events that do not contradict each other: two free contests, a game, a tournament, conversions, wishes.
fn harmony() -> Vec<Event> {
    use MatchKind::{FreeToPlay, Recreational, Tournament};
    use MatchStatus::{Closed, Confirmed, Locked, Open};
    use Outcome::{Loss, Win};
    let drink = r#"{"sku":"free-drink","qty":1}"#;
    let won = [("ann", Win, studio("intent-1", drink)), ("bob", Loss, None)];
    let longer = [won[0].clone(), won[1].clone(), ("cat", Win, studio("", drink))];
    vec![
        snapshot(FreeToPlay, "c1", Open, &[], &[("ann", studio("intent-1", drink))]),
        snapshot(
            FreeToPlay,
            "c1",
            Confirmed,
            &[],
            &[("ann", studio("intent-1", drink)), ("bob", studio("intent-2", drink))],
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
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    RewardFulfillment.apply_in_tx(&tx, events, Timestamp::from_seconds(1_790_000_000)).await?;
    Ok(tx.commit().await?)
}

/// All that the worker has written, one row a line, but for what tells which delivery came first.
async fn tables(database: &Database) -> Result<String> {
    let queries = [
        "SELECT kind, contest_id, ending, outcome_digest, entries FROM contest",
        "SELECT g.grant_id, c.kind, c.contest_id, p.player_id, g.reward_ref, g.kind, g.amount, g.currency,
                g.value, g.payload, g.state, g.reason
           FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)",
        "SELECT intent_id, amount, currency, converted_amount, answer FROM credit_conversion",
        "SELECT webhook_id, kind, subject, payload FROM outbox",
        "SELECT kind, subject FROM anomaly",
        "SELECT player_id FROM player",
    ];
    let connection = database.connection().await?;
    let mut all = String::new();
    for query in queries {
        let sql = format!("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM ({query}) t");
        let rows: Option<String> = connection.query_one(&sql, &[]).await?.get(0);
        all.push_str(&rows.unwrap_or_default());
        all.push_str("\n--\n");
    }
    Ok(all)
}

/// The grants by what they are, their state and why they are in review.
async fn grants(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', c.contest_id, p.player_id || '/' || g.reward_ref, g.state, g.reason)
                 FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)";
    let rows = database.connection().await?.query(sql, &[]).await?;
    let mut grants: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    grants.sort_unstable();
    Ok(grants)
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
    let versions = "SELECT string_agg(v, ' ' ORDER BY v) FROM (
        SELECT ctid || '/' || xmin v FROM reward_grant UNION ALL SELECT ctid || '/' || xmin FROM outbox
        UNION ALL SELECT grant_id || '' FROM reward_grant UNION ALL SELECT decided_at || '' FROM contest) t";
    let connection = database.connection().await?;
    let before: String = connection.query_one(versions, &[]).await?.get(0);
    apply(&store, &harmony()).await?;
    let after: String = connection.query_one(versions, &[]).await?.get(0);
    assert_eq!(before, after);
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
