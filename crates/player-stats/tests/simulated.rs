//! Whole matches as the simulator plays them, through the worker that every event goes through: late, repeated, lost
//! and shuffled, in batches of several sizes and with two workers beside each other. What must be there is what the
//! simulator's own game counted, round by round.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{Delivery as Delivered, Disposition};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{COUNTER_NAMES, Event, Payload, Provenance};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, OnDeadline, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_player_stats::PlayerStats;
use matchpurse_providers::play::{SourceEffects, StatsEffect};
use matchpurse_providers::{AdapterSettings, Delivery, KeySet, Keys};
use matchpurse_simulator::{Plan, PlanOptions, SimulatedSource};
use matchpurse_store::{Store, archive, survey};
use matchpurse_testkit::{Database, Dice};
use matchpurse_worker_kit::{Worker, WorkerOptions};

const SOURCE: &str = "servers";
const KEY: &[u8] = b"Bearer what-the-servers-send-along";
const NOW: Timestamp = Timestamp::from_seconds(1_793_600_000);
const SEEDS: [u64; 3] = [11, 12, 13];

/// Everything that means something, of which nothing may depend on the order. What is left out tells which delivery came
/// first, or when it was written.
const TABLES: &[&str] = &[
    "SELECT to_jsonb(m) - '{first_event_id,last_event_id,created_at,updated_at}'::text[] FROM stats_match m",
    "SELECT to_jsonb(s) FROM player_match_stats s",
    "SELECT to_jsonb(e) FROM stats_match_event e",
    "SELECT to_jsonb(t) - 'updated_at' FROM player_totals t",
    "SELECT to_jsonb(k) - '{event_id,at}'::text[] FROM player_kick k",
    "SELECT to_jsonb(a) - '{id,at}'::text[] FROM anomaly a",
    "SELECT jsonb_build_array(webhook_id, kind, subject, payload) FROM outbox",
    "SELECT to_jsonb(p) - 'first_seen_at' FROM player p",
];

/// A provider's matches, whole: each with its deliveries as events, in the order in which they happened.
struct Season {
    matches: Vec<Match>,
    /// What the simulator's games counted.
    truth: SourceEffects,
}

struct Match {
    /// A delivery may be more than one event.
    deliveries: Vec<Vec<Event>>,
    is_canceled: bool,
}

/// The provider that plays matches of several rounds, found by what it plays.
fn settings() -> AdapterSettings {
    let provider = matchpurse_providers::all()
        .iter()
        .find(|provider| provider.lives().iter().any(|life| life.name == "match_with_history"))
        .unwrap();
    let policy = SourcePolicy {
        source: SourceName::parse(SOURCE).unwrap(),
        provider: provider.id().to_owned(),
        currency: Currency::new("USD", None).unwrap(),
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 86_400,
        on_deadline: OnDeadline::Refund,
    };
    AdapterSettings { policy, options: BTreeMap::new() }
}

/// Matches of ten players, and some that are called off in the middle.
fn season(seed: u64) -> Season {
    let settings = settings();
    let kinds = ["match_by_url", "match_with_history", "canceled_by_url", "canceled_with_history"];
    let source = SimulatedSource::new(settings.clone(), KEY).unwrap();
    let plan = Plan::new(PlanOptions {
        lives: 100,
        kinds: kinds.map(str::to_owned).to_vec(),
        crowd: 40,
        odd_percent: 0,
        duplicate_percent: 0,
        forged_percent: 0,
        shuffle_window: 0,
        ..PlanOptions::new(seed, vec![source])
    })
    .unwrap();
    let mut bodies: HashMap<EventId, Vec<Event>> = HashMap::new();
    for (item, id) in plan.items().iter().zip(plan.delivery_ids()) {
        let signed = plan.sign(item, NOW).unwrap();
        let delivery = Delivery {
            method: signed.method,
            headers: signed.headers.into_iter().collect(),
            body: signed.body,
        };
        bodies.insert(id, read(&settings, &delivery));
    }
    let mut season = Season { matches: Vec::new(), truth: SourceEffects::default() };
    for life in plan.lives() {
        let deliveries: Vec<_> = life.deliveries.iter().map(|(id, _)| bodies[id].clone()).collect();
        let players = deliveries.iter().flatten().filter_map(|event| match &event.payload {
            Payload::MatchStatsSnapshot(snapshot) => Some(snapshot.players.len()),
            _ => None,
        });
        if players.max() == Some(10) {
            season.truth.add(life.effects.clone());
            season.matches.push(Match { deliveries, is_canceled: life.effects.lines.is_none() });
        }
    }
    let longest =
        season.truth.lines.iter().flatten().flat_map(|(_, lines)| lines.values()).map(|line| line.rounds);
    assert!(longest.max() >= Some(24), "no match goes to its last round");
    assert!(season.matches.iter().filter(|one| one.is_canceled).count() > 1);
    season
}

/// A delivery as the ingress reads it.
fn read(settings: &AdapterSettings, delivery: &Delivery) -> Vec<Event> {
    let provider = matchpurse_providers::by_id(&settings.policy.provider).unwrap();
    let keys = Keys { webhook: KeySet::new([Bytes::from_static(KEY)]), ..Keys::default() };
    let verified = provider.verify(delivery, settings, &keys, NOW).unwrap();
    let normalized = provider.normalize(&verified, settings).unwrap();
    let id = |index| EventId::of_delivery(&settings.policy.source, "POST", &delivery.body, index);
    let event = |(index, new): (u32, matchpurse_providers::NewEvent)| Event {
        id: id(index),
        delivery_id: id(0),
        source: settings.policy.source.clone(),
        provider: settings.policy.provider.clone(),
        provider_type: normalized.provider_type.clone(),
        subject: new.subject,
        occurred_at: new.occurred_at,
        received_at: NOW,
        provenance: Provenance { body_authenticated: false, amount_rounded: false, vouched: None },
        raw: if index == 0 { delivery.body.clone() } else { Bytes::new() },
        payload: new.payload,
    };
    (0..).zip(normalized.events).map(event).collect()
}

fn is_end(delivery: &[Event]) -> bool {
    delivery.iter().any(|event| match &event.payload {
        Payload::MatchStatsSnapshot(snapshot) => snapshot.finished,
        _ => false,
    })
}

/// What comes of a season's deliveries on their way: of a hundred five are lost, ten come late and ten again. An end is
/// lost only where it is told once more, because what nobody ever told cannot be known.
fn disturbed(season: &Season, seed: u64) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut placed: Vec<(usize, Vec<Event>)> = Vec::new();
    for one in &season.matches {
        let mut ends = one.deliveries.iter().filter(|delivery| is_end(delivery)).count();
        // The matches run beside each other.
        let mut at = dice.below(300);
        for delivery in &one.deliveries {
            at += 10;
            if dice.below(100) < 5 && !(is_end(delivery) && ends == 1) {
                ends -= usize::from(is_end(delivery));
                continue;
            }
            let late = if dice.below(100) < 10 { dice.below(200) } else { 0 };
            placed.push((at + late, delivery.clone()));
            if dice.below(100) < 10 {
                placed.push((at + dice.below(400), delivery.clone()));
            }
        }
    }
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().flat_map(|(_, events)| events).collect()
}

/// Gives the events to a worker, in batches of this size.
async fn work(store: &Store, events: &[Event], batch: usize) -> Result<()> {
    let worker = Worker::new(store.clone(), PlayerStats, WorkerOptions::default());
    for events in events.chunks(batch) {
        let delivered: Vec<Delivered> = events.iter().cloned().map(delivered).collect();
        let becomes = worker.process_batch(&delivered).await;
        assert!(becomes.iter().all(|one| matches!(one, Disposition::Ack)), "{becomes:?}");
    }
    Ok(())
}

fn delivered(event: Event) -> Delivered {
    let message = Message::new(event, None);
    Delivered {
        id: Some(message.id),
        body: message.body,
        routing_key: message.routing_key,
        traceparent: None,
        redelivered: false,
        replay: None,
    }
}

/// What the tables hold, in the simulator's words.
async fn found(database: &Database, store: &Store) -> Result<SourceEffects> {
    let source = SourceName::parse(SOURCE)?;
    let mut found = SourceEffects::default();
    for row in survey::totals(&store.client().await?, &source).await? {
        let counters: Vec<(&str, i64)> = row.counters.into_iter().collect();
        found.stats.insert(row.player_id, effect(row.counts, counters));
    }
    let sql = format!(
        "SELECT m.match_id, p.player_id, (s.outcome = 'win')::int::bigint, (s.outcome = 'loss')::int::bigint,
                (s.outcome = 'draw')::int::bigint, m.rounds_played::bigint, ARRAY[{}]::bigint[]
           FROM player_match_stats s JOIN stats_match m USING (stats_key) JOIN player p USING (player_key)
          WHERE m.counted",
        COUNTER_NAMES.join(", ")
    );
    let lines = found.lines.get_or_insert_default();
    for row in database.connection().await?.query(&sql, &[]).await? {
        let counts = [1, row.get(2), row.get(3), row.get(4), row.get(5)];
        let counters = COUNTER_NAMES.into_iter().zip(row.get::<_, Vec<i64>>(6)).collect();
        let of_match: &mut BTreeMap<_, _> = lines.entry(row.get(0)).or_default();
        of_match.insert(row.get(1), effect(counts, counters));
    }
    Ok(found)
}

fn effect([matches, wins, losses, draws, rounds]: [i64; 5], counters: Vec<(&str, i64)>) -> StatsEffect {
    let count = |count: i64| u64::try_from(count).unwrap();
    let counters = counters.into_iter().filter(|(_, sum)| *sum != 0);
    StatsEffect {
        matches: count(matches),
        wins: count(wins),
        losses: count(losses),
        draws: count(draws),
        rounds: count(rounds),
        counters: counters.map(|(name, sum)| (name.to_owned(), sum)).collect(),
    }
}

/// A digest of each table.
async fn checksums(database: &Database) -> Result<Vec<String>> {
    let mut sums = Vec::new();
    for table in TABLES {
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '')
               FROM ({table}) t"
        );
        sums.extend(database.texts(&sql).await?);
    }
    Ok(sums)
}

#[tokio::test]
async fn every_line_and_every_total_is_the_simulators_own_whatever_happens_on_the_way() -> Result<()> {
    // In batches of one, of some, and of all; as they come, and in no order at all.
    let ways = [[(1, false), (64, true)], [(7, true), (256, false)], [(16, true), (100_000, false)]];
    for (seed, ways) in SEEDS.into_iter().zip(ways) {
        let season = season(seed);
        for (batch, shuffled) in ways {
            let mut events = disturbed(&season, seed + 100);
            if shuffled {
                events = Dice::new(seed + 200).shuffled(events);
            }
            let database = Database::create().await?;
            let store = database.store().await?;
            work(&store, &events, batch).await?;
            let found = found(&database, &store).await?;
            assert_eq!(found.lines, season.truth.lines, "seed {seed}, batches of {batch}");
            assert_eq!(found.stats, season.truth.stats, "seed {seed}, batches of {batch}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_workers_beside_each_other_end_where_one_does() -> Result<()> {
    for seed in SEEDS {
        let season = season(seed);
        let events = disturbed(&season, seed);
        let alone = Database::create().await?;
        work(&alone.store().await?, &events, 50).await?;
        let database = Database::create().await?;
        let store = database.store().await?;
        // Both have about the same matches in hand, and some events are with both.
        let half = |first: usize| -> Vec<Event> {
            let some = events.iter().enumerate().filter(|(place, _)| place % 2 == first || place % 10 == 0);
            some.map(|(_, event)| event.clone()).collect()
        };
        let (one, two) = (half(0), Dice::new(seed).shuffled(half(1)));
        tokio::try_join!(work(&store, &one, 16), work(&store, &two, 23))?;
        assert_eq!(checksums(&database).await?, checksums(&alone).await?, "seed {seed}");
        assert_eq!(found(&database, &store).await?.stats, season.truth.stats, "seed {seed}");
    }
    Ok(())
}

#[tokio::test]
async fn the_stream_applied_twice_and_rebuilt_from_the_archive_gives_identical_tables() -> Result<()> {
    let season = season(SEEDS[0]);
    let events = disturbed(&season, 7);
    let database = Database::create().await?;
    let store = database.store().await?;
    for batch in events.chunks(100) {
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        archive::append_in_tx(&tx, batch, NOW).await?;
        tx.commit().await?;
    }
    work(&store, &events, 40).await?;
    let first = checksums(&database).await?;
    assert!(first[..4].iter().all(|sum| !sum.starts_with("0 ")), "{first:?}");

    // Twice: what the inbox remembers is forgotten, so every event is applied again.
    database.connection().await?.execute("TRUNCATE inbox", &[]).await?;
    work(&store, &Dice::new(8).shuffled(events), 64).await?;
    assert_eq!(checksums(&database).await?, first);

    let empty = Database::create().await?;
    let rebuilt = empty.store().await?;
    let (source, mut after) = (SourceName::parse(SOURCE)?, 0);
    loop {
        let page = store.archived_of(&source, None, after, 150).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        let events: Vec<Event> = page.into_iter().map(|archived| archived.event).collect();
        work(&rebuilt, &events, 150).await?;
    }
    assert_eq!(checksums(&empty).await?, first);
    Ok(())
}

#[tokio::test]
async fn a_match_that_is_called_off_changes_no_total_however_far_it_was() -> Result<()> {
    let season = season(SEEDS[1]);
    let database = Database::create().await?;
    let store = database.store().await?;
    let (called_off, played): (Vec<&Match>, Vec<&Match>) =
        season.matches.iter().partition(|one| one.is_canceled);
    let events = |matches: &[&Match]| -> Vec<Event> {
        matches.iter().flat_map(|one| one.deliveries.iter().flatten().cloned()).collect()
    };
    work(&store, &events(&played), 64).await?;
    let totals = "SELECT to_jsonb(t)::text FROM player_totals t";
    let before = database.texts(totals).await?;
    assert!(!before.is_empty());
    // Twelve rounds of a match that goes on, and then it is called off: by the very bodies that end it otherwise.
    let off = twelve_rounds_and_called_off(&played[0].deliveries);
    work(&store, &Dice::new(1).shuffled([events(&called_off), off].concat()), 16).await?;
    assert_eq!(database.texts(totals).await?, before);
    let shown = database
        .texts("SELECT concat_ws(' ', rounds_played, canceled, counted, result) FROM stats_match WHERE match_id = 'off'")
        .await?;
    assert_eq!(shown, ["12 t f"]);
    let lines = "SELECT count(*)::text FROM player_match_stats s JOIN stats_match m USING (stats_key)
                  WHERE m.canceled AND (s.ended_at IS NOT NULL OR s.outcome IS NOT NULL)";
    assert_eq!(database.texts(lines).await?, ["0"]);
    Ok(())
}

/// A match like the given one, of the same players, until its twelfth round.
fn twelve_rounds_and_called_off(deliveries: &[Vec<Event>]) -> Vec<Event> {
    let source = SourceName::parse(SOURCE).unwrap();
    let mut events = Vec::new();
    for event in deliveries.iter().flatten() {
        let Payload::MatchStatsSnapshot(snapshot) = &event.payload else { continue };
        if snapshot.rounds_played > 12 || snapshot.finished {
            continue;
        }
        let mut snapshot = snapshot.clone();
        snapshot.match_id = "off".to_owned();
        let id = EventId::of_delivery(&source, "POST", format!("{snapshot:?}").as_bytes(), 0);
        events.push(Event {
            id,
            delivery_id: id,
            payload: Payload::MatchStatsSnapshot(snapshot),
            ..event.clone()
        });
    }
    let mut last = events.last().unwrap().clone();
    let Payload::MatchStatsSnapshot(snapshot) = &mut last.payload else { panic!() };
    assert_eq!(snapshot.rounds_played, 12);
    (snapshot.finished, snapshot.cancel_reason) = (true, Some("USER_API_CANCEL".to_owned()));
    last.id = EventId::of_delivery(&source, "POST", b"called off", 0);
    events.push(last);
    events
}
