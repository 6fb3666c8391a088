//! The match escrow against a real PostgreSQL: every order, every repeat, several workers at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use matchpurse_bus::{Delivery, Disposition};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{
    ContestOutcome, Event, Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Outcome, Participant,
    Payload, PlayerOutcome, ProviderFailure, Reward, RewardKind,
};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, audit, survey};
use matchpurse_testkit::{Database, Dice};
use matchpurse_worker_kit::{Worker, WorkerOptions};

const SETTINGS: &str = r#"
    [database]
    url = "postgres://nobody@127.0.0.1/none"
    [sources.games]
    provider = "any"
    currency = "USD"
    custody = "provider"
    fee_bps = 1000
"#;

fn source() -> SourceName {
    SourceName::parse("games").unwrap()
}

fn worker(store: &Store) -> Worker<MatchEscrow> {
    let settings = Settings::parse_str(SETTINGS).unwrap();
    Worker::new(store.clone(), MatchEscrow::new(&settings), WorkerOptions::default())
}

fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, Currency::new("USD", None).unwrap().code)
}

fn event(payload: Payload) -> Event {
    matchpurse_testkit::event("games", true, payload)
}

fn snapshot(
    match_id: &str,
    status: MatchStatus,
    players: &[(&str, &str, Option<i64>)],
    wins: &[&str],
) -> Event {
    let mut groups: BTreeMap<&str, Vec<Participant>> = BTreeMap::new();
    for (group, player, cash) in players {
        let reward = cash.map(|amount| Reward {
            kind: RewardKind::Cash,
            amount: Some(usd(amount)),
            value: None,
            reference: None,
            metadata: None,
        });
        groups.entry(group).or_default().push(Participant { player_id: (*player).into(), reward });
    }
    event(Payload::MatchSnapshot(MatchSnapshot {
        match_id: match_id.to_owned(),
        kind: MatchKind::Recreational,
        status,
        provider_status: status.as_str().to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: Some("DARTS".to_owned()),
        created_by: None,
        buy_in: Some(usd(1000)),
        groups: groups
            .into_iter()
            .map(|(group_id, players)| Group { group_id: group_id.to_owned(), name: None, players })
            .collect(),
        winner_group_ids: wins.iter().map(|&group| group.to_owned()).collect(),
    }))
}

/// The life of the `n`-th match: paid, tied or called off, between two of a few players.
fn life(n: usize) -> Vec<Event> {
    let id = format!("match-{n}");
    let (a, b) = (format!("player-{}", n % 7), format!("player-{}", 7 + n % 5));
    let both = [("g1", a.as_str(), None), ("g2", b.as_str(), None)];
    let end = match n % 4 {
        0 => snapshot(&id, MatchStatus::Closed, &[("g1", &a, Some(1800)), ("g2", &b, None)], &["g1"]),
        1 => snapshot(&id, MatchStatus::Closed, &both, &["g2"]),
        2 => snapshot(&id, MatchStatus::ClosedTie, &both, &[]),
        _ => snapshot(&id, MatchStatus::CanceledTimeout, &both, &[]),
    };
    vec![
        snapshot(&id, MatchStatus::Open, &both[..1], &[]),
        snapshot(&id, MatchStatus::Confirmed, &both, &[]),
        snapshot(&id, MatchStatus::Locked, &both, &[]),
        end,
    ]
}

fn deliveries(events: &[Event]) -> Vec<Delivery> {
    events
        .iter()
        .map(|event| {
            let message = Message::new(event.clone(), None);
            Delivery {
                id: Some(message.id),
                body: message.body,
                routing_key: message.routing_key,
                traceparent: None,
                redelivered: false,
                replay: None,
            }
        })
        .collect()
}

async fn apply(worker: &Worker<MatchEscrow>, events: &[Event]) {
    for batch in deliveries(events).chunks(64) {
        let dispositions = worker.process_batch(batch).await;
        assert!(dispositions.iter().all(|d| *d == Disposition::Ack), "{dispositions:?}");
    }
}

/// Everything of the matches that must not depend on the order, as text.
async fn essence(store: &Store) -> Result<String> {
    let client = store.client().await?;
    for check in audit::CHECKS {
        assert_eq!(audit::run(&client, check).await?, []);
    }
    let mut matches = survey::matches(&client, &source()).await?;
    matches.sort_by(|a, b| a.match_id.cmp(&b.match_id));
    let mut nets = survey::nets(&client, &source()).await?;
    nets.sort();
    let mut records = survey::records(&client, &source()).await?;
    records.sort();
    let shown: Vec<_> =
        matches.iter().map(|m| (&m.match_id, &m.status, &m.settlement, m.paid, m.fee)).collect();
    Ok(format!("{shown:?}\n{nets:?}\n{records:?}"))
}

/// Rows that a repeat must not add to.
async fn counts(database: &Database) -> Result<Vec<i64>> {
    let client = database.connection().await?;
    let mut counts = Vec::new();
    for table in ["transfer", "match", "match_participant", "account", "anomaly", "outbox"] {
        counts.push(client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0));
    }
    Ok(counts)
}

#[tokio::test]
async fn every_order_and_every_repeat_ends_the_same() -> Result<()> {
    let lives: Vec<Event> = (0..24).flat_map(life).collect();
    let mut ends = Vec::new();
    for seed in 0..4 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let worker = worker(&store);
        let order = if seed == 0 {
            lives.clone()
        } else {
            Dice::new(seed).shuffled([lives.clone(), lives.clone()].concat())
        };
        apply(&worker, &order).await;
        ends.push(essence(&store).await?);
    }
    assert!(ends[0].contains("CANCELED_TIMEOUT") && ends[0].contains("1800"), "{}", ends[0]);
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:#?}");
    Ok(())
}

/// An end that is told again, at another time by the provider's clock: the earliest counts, in whatever order they come,
/// one by one and together; boards and ratings, which go by it, hear of it.
#[tokio::test]
async fn an_end_told_at_several_times_was_at_the_earliest() -> Result<()> {
    let at = |second: i64, event: Event| {
        let id = EventId::of_delivery(&source(), "POST", format!("{second} {}", event.id).as_bytes(), 0);
        Event {
            id,
            delivery_id: id,
            occurred_at: Some(Timestamp::from_seconds(1_700_000_000 + second)),
            ..event
        }
    };
    let full = life(0).remove(3);
    // It says less and contradicts nobody.
    let both = [("g1", "player-0", None), ("g2", "player-7", None)];
    let less = snapshot("match-0", MatchStatus::Closed, &both, &["g1"]);
    let other = snapshot("match-0", MatchStatus::Closed, &both, &["g2"]);
    let outcome = |player: &str, outcome| PlayerOutcome { player_id: player.into(), outcome, reward: None };
    let contest = |to: &str| {
        event(Payload::ContestOutcome(ContestOutcome {
            contest_id: "contest-1".to_owned(),
            addressed_to: to.into(),
            outcomes: vec![outcome("a", Outcome::Win), outcome("b", Outcome::Loss)],
        }))
    };
    let ends = [at(30, full.clone()), at(10, less), at(20, full), at(40, contest("a")), at(35, contest("b"))];
    let ended = "SELECT concat_ws(' ', m.match_id, extract(epoch FROM m.ended_at)::bigint - 1700000000,
                                  extract(epoch FROM p.ended_at)::bigint - 1700000000)
                   FROM match m JOIN match_participant p USING (match_no)";
    let expected = ["contest-1 35 35", "contest-1 35 35", "match-0 10 10", "match-0 10 10"];
    for seed in 0..5 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let worker = worker(&store);
        apply(&worker, &life(0)[..3]).await;
        let ends = Dice::new(seed).shuffled(ends.to_vec());
        if seed < 3 {
            for end in &ends {
                apply(&worker, std::slice::from_ref(end)).await;
                essence(&store).await?;
            }
        } else {
            apply(&worker, &ends).await;
        }
        assert_eq!(database.texts(ended).await?, expected, "seed {seed}");
        // What tells another end, or the same at a later time, moves nothing.
        database.connection().await?.execute("DELETE FROM result_feed", &[]).await?;
        apply(&worker, &[at(5, other.clone()), at(99, life(0).remove(3))]).await;
        assert_eq!(database.texts(ended).await?, expected, "seed {seed}");
        assert!(database.texts("SELECT kind FROM result_feed").await?.is_empty());
        apply(&worker, &[at(9, life(0).remove(3))]).await;
        assert_eq!(database.texts("SELECT kind FROM result_feed").await?, ["match"]);
        essence(&store).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_applied_moves_nothing_again_even_without_the_inbox() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&store);
    let lives: Vec<Event> = (0..12).flat_map(life).collect();
    apply(&worker, &lives).await;
    let (end, before) = (essence(&store).await?, counts(&database).await?);
    apply(&worker, &lives).await;
    database.connection().await?.execute("DELETE FROM inbox", &[]).await?;
    apply(&worker, &Dice::new(5).shuffled(lives)).await;
    assert_eq!(essence(&store).await?, end);
    assert_eq!(counts(&database).await?, before);
    Ok(())
}

#[tokio::test]
async fn several_workers_on_the_same_matches_never_block_each_other() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let lives: Vec<Event> = (0..40).flat_map(life).collect();
    let alone = {
        let database = Database::create().await?;
        let store = database.store().await?;
        apply(&worker(&store), &lives).await;
        essence(&store).await?
    };
    let mut tasks = tokio::task::JoinSet::new();
    let shared = Arc::new(lives);
    for seed in 1..=4 {
        let (worker, lives) = (worker(&store), Arc::clone(&shared));
        tasks.spawn(async move {
            let mut waiting = Dice::new(seed).shuffled(lives.to_vec());
            // What is to be retried, because another worker held a lock too long, is retried.
            while !waiting.is_empty() {
                let mut again = Vec::new();
                for batch in waiting.chunks(32) {
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
    assert_eq!(essence(&store).await?, alone);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let connection = database.connection().await?;
    connection.execute("SELECT pg_stat_force_next_flush()", &[]).await?;
    assert_eq!(connection.query_one(deadlocks, &[]).await?.get::<_, i64>(0), 0);
    Ok(())
}

#[tokio::test]
async fn a_contradiction_opens_one_anomaly_and_moves_nothing() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&store);
    apply(&worker, &life(0)).await;
    let (end, before) = (essence(&store).await?, counts(&database).await?);
    let both = [("g1", "player-0", None), ("g2", "player-7", None)];
    let other_end = snapshot("match-0", MatchStatus::CanceledByOwner, &both, &[]);
    let other_winner = snapshot("match-0", MatchStatus::Closed, &both, &["g2"]);
    apply(&worker, &[other_end.clone(), other_winner.clone()]).await;
    database.connection().await?.execute("DELETE FROM inbox", &[]).await?;
    apply(&worker, &[other_winner, other_end]).await;
    assert_eq!(essence(&store).await?, end);
    let client = store.client().await?;
    let anomalies = survey::anomalies(&client, &source()).await?;
    assert_eq!(anomalies, [("outcome_conflict".to_owned(), 1), ("terminal_conflict".to_owned(), 1)]);
    let after = counts(&database).await?;
    assert_eq!(after[..4], before[..4]);
    assert_eq!(after[5], before[5] + 2, "the studio is told of each once");
    Ok(())
}

#[tokio::test]
async fn a_contest_ends_its_free_match_and_a_failure_that_is_final_is_shown() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&store);
    let outcome = |player: &str, outcome| PlayerOutcome { player_id: player.into(), outcome, reward: None };
    let contest = |to: &str| {
        event(Payload::ContestOutcome(ContestOutcome {
            contest_id: "contest-1".to_owned(),
            addressed_to: to.into(),
            outcomes: vec![outcome("a", Outcome::Win), outcome("b", Outcome::Loss)],
        }))
    };
    let failure = |will_retry| {
        event(Payload::ProviderFailure(ProviderFailure {
            entity_id: "match-9".to_owned(),
            code: "COMPLETION_FAILED".to_owned(),
            reason: "participant group missing".to_owned(),
            request_id: Some("r1".to_owned()),
            attempt: Some(1),
            will_retry: Some(will_retry),
        }))
    };
    apply(&worker, &[contest("a"), failure(true), contest("b"), failure(false)]).await;
    let client = store.client().await?;
    let matches = survey::matches(&client, &source()).await?;
    assert_eq!(matches.len(), 1);
    assert_eq!((matches[0].kind.as_str(), matches[0].status.as_str()), ("free_to_play", "CLOSED"));
    assert_eq!(survey::anomalies(&client, &source()).await?, [("provider_failure".to_owned(), 1)]);
    Ok(())
}

#[tokio::test]
async fn an_event_of_a_source_that_is_not_configured_is_parked_and_its_neighbours_are_applied() -> Result<()>
{
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&store);
    let mut stranger = life(1).remove(1);
    stranger.source = SourceName::parse("gone").unwrap();
    stranger.id = EventId::of_delivery(&stranger.source, "POST", b"x", 0);
    let mut batch = life(0);
    batch.insert(1, stranger);
    let dispositions = worker.process_batch(&deliveries(&batch)).await;
    let parked: Vec<&Disposition> = dispositions.iter().filter(|d| **d != Disposition::Ack).collect();
    assert!(matches!(parked[..], [Disposition::Park(reason)] if reason.contains("gone")), "{dispositions:?}");
    assert!(essence(&store).await?.contains("CLOSED"));
    Ok(())
}

/// Returns when so many sessions of the database wait for a lock.
async fn until_waiting(database: &Database, count: i64) -> Result<()> {
    let connection = database.connection().await?;
    let sql = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..10_000 {
        if connection.query_one(sql, &[]).await?.get::<_, i64>(0) >= count {
            return Ok(());
        }
    }
    anyhow::bail!("nobody waits")
}

#[tokio::test]
async fn who_waited_for_a_match_sees_all_of_it_as_it_is_now() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&worker(&store), &life(0)[..1]).await;
    let [first, second] = [life(0).remove(1), life(0).remove(2)];
    let mut holder = database.connection().await?;
    let lock = holder.transaction().await?;
    lock.execute("SELECT 1 FROM match FOR UPDATE", &[]).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for (waiting, event) in [(1, first), (2, second)] {
        let worker = worker(&store);
        tasks.spawn(async move { apply(&worker, &[event]).await });
        until_waiting(&database, waiting).await?;
    }
    // The first takes the stakes and sets the deadline; the second began before that was so.
    lock.commit().await?;
    tasks.join_all().await;
    essence(&store).await?;
    let deadlines = "SELECT count(*) FROM match_deadline";
    assert_eq!(database.connection().await?.query_one(deadlines, &[]).await?.get::<_, i64>(0), 1);
    Ok(())
}

#[tokio::test]
async fn an_amount_in_another_currency_is_parked() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&store);
    apply(&worker, &life(0)[..2]).await;
    let mut end = life(0).remove(3);
    let Payload::MatchSnapshot(snapshot) = &mut end.payload else { panic!("a life is of snapshots") };
    snapshot.buy_in = None;
    for player in snapshot.groups.iter_mut().flat_map(|group| &mut group.players) {
        if let Some(amount) = player.reward.as_mut().and_then(|reward| reward.amount.as_mut()) {
            amount.currency = Currency::new("JPY", None)?.code;
        }
    }
    let dispositions = worker.process_batch(&deliveries(&[end])).await;
    assert!(
        matches!(&dispositions[..], [Disposition::Park(reason)] if reason.contains("JPY")),
        "{dispositions:?}"
    );
    Ok(())
}
