//! Measures what one dead endpoint costs its neighbours: how long a notice takes to nineteen endpoints while the
//! twentieth is well, and while it accepts every connection and never answers.
//!
//! ```text
//! MATCHPURSE_TEST_DATABASE_URL=… cargo run --release -p matchpurse-dispatcher --example neighbours [NOTICES [PER_SECOND]]
//! ```
//!
//! Notices are written at fixed times whatever becomes of them, and their time counts from when they were due, so a
//! dispatcher that falls behind cannot hide it. The two cases take turns, so that both meet the same machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use matchpurse_dispatcher::Dispatcher;
use matchpurse_domain::ids::SourceName;
use matchpurse_settings::Settings;
use matchpurse_store::dispatch;
use matchpurse_store::outbox::{self, Notice};
use matchpurse_store::{StoreOptions, now};
use matchpurse_testkit::{Database, Reply, Studio};
use tokio::sync::Notify;
use tokio::time::{interval, sleep_until};
use tokio_util::sync::CancellationToken;

const ENDPOINTS: usize = 20;
const TURNS: usize = 3;

type Arrivals = Arc<Mutex<Vec<(String, Instant)>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let notices = arguments.next().transpose()?.unwrap_or(400);
    let per_second = arguments.next().transpose()?.unwrap_or(40);
    println!("{notices} notices to each of {ENDPOINTS} endpoints, {per_second} a second");
    let (mut well, mut dead) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        well.extend(measure(notices, per_second, false).await?);
        dead.extend(measure(notices, per_second, true).await?);
    }
    let (well, dead) = (Percentiles::of(well), Percentiles::of(dead));
    println!("all are well:  p50 {:6.1} ms  p99 {:6.1} ms", well.p50, well.p99);
    println!("one is dead:   p50 {:6.1} ms  p99 {:6.1} ms", dead.p50, dead.p99);
    println!("ratio:         p50 {:6.2}     p99 {:6.2}", dead.p50 / well.p50, dead.p99 / well.p99);
    Ok(())
}

struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Percentiles {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let place = (all.len() * percent / 100).min(all.len().saturating_sub(1));
            all.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// The times of all notices to the first nineteen endpoints.
async fn measure(notices: u32, per_second: u32, last_is_dead: bool) -> Result<Vec<Duration>> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let arrivals: Arrivals = Arrivals::default();
    let mut studios = Vec::new();
    let mut text = format!("database.url = \"{}\"\n", database.service_url());
    for n in 0..ENDPOINTS {
        let studio = Studio::start().await?;
        let measured = n + 1 < ENDPOINTS;
        let arrivals = Arc::clone(&arrivals);
        studio.behave(move |request, _| {
            if measured {
                let arrived = (request.webhook_id().to_owned(), Instant::now());
                arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
            }
            if measured || !last_is_dead { Reply::ok() } else { Reply::hang() }
        });
        let url = studio.url("/hook");
        text.push_str(&format!(
            "[endpoints.e{n:02}]\nurl = \"{url}\"\nsecrets = [\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]\nallow_private = true\n"
        ));
        studios.push(studio);
    }
    let mut dispatcher = Dispatcher::new(store.clone(), &Settings::parse_str(&text)?, Arc::new(now))?;
    dispatcher.bring_endpoints().await?;
    let (woken, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let mut listener = dispatch::listen(&StoreOptions::new(database.service_url().into(), "bench")).await?;
    let listening = tokio::spawn({
        let woken = Arc::clone(&woken);
        async move {
            while listener.told().await {
                woken.notify_one();
            }
        }
    });
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { dispatcher.run(&woken, &stop, drop).await }
    });

    let mut due = BTreeMap::new();
    let pause = Duration::from_secs(1) / per_second;
    let begin = tokio::time::Instant::now() + pause;
    for n in 0..notices {
        let at = begin + pause * n;
        sleep_until(at).await;
        let notice = Notice {
            source: SourceName::parse("bench")?,
            kind: "match.settled",
            subject: format!("m{n}"),
            discriminator: String::new(),
            payload: serde_json::json!({"players": ["a", "b", "c", "d"], "prize": 900}),
            occurred_at: now(),
            cause: None,
        };
        due.insert(notice.webhook_id().to_string(), at.into_std());
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        outbox::append_in_tx(&tx, &[notice]).await?;
        tx.commit().await?;
    }
    let expected = usize::try_from(notices)? * (ENDPOINTS - 1);
    let count = || arrivals.lock().unwrap_or_else(PoisonError::into_inner).len();
    let mut looks = interval(Duration::from_millis(20));
    while count() < expected {
        looks.tick().await;
    }
    stop.cancel();
    running.abort();
    listening.abort();
    drop(studios);
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let took = |(id, at): &(String, Instant)| due.get(id).map(|due| at.saturating_duration_since(*due));
    Ok(arrivals.iter().filter_map(took).collect())
}
