//! What broke other ledgers, against a real PostgreSQL and workers that really run beside each other. Those that need
//! no database are in `domain`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_bus::{Delivery, Disposition};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{
    Event, Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, Reward, RewardKind,
};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_operations::funds::{Direction, Movement, move_funds};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, audit};
use matchpurse_testkit::{Database, Dice};
use matchpurse_worker_kit::{Worker, WorkerOptions};

const SETTINGS: &str = r#"
    [database]
    url = "postgres://nobody@127.0.0.1/none"
    [sources.games]
    provider = "any"
    currency = "USD"
    custody = "CUSTODY"
    fee_bps = 0
"#;

/// A database, and workers for it.
struct Bench {
    database: Database,
    store: Store,
    settings: Settings,
}

impl Bench {
    async fn new(custody: &str) -> Result<Self> {
        let database = Database::create().await?;
        let store = database.store().await?;
        let settings = Settings::parse_str(&SETTINGS.replace("CUSTODY", custody)).unwrap();
        Ok(Self { database, store, settings })
    }

    fn worker(&self) -> Worker<MatchEscrow> {
        Worker::new(self.store.clone(), MatchEscrow::new(&self.settings), WorkerOptions::default())
    }

    /// One batch of one worker; everything is taken.
    async fn apply(&self, events: &[Event]) {
        let dispositions = self.worker().process_batch(&deliveries(events)).await;
        assert!(dispositions.iter().all(|d| *d == Disposition::Ack), "{dispositions:?}");
    }

    /// Several workers at once, each with everything, in its own order and its own batches.
    async fn apply_beside(&self, workers: u64, events: &[Event]) {
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 1..=workers {
            let (worker, mut dice) = (self.worker(), Dice::new(seed));
            let mut waiting = dice.shuffled(events.to_vec());
            tasks.spawn(async move {
                // What another worker held for too long is tried again, as the broker would.
                while !waiting.is_empty() {
                    let mut again = Vec::new();
                    for batch in waiting.chunks(7) {
                        let dispositions = worker.process_batch(&deliveries(batch)).await;
                        for (event, disposition) in batch.iter().zip(dispositions) {
                            match disposition {
                                Disposition::Ack => {}
                                Disposition::Retry(_) => again.push(event.clone()),
                                Disposition::Park(reason) => panic!("parked: {reason}"),
                            }
                        }
                    }
                    waiting = again;
                }
            });
        }
        tasks.join_all().await;
    }

    async fn deposit(&self, player: &str, minor_units: i64) -> Result<()> {
        let (_, source) = self.settings.sources.iter().next().unwrap();
        let movement = Movement {
            direction: Direction::Deposit,
            player: player.into(),
            amount: usd(minor_units),
            actor: "test".to_owned(),
            reason: "to play with".to_owned(),
            idempotency_key: format!("{player}:{minor_units}"),
        };
        move_funds(&self.store, source.policy(), &movement, Timestamp::from_seconds(1_790_000_000)).await?;
        Ok(())
    }

    /// The transfers as `KIND SUBJECT AMOUNT`; 1 hold, 2 payout, 3 refund, 4 fee, 8 deposit.
    async fn transfers(&self) -> Result<Vec<String>> {
        let sql = "SELECT t.kind || ' ' || coalesce(p.player_id, '-') || ' ' || t.amount
                     FROM transfer t LEFT JOIN player p ON p.player_key = t.subject";
        self.clean().await?;
        self.database.texts(sql).await
    }

    async fn balances(&self) -> Result<BTreeMap<String, i64>> {
        let sql = "SELECT player_id, balance FROM account JOIN player ON player_key = owner_key WHERE account.kind = 1";
        let rows = self.database.connection().await?.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn anomalies(&self) -> Result<Vec<String>> {
        self.database.texts("SELECT kind FROM anomaly").await
    }

    /// The standing checks find nothing, and nobody blocked each other.
    async fn clean(&self) -> Result<()> {
        let client = self.store.client().await?;
        for check in audit::CHECKS {
            assert_eq!(audit::run(&client, check).await?, []);
        }
        let connection = self.database.connection().await?;
        connection.execute("SELECT pg_stat_force_next_flush()", &[]).await?;
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(connection.query_one(sql, &[]).await?.get::<_, i64>(0), 0);
        Ok(())
    }
}

fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, Currency::new("USD", None).unwrap().code)
}

fn deliveries(events: &[Event]) -> Vec<Delivery> {
    let delivery = |event: &Event| {
        let message = Message::new(event.clone(), None);
        Delivery {
            id: Some(message.id),
            body: message.body,
            routing_key: message.routing_key,
            traceparent: None,
            redelivered: false,
            replay: None,
        }
    };
    events.iter().map(delivery).collect()
}

/// A match between players of the groups `g0`, `g1` and so on, with a stake of 1000.
fn said(match_id: &str, status: MatchStatus, players: &[&str], wins: &[&str]) -> Event {
    let group = |(n, player): (usize, &&str)| Group {
        group_id: format!("g{n}"),
        name: None,
        players: vec![Participant { player_id: (*player).into(), reward: None }],
    };
    matchpurse_testkit::event(
        "games",
        true,
        Payload::MatchSnapshot(MatchSnapshot {
            match_id: match_id.to_owned(),
            kind: MatchKind::Recreational,
            status,
            provider_status: status.as_str().to_owned(),
            format: None,
            game_id: None,
            created_by: None,
            buy_in: Some(usd(1000)),
            groups: players.iter().enumerate().map(group).collect(),
            winner_group_ids: wins.iter().map(|&group| group.to_owned()).collect(),
        }),
    )
}

/// blnk#152: a transaction could be refunded again and again, and each time the balances moved.
/// blnk#374: a second refund found the first one, took it for a payment and undid it, while the caller was told that
/// nothing happened.
#[tokio::test]
async fn blnk_152_and_374_stakes_go_back_once_and_stay_there() -> Result<()> {
    let bench = Bench::new("provider").await?;
    let both = ["a", "b"];
    let life = [
        said("m", MatchStatus::Confirmed, &both, &[]),
        said("m", MatchStatus::CanceledByOwner, &both, &[]),
        said("m", MatchStatus::CanceledTimeout, &both, &[]),
        said("m", MatchStatus::CanceledOther, &both[..1], &[]),
    ];
    bench.apply(&life[..2]).await;
    let once = bench.transfers().await?;
    assert_eq!(once, ["1 a 1000", "1 b 1000", "3 a 1000", "3 b 1000"]);
    // Not even when nobody remembers what was seen.
    bench.database.connection().await?.execute("DELETE FROM inbox", &[]).await?;
    bench.apply_beside(3, &life).await;
    assert_eq!(bench.transfers().await?, once);
    assert_eq!(bench.balances().await?.into_values().collect::<Vec<_>>(), [0, 0]);
    assert_eq!(bench.anomalies().await?, [""; 0]);
    Ok(())
}

/// blnk#171: several commits of one hold at once each read what was left of it before another had written, and all
/// were paid.
#[tokio::test]
async fn blnk_171_of_several_ends_at_once_one_is_paid() -> Result<()> {
    let bench = Bench::new("provider").await?;
    let three = ["a", "b", "c"];
    let matches: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    let confirmed: Vec<Event> =
        matches.iter().map(|id| said(id, MatchStatus::Confirmed, &three, &[])).collect();
    bench.apply(&confirmed).await;
    // Without a fee the ends have not even a key in common: each pays somebody else.
    let ends: Vec<Event> = matches
        .iter()
        .flat_map(|id| ["g0", "g1", "g2"].map(|group| said(id, MatchStatus::Closed, &three, &[group])))
        .collect();
    bench.apply_beside(4, &ends).await;
    let transfers = bench.transfers().await?;
    let payouts: Vec<&String> = transfers.iter().filter(|text| text.starts_with("2 ")).collect();
    assert_eq!(payouts.len(), matches.len(), "{payouts:?}");
    assert!(payouts.iter().all(|text| text.ends_with(" 3000")), "{payouts:?}");
    assert_eq!(bench.anomalies().await?, vec!["outcome_conflict"; 2 * matches.len()]);
    Ok(())
}

/// blnk#181: a balance was checked without what was already held from it, so six holds of 1000 were taken from 5000.
#[tokio::test]
async fn blnk_181_what_is_held_already_is_not_there_for_the_next_hold() -> Result<()> {
    let holds: Vec<Event> =
        (0..6).map(|n| said(&format!("m{n}"), MatchStatus::Confirmed, &["a", "b"], &[])).collect();
    for beside in [1, 4] {
        let bench = Bench::new("studio").await?;
        bench.deposit("a", 5_000).await?;
        bench.deposit("b", 9_000).await?;
        if beside == 1 {
            bench.apply(&holds).await;
        } else {
            bench.apply_beside(beside, &holds).await;
        }
        let transfers = bench.transfers().await?;
        assert_eq!(transfers.iter().filter(|text| text.starts_with("1 a ")).count(), 5, "{transfers:?}");
        let balances = bench.balances().await?;
        assert_eq!((balances["a"], balances["b"]), (0, 4_000));
        assert_eq!(bench.anomalies().await?, ["hold_failed"]);
    }
    Ok(())
}

/// blnk#182: a hold that had been rejected for lack of money could still be committed, which overdrew the balance.
#[tokio::test]
async fn blnk_182_a_hold_that_failed_is_never_paid_out() -> Result<()> {
    let bench = Bench::new("studio").await?;
    bench.deposit("a", 1_000).await?;
    bench.deposit("b", 999).await?;
    let both = ["a", "b"];
    bench.apply(&[said("m", MatchStatus::Confirmed, &both, &[])]).await;
    bench.apply(&[said("m", MatchStatus::Closed, &both, &["g1"])]).await;
    assert_eq!(bench.transfers().await?, ["8 - 1000", "8 - 999"]);
    assert_eq!(
        bench.balances().await?,
        [("a".to_owned(), 1_000), ("b".to_owned(), 999)].into_iter().collect()
    );
    let told = bench.database.texts("SELECT DISTINCT kind FROM outbox").await?;
    assert!(told.contains(&"match.hold_failed".to_owned()), "{told:?}");
    assert!(!told.contains(&"match.settled".to_owned()), "{told:?}");
    Ok(())
}

/// formancehq/ledger#364: numbers were counted in the program, so requests beside each other met in a unique index, and
/// the loser was answered with success and nothing in it. Here many workers make the same new matches at once.
#[tokio::test]
async fn formance_364_new_matches_made_by_several_workers_at_once_are_all_there() -> Result<()> {
    let bench = Bench::new("provider").await?;
    let holds: Vec<Event> = (0..40)
        .flat_map(|n| {
            let (id, both) = (format!("m{n}"), ["a", "b"]);
            [
                said(&id, MatchStatus::Open, &both, &[]),
                said(&id, MatchStatus::Confirmed, &both, &[]),
                said(&id, MatchStatus::Locked, &both, &[]),
            ]
        })
        .collect();
    bench.apply_beside(8, &holds).await;
    let matches = bench.database.texts("SELECT match_id || ' ' || status FROM match").await?;
    assert_eq!(matches.len(), 40);
    assert!(matches.iter().all(|text| text.ends_with(" LOCKED")), "{matches:?}");
    assert_eq!(bench.transfers().await?.len(), 80);
    assert_eq!(bench.balances().await?.into_values().collect::<Vec<_>>(), [-40_000, -40_000]);
    Ok(())
}

/// formancehq/stack#1633: the same idempotency key twice in one batch crashed the ledger. The same delivery twice, and
/// the same meaning in other bytes, stand in one batch here, in one transaction.
#[tokio::test]
async fn formance_stack_1633_two_equal_keys_in_one_batch_move_once() -> Result<()> {
    let bench = Bench::new("provider").await?;
    let held = said("m", MatchStatus::Confirmed, &["a", "b"], &[]);
    let in_other_bytes = said("m", MatchStatus::Locked, &["a", "b"], &[]);
    let won = said("m", MatchStatus::Closed, &["a", "b"], &["g0"]);
    let mut won_in_other_bytes = won.clone();
    let Payload::MatchSnapshot(snapshot) = &mut won_in_other_bytes.payload else {
        panic!("it is a snapshot")
    };
    snapshot.groups.reverse();
    let won_in_other_bytes = matchpurse_testkit::event("games", true, won_in_other_bytes.payload);
    assert_ne!(won.id, won_in_other_bytes.id);
    bench
        .apply(&[
            held.clone(),
            held.clone(),
            in_other_bytes,
            won.clone(),
            won.clone(),
            won_in_other_bytes,
            held,
            won,
        ])
        .await;
    assert_eq!(bench.transfers().await?, ["1 a 1000", "1 b 1000", "2 a 2000"]);
    assert_eq!(bench.anomalies().await?, [""; 0]);
    Ok(())
}

/// Nakama's `walletsUpdate` skips a user that it does not know and reports no error, so a prize is lost in silence.
#[tokio::test]
async fn nakama_a_player_whom_nobody_knows_is_paid_or_told_of() -> Result<()> {
    let bench = Bench::new("provider").await?;
    let mut won = said("m", MatchStatus::Closed, &["stranger", "other"], &["g0"]);
    let Payload::MatchSnapshot(snapshot) = &mut won.payload else { panic!("it is a snapshot") };
    let amount = Some(usd(5_000));
    snapshot.groups[0].players[0].reward =
        Some(Reward { kind: RewardKind::Cash, amount, value: None, reference: None, metadata: None });
    bench.apply(&[won]).await;
    bench.clean().await?;
    assert_eq!(bench.balances().await?["stranger"], 4_000);

    let bench = Bench::new("studio").await?;
    bench.deposit("a", 1_000).await?;
    bench.apply(&[said("m", MatchStatus::Confirmed, &["a", "stranger"], &[])]).await;
    bench.clean().await?;
    assert_eq!(bench.anomalies().await?, ["hold_failed"]);
    let told = bench.database.texts("SELECT kind FROM outbox").await?;
    assert!(told.contains(&"match.hold_failed".to_owned()), "{told:?}");
    assert_eq!(bench.balances().await?["a"], 1_000);
    Ok(())
}

/// What a match pays can be staked in the next one. Whether both stand in one batch decides nothing.
#[tokio::test]
async fn what_is_won_is_there_for_the_next_hold_of_the_same_batch() -> Result<()> {
    let events = [
        said("m1", MatchStatus::Closed, &["a", "b"], &["g0"]),
        said("m2", MatchStatus::Confirmed, &["a", "c"], &[]),
        said("m3", MatchStatus::Confirmed, &["a", "c"], &[]),
        said("m4", MatchStatus::Confirmed, &["a", "c"], &[]),
    ];
    let mut all = Vec::new();
    for batch in [1, events.len()] {
        let bench = Bench::new("studio").await?;
        for (player, has) in [("a", 1_000), ("b", 1_000), ("c", 9_000)] {
            bench.deposit(player, has).await?;
        }
        for events in events.chunks(batch) {
            bench.apply(events).await;
        }
        let transfers = bench.transfers().await?;
        assert_eq!(transfers.iter().filter(|text| text.starts_with("1 a ")).count(), 3, "{transfers:?}");
        assert_eq!(bench.anomalies().await?, ["hold_failed"]);
        all.push(transfers);
    }
    assert_eq!(all[0], all[1]);
    Ok(())
}
