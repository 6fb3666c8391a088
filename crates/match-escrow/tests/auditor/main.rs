//! An auditor that knows only the events, against PostgreSQL.
//!
//! A few hundred matches live through eight workers at once. Every delivery comes several times, in any order and
//! in any company; workers are killed in the middle of a batch and between commit and acknowledgement; PostgreSQL
//! is stopped in the middle of everything. Afterwards every unit of money must be where the auditor says, the
//! standing checks must be clean, and PostgreSQL must have met no deadlock and no constraint.
//!
//! `MATCHPURSE_TEST_SEED` plays the same matches and the same fates again; which worker is when how far is up to
//! the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod facts;
mod ledger;
mod lives;
mod model;
mod queue;
mod verdict;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use ledger::{Ledger, Named, leftovers};
use matchpurse_bus::Delivery;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Money;
use matchpurse_domain::time::Timestamp;
use matchpurse_local_servers::Postgres;
use matchpurse_operations::funds::{Direction, Movement, move_funds};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, audit};
use matchpurse_testkit::{Database, Dice};
use model::{Rules, Tie};
use queue::{Queue, Workshop};
use tokio::task::JoinSet;
use verdict::{Verdict, compare, named, scarce};

const MATCHES: usize = 500;
const WORKERS: u64 = 8;
/// How often each event is delivered at least.
const COPIES: usize = 2;
/// A run takes seconds; one that hangs must say so.
const PATIENCE: Duration = Duration::from_secs(200);

/// What must have happened in every run, or the lives have become too tame.
const ANOMALIES: &[&str] = &[
    "buy_in_conflict",
    "hold_failed",
    "hold_missing",
    "outcome_conflict",
    "participant_vanished",
    "payout_unauthenticated",
    "payout_unknown",
    "provider_failure",
    "terminal_conflict",
    "winner_unknown",
];

/// What an error in PostgreSQL's log may be: a wait for a lock that took too long, which is tried again, and what
/// follows from it in the same transaction.
const HARMLESS: &[&str] = &[
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "current transaction is aborted, commands ignored until end of transaction block",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_money_is_where_the_events_say() -> Result<()> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros().to_string();
    let seed = std::env::var("MATCHPURSE_TEST_SEED").unwrap_or_else(|_| now());
    let told = format!("seed {seed}; MATCHPURSE_TEST_SEED={seed} plays it again");
    eprintln!("{told}");
    let run = Box::pin(run(seed.parse().context("the seed is no number")?));
    tokio::time::timeout(PATIENCE, run).await.context("it takes too long").flatten().context(told)
}

async fn run(seed: u64) -> Result<()> {
    let mut postgres = Postgres::start_temporary().await?;
    let database = Database::create_on(&postgres.url()).await?;
    let rules = lives::rules();
    let settings = Arc::new(Settings::parse_str(&configuration(&rules))?);
    let events = lives::events(&rules, seed, MATCHES);
    let store = database.store().await?;
    let scarce = scarce(&rules, &events);
    for rules in &rules {
        for player in rules.deposits.keys().filter(|player| !scarce.contains(&named(rules, player))) {
            deposit(&store, &settings, rules, player).await?;
        }
    }

    let mut dice = Dice::new(seed ^ 0x5eed);
    let queue = Queue::new(dice.shuffled(deliveries(&events, &mut dice.clone())), dice.clone());
    let workshop = Workshop { settings: Arc::clone(&settings), database_url: database.service_url() };
    let mut tasks = JoinSet::new();
    for number in 0..WORKERS {
        tasks.spawn(workshop.clone().work(Arc::clone(&queue), number, seed));
    }
    tasks.spawn(pay_in_late(store, settings, rules.clone(), scarce.clone(), Arc::clone(&queue)));
    let stops = 2 + dice.below(2);
    let stopping = stop_now_and_then(&mut postgres, &database, &queue, stops, dice);
    let (mut deadlocks, ()) = tokio::try_join!(stopping, async {
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })?;
    deadlocks += deadlocks_of_all(&database).await?;

    let found = Ledger::read(&database).await?;
    let Verdict { mut wrong, certain } = compare(&rules, &scarce, &events, &found);
    wrong.extend(leftovers(&database, &ids(&events)).await?);
    wrong.extend(standing_checks(&database).await?);
    wrong.extend(log_of(&postgres)?);
    if deadlocks != 0 {
        wrong.push(format!("{deadlocks} deadlocks"));
    }
    let tally = queue.tally();
    eprintln!(
        "{MATCHES} matches, {} events, {} deliveries; {} batches cut short, {} not acknowledged, {} deliveries \
         given back, {stops} stops; the books of {certain} matches could be no others",
        ids(&events).len(),
        tally.acknowledged,
        tally.cut_short,
        tally.unacknowledged,
        tally.retried,
    );
    ensure!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(
        tally.cut_short > 0 && tally.unacknowledged > 0 && tally.retried > 0,
        "it was too easy: {tally:?}"
    );
    let seen =
        |kind: &str| found.matches.values().filter(|(books, _)| books.anomalies.contains_key(kind)).count();
    eprintln!("{:?}", ANOMALIES.iter().map(|kind| (*kind, seen(kind))).collect::<Vec<_>>());
    let unseen: Vec<_> = ANOMALIES.iter().filter(|kind| seen(kind) == 0).collect();
    ensure!(unseen.is_empty(), "it was too tame: nothing led to {unseen:?}");
    drop(database);
    Ok(postgres.stop().await?)
}

fn configuration(rules: &[Rules]) -> String {
    let mut text = "[database]\nurl = \"postgres://nobody@127.0.0.1/none\"\n".to_owned();
    for rules in rules {
        let Rules { source, currency, fee_bps, .. } = rules;
        let custody = if rules.studio { "studio" } else { "provider" };
        let tie = match rules.tie {
            Tie::RefundFull => "refund_full",
            Tie::RefundMinusFee => "refund_minus_fee",
            Tie::Split => "split",
        };
        writeln!(
            text,
            "[sources.{source}]\nprovider = \"any\"\ncurrency = \"{currency}\"\ncustody = \"{custody}\"\n\
             fee_bps = {fee_bps}\ntie_policy = \"{tie}\""
        )
        .unwrap();
    }
    text
}

fn ids(events: &[Event]) -> BTreeSet<String> {
    events.iter().map(|event| event.id.to_string()).collect()
}

/// Every event several times; the inbox and the permanent keys must see to the rest.
fn deliveries(events: &[Event], dice: &mut Dice) -> Vec<Delivery> {
    let mut all = Vec::new();
    for event in events {
        let message = Message::new(event.clone(), None);
        let delivery = Delivery {
            id: Some(message.id),
            body: message.body,
            routing_key: message.routing_key,
            traceparent: None,
            redelivered: false,
            replay: None,
        };
        all.extend(std::iter::repeat_n(delivery, COPIES + dice.below(2)));
    }
    all
}

async fn deposit(store: &Store, settings: &Settings, rules: &Rules, player: &str) -> Result<()> {
    let source = SourceName::parse(rules.source)?;
    let policy = settings.sources[&source].policy();
    let movement = Movement {
        direction: Direction::Deposit,
        player: player.into(),
        amount: Money::new(rules.deposits[player], policy.currency.code.clone()),
        actor: "studio".to_owned(),
        reason: "a deposit".to_owned(),
        idempotency_key: format!("deposit of {player}"),
    };
    move_funds(store, policy, &movement, Timestamp::from_seconds(1_790_000_000)).await?;
    Ok(())
}

/// The studio pays in for those who have little, while their matches are on. It asks until it is told that it is
/// done, and once more.
async fn pay_in_late(
    store: Store,
    settings: Arc<Settings>,
    rules: Vec<Rules>,
    scarce: BTreeSet<Named>,
    queue: Arc<Queue>,
) -> Result<()> {
    let mut turns = tokio::time::interval(Duration::from_millis(20));
    for (n, (source, player)) in scarce.iter().enumerate() {
        let rules = rules.iter().find(|rules| rules.source == source).context("no such source")?;
        queue.until(|tally| tally.acknowledged > 150 * n).await;
        let mut times = 0;
        while times < 2 {
            turns.tick().await;
            match deposit(&store, &settings, rules, player).await {
                Ok(()) => times += 1,
                Err(error) => {
                    let away = error.downcast_ref::<matchpurse_operations::Error>();
                    let away = away.is_some_and(|error| {
                        matches!(error, matchpurse_operations::Error::Store(error) if error.is_transient())
                    });
                    ensure!(away, "a deposit was refused: {error:#}");
                }
            }
        }
    }
    store.close();
    Ok(())
}

/// Stops PostgreSQL at random moments and starts it again as soon as a worker has given up waiting for it. What was
/// acknowledged by then must still be there. Returns the deadlocks that it had counted: a crash forgets them.
async fn stop_now_and_then(
    postgres: &mut Postgres,
    database: &Database,
    queue: &Queue,
    stops: usize,
    mut dice: Dice,
) -> Result<i64> {
    let mut deadlocks = 0;
    let mut moments: Vec<usize> = (0..stops).map(|_| 10 + dice.below(75)).collect();
    moments.sort_unstable();
    for percent in moments {
        queue.until(|tally| tally.acknowledged * 100 >= queue.total() * percent).await;
        deadlocks += deadlocks_so_far(database).await?;
        let promised = queue.promised();
        postgres.stop_immediately().await?;
        let before = queue.tally().retried;
        queue.until(|tally| tally.retried > before).await;
        postgres.restart().await?;
        let kept = database.texts("SELECT event_id::text FROM inbox").await?.into_iter().collect();
        let lost = promised.difference(&kept).count();
        ensure!(lost == 0, "a stop lost {lost} of {} events that were acknowledged", promised.len());
    }
    Ok(deadlocks)
}

async fn deadlocks_so_far(database: &Database) -> Result<i64> {
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    Ok(database.connection().await?.query_one(sql, &[]).await?.try_get(0)?)
}

/// A session tells what it has counted when it ends at the latest, so all must have ended.
async fn deadlocks_of_all(database: &Database) -> Result<i64> {
    let client = database.connection().await?;
    let others = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let mut turns = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..1000 {
        turns.tick().await;
        if client.query_one(others, &[]).await?.try_get::<_, i64>(0)? == 0 {
            return deadlocks_so_far(database).await;
        }
    }
    anyhow::bail!("sessions of workers that have ended are still there")
}

async fn standing_checks(database: &Database) -> Result<Vec<String>> {
    let client = database.store().await?.client().await?;
    let mut found = Vec::new();
    for check in audit::CHECKS {
        let findings = audit::run(&client, check).await?;
        found.extend(findings.into_iter().map(|finding| format!("{}: {}", finding.check, finding.what)));
    }
    Ok(found)
}

/// Errors in PostgreSQL's log: it has those of before a stop too, and those that nobody was told of.
fn log_of(postgres: &Postgres) -> Result<Vec<String>> {
    let log = std::fs::read_to_string(postgres.log_file())?;
    let bad = ["ERROR:  ", "PANIC:  ", "WARNING:  "];
    let told = log.lines().filter(|line| bad.iter().any(|level| line.contains(level)));
    let harmful = told.filter(|line| !HARMLESS.iter().any(|harmless| line.contains(harmless)));
    Ok(harmful.map(|line| format!("PostgreSQL's log: {line}")).collect())
}
