//! Measures what a replay does to live traffic: the 99th percentile of a live event's age at its commit, with and without
//! many archived events being replayed beside it.
//!
//! ```text
//! # MATCHPURSE_TEST_DATABASE_URL and MATCHPURSE_TEST_AMQP_URL name a PostgreSQL and a RabbitMQ, as for the tests
//! cargo run --release -p matchpurse-operations --example replay_storm [ARCHIVED] [RATE] [LIVE]
//! ```
//!
//! `ARCHIVED` events (of a quarter as many matches) are applied and archived first. Then `LIVE` events a second arrive at
//! fixed times, whatever the worker does, in three phases of one length: alone, with the archive replayed at `RATE` events
//! a second, and alone again. Live events come by RabbitMQ and replayed ones by the spool, as in production; without
//! MATCHPURSE_TEST_AMQP_URL both come by the spool, where the live ones wait behind the others.
//!
//! The two phases without a replay show how much the figure moves by itself. Everything shares one machine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use matchpurse_bus::{
    BusOptions, Delivery, Disposition, EmbeddedTransport, Publisher, RabbitTransport, Transport,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_event_archive::EventArchive;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_operations::replay::{Scope, begin};
use matchpurse_operations::rewards::Author;
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::events::EventFilter;
use matchpurse_store::{Store, now};
use matchpurse_testkit::{Database, Vhost};
use matchpurse_worker_kit::{Context, Effects, Plan, Worker, WorkerOptions, metric, spawn};
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What `matchpurse replay` does, for events of one page and for those that may wait for their worker.
const PAGE: u32 = 200;
const WAITING_MAX: u64 = 2_000;

/// The ages of live events at their commits, in seconds, as the worker's own metric has them: it leaves replayed ones out.
#[derive(Default)]
struct Ages(Mutex<Vec<f64>>);

impl Ages {
    fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl HistogramFn for Ages {
    fn record(&self, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }
}

/// Keeps that one metric.
struct Listening(Arc<Ages>);

impl Recorder for Listening {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == metric::EVENT_AGE_SECONDS {
            Histogram::from_arc(Arc::clone(&self.0))
        } else {
            Histogram::noop()
        }
    }
}

/// The `n`-th event: each match is opened, joined, begun and won.
fn event(kind: &str, n: u32) -> Result<Event> {
    let usd = Currency::new("USD", None)?.code;
    let (winner, loser) = (format!("p{}", n / 4 % 900), format!("p{}", 900 + n / 4 % 700));
    let group = |id: &str, player: &str| Group {
        group_id: id.to_owned(),
        name: None,
        players: vec![Participant { player_id: player.into(), reward: None }],
    };
    let both = vec![group("a", &winner), group("b", &loser)];
    let (status, groups, winners) = match n % 4 {
        0 => (MatchStatus::Open, vec![group("a", &winner)], vec![]),
        1 => (MatchStatus::Confirmed, both, vec![]),
        2 => (MatchStatus::Locked, both, vec![]),
        _ => (MatchStatus::Closed, both, vec!["a".to_owned()]),
    };
    let payload = Payload::MatchSnapshot(MatchSnapshot {
        match_id: format!("{kind}-{}", n / 4),
        kind: MatchKind::Recreational,
        status,
        provider_status: status.as_str().to_owned(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: Some(Money::new(1_000, usd)),
        groups,
        winner_group_ids: winners,
    });
    Ok(Event { received_at: now(), ..matchpurse_testkit::event("games", true, payload) })
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (archived, rate, live) = (number(20_000)?, number(500)?.max(1), number(200)?.max(1));
    let ages = Arc::new(Ages::default());
    metrics::set_global_recorder(Listening(Arc::clone(&ages)))?;

    let database = Database::create().await?;
    let store = database.store().await?;
    let vhost = std::env::var_os("MATCHPURSE_TEST_AMQP_URL").map(|_| Vhost::create()).transpose()?;
    let broker = vhost.as_ref().map(|vhost| format!("[broker]\nurl = {:?}\n", vhost.amqp_url()));
    let settings = Settings::parse_str(&format!(
        "[database]\nurl = {:?}\n{}[sources.games]\nprovider = \"any\"\ncurrency = \"USD\"\ncustody = \"provider\"\n",
        database.service_url(),
        broker.unwrap_or_default(),
    ))?;
    fill(&store, &settings, archived).await?;

    let transport = match &vhost {
        Some(vhost) => Transport::Rabbit(RabbitTransport::start(
            &vhost.amqp_url(),
            &BusOptions::for_service("replay-storm"),
        )?),
        None => Transport::Embedded(EmbeddedTransport::new(
            Arc::new(store.spool(1_000_000)),
            &BusOptions::default(),
        )),
    };
    let publisher = transport.publisher();
    let shutdown = CancellationToken::new();
    let context = Context {
        store: store.clone(),
        transport,
        settings: Arc::new(settings.clone()),
        health: Health::new("replay-storm"),
        shutdown: shutdown.clone(),
    };
    let worker = spawn(Plan::new(MatchEscrow::new(&settings)), context);
    while !publisher.is_ready() {
        sleep(Duration::from_millis(50)).await;
    }
    // What is measured first meets cold caches and new connections.
    let mut phases = Phases { ages, publisher, live, sent: 0 };
    phases.run(Duration::from_secs(2)).await?;

    let time = Duration::from_secs(1) / rate * archived;
    let by = if vhost.is_some() { "RabbitMQ" } else { "the spool" };
    println!(
        "{archived} archived events, replayed at {rate}/s; live {live}/s by {by}; {:.0} s a phase",
        time.as_secs_f64()
    );
    let before = phases.run(time).await?.print("live alone");
    let (with, replayed) = tokio::join!(phases.run(time), replay(&store, rate));
    let with = with?.print("live beside a replay");
    let took = replayed?;
    let after = phases.run(time).await?.print("live alone again");
    shutdown.cancel();
    worker.await??;
    println!(
        "the replay was applied after {:.1} s, {:.0}/s",
        took.as_secs_f64(),
        f64::from(archived) / took.as_secs_f64()
    );
    println!("p99 beside a replay / alone: {:.2}", with / before);
    println!("p99 beside a replay / alone again: {:.2}", with / after);
    println!("p99 alone again / alone: {:.2}", after / before);
    Ok(())
}

/// Archives and applies what is replayed later.
async fn fill(store: &Store, settings: &Settings, archived: u32) -> Result<()> {
    let events = (0..archived).map(|n| event("old", n)).collect::<Result<Vec<_>>>()?;
    deliver(store, EventArchive, &events).await?;
    deliver(store, MatchEscrow::new(settings), &events).await
}

async fn deliver(store: &Store, effects: impl Effects, events: &[Event]) -> Result<()> {
    let worker = Worker::new(store.clone(), effects, WorkerOptions::default());
    for batch in events.chunks(256) {
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
        let outcome = worker.process_batch(&batch.iter().map(delivery).collect::<Vec<_>>()).await;
        ensure!(outcome.iter().all(|disposition| *disposition == Disposition::Ack), "{outcome:?}");
    }
    Ok(())
}

/// As `matchpurse replay` does it; returns when the last one is applied, with how long that took.
async fn replay(store: &Store, rate: u32) -> Result<Duration> {
    let begun = Instant::now();
    let filter = EventFilter { subject: None, to: Some(now()), ..EventFilter::default() };
    let author = Author { actor: "bench".to_owned(), reason: "replay storm".to_owned() };
    let scope = Scope { filter, workers: vec![Queue::MatchEscrow] };
    let mut replaying = begin(store, scope, &author).await?;
    let (mut due, mut place) = (begun, 0);
    loop {
        let page = replaying.page(store, PAGE.min(rate)).await?;
        if page.read == 0 {
            break;
        }
        place = page.place.max(place);
        due = due.max(Instant::now()) + Duration::from_secs(1) / rate * u32::try_from(page.read)?;
        sleep_until(due).await;
        while replaying.waiting(store, place).await? > WAITING_MAX {
            sleep(Duration::from_millis(250)).await;
        }
    }
    while replaying.waiting(store, place).await? > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    replaying.finish(store).await?;
    Ok(begun.elapsed())
}

/// Live traffic, phase after phase.
struct Phases {
    ages: Arc<Ages>,
    publisher: Arc<dyn Publisher>,
    live: u32,
    sent: u32,
}

impl Phases {
    /// Sends at fixed times for so long, and waits until all is applied.
    async fn run(&mut self, time: Duration) -> Result<Measured> {
        self.ages.take();
        let pause = Duration::from_secs(1) / self.live;
        let count = u32::try_from(time.as_nanos() / pause.as_nanos().max(1))?.max(1);
        let begun = Instant::now();
        for n in 0..count {
            sleep_until(begun + pause * n).await;
            // It has arrived when it was due, however late this comes to it.
            let late = begun.elapsed().saturating_sub(pause * n);
            let mut event = event("live", self.sent)?;
            let late_us = i64::try_from(late.as_micros()).unwrap_or(i64::MAX);
            let arrived_us = event.received_at.micros().saturating_sub(late_us);
            event.received_at = Timestamp::from_micros(arrived_us);
            self.sent += 1;
            let publisher = Arc::clone(&self.publisher);
            tokio::spawn(async move {
                // What is not confirmed is missed below.
                publisher.publish(vec![Message::new(event, None)]).await.ok();
            });
        }
        let count = usize::try_from(count)?;
        let end = Instant::now() + Duration::from_secs(60);
        while self.ages.len() < count {
            ensure!(Instant::now() < end, "{} of {count} live events were applied", self.ages.len());
            sleep(Duration::from_millis(20)).await;
        }
        let mut ages = self.ages.take();
        ages.sort_by(f64::total_cmp);
        Ok(Measured(ages))
    }
}

/// Ages, the smallest first.
struct Measured(Vec<f64>);

impl Measured {
    fn percentile(&self, of_thousand: usize) -> Option<f64> {
        let place = self.0.len().saturating_mul(of_thousand).div_ceil(1_000);
        self.0.get(place.saturating_sub(1)).map(|age| age * 1_000.0)
    }

    /// Prints it and returns the 99th percentile in ms.
    fn print(&self, what: &str) -> f64 {
        let of = |thousand| self.percentile(thousand).unwrap_or(f64::NAN);
        println!("{what:22} p50 {:8.1} ms   p99 {:8.1} ms   max {:8.1} ms", of(500), of(990), of(1_000));
        of(990)
    }
}
