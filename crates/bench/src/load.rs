//! Load with a constant arrival, whether or not earlier requests are answered: latency counts from when a request was
//! due, so whoever stalls is not excused for what waited behind it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::http::Line;

/// What begins slowly is not counted.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// For the answers that are due at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Microseconds: what took longer counts as this.
const LONGEST_US: u64 = 600_000_000;

/// A request, written out.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Bytes,
    /// The id of the delivery that must be kept; none when it must be refused.
    pub(crate) id: Option<Uuid>,
}

/// How requests become due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection's when its last one is answered: as fast as the other side takes them.
    Saturating,
    /// So many a second.
    Arriving(f64),
}

/// What is sent, and how.
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) requests: Arc<Vec<Request>>,
    /// The first of the requests that is sent.
    pub(crate) from: usize,
    pub(crate) pace: Pace,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Answers a second that were as they must be, after the warm-up.
    pub(crate) rate: f64,
    /// All answers that were as they must be, with the warm-up's.
    pub(crate) answered: u64,
    /// From when a request was due to its answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// What was answered as kept.
    pub(crate) kept: Vec<Uuid>,
    /// What got no answer, and may have been kept or not.
    pub(crate) unknown: Vec<Uuid>,
    /// What else happened, how often.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The request that would have been next.
    pub(crate) next: usize,
}

impl Loaded {
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Sends it, on a thread of its own.
pub(crate) async fn run(load: Load) -> Result<Loaded> {
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, send(load))
    });
    thread.await?
}

struct Shared {
    load: Load,
    begun: Instant,
    counted_from: Instant,
    end: Instant,
    next: Cell<usize>,
    now: RefCell<Loaded>,
    counted: Cell<u64>,
    last_answer: Cell<Instant>,
}

async fn send(load: Load) -> Result<Loaded> {
    let mut lines = Vec::new();
    for _ in 0..load.connections {
        lines.push(Line::connect(&load.address).await?);
    }
    let begun = Instant::now();
    let loaded = Loaded {
        rate: 0.0,
        answered: 0,
        latency: Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(|error| anyhow!("{error}"))?,
        kept: Vec::new(),
        unknown: Vec::new(),
        errors: BTreeMap::new(),
        next: load.from,
    };
    let shared = Rc::new(Shared {
        begun,
        counted_from: begun + WARM_UP,
        end: begun + WARM_UP + load.time,
        next: Cell::new(load.from),
        now: RefCell::new(loaded),
        counted: Cell::new(0),
        last_answer: Cell::new(begun),
        load,
    });
    let mut tasks = JoinSet::new();
    for line in lines {
        tasks.spawn_local(one_after_the_other(Rc::clone(&shared), line));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let shared = Rc::into_inner(shared).context("a connection is still in use")?;
    shared.count_unsent();
    let Shared { now, counted, last_answer, counted_from, end, next, .. } = shared;
    let mut loaded = now.into_inner();
    // Shorter where the requests were used up.
    let time = last_answer.get().min(end).saturating_duration_since(counted_from).as_secs_f64();
    loaded.rate = if time > 0.0 { counted.get() as f64 / time } else { 0.0 };
    loaded.next = next.get();
    Ok(loaded)
}

async fn one_after_the_other(shared: Rc<Shared>, mut line: Line) -> Result<()> {
    while let Some((place, due)) = shared.take() {
        sleep_until(due).await;
        let Some(request) = shared.load.requests.get(place) else { break };
        let patience = shared.end.max(Instant::now()) + PATIENCE - Instant::now();
        match timeout(patience, line.exchange(&request.bytes)).await {
            Ok(Ok((status, _))) => shared.note(request, status, due),
            Ok(Err(error)) => {
                shared.lost(request, error.to_string());
                line = Line::connect(&shared.load.address).await?;
            }
            Err(_) => {
                shared.lost(request, "no answer".to_owned());
                break;
            }
        }
    }
    Ok(())
}

impl Shared {
    /// The next request, and when it is due; none when all are used up or the time is over.
    fn take(&self) -> Option<(usize, Instant)> {
        let place = self.next.get();
        let now = Instant::now();
        let due = match self.load.pace {
            Pace::Saturating => now,
            Pace::Arriving(_) => self.due(place),
        };
        if now >= self.end || due >= self.end || place >= self.load.requests.len() {
            return None;
        }
        self.next.set(place + 1);
        Some((place, due))
    }

    fn due(&self, place: usize) -> Instant {
        match self.load.pace {
            Pace::Saturating => self.begun,
            Pace::Arriving(rate) => {
                self.begun + Duration::from_secs_f64((place - self.load.from) as f64 / rate)
            }
        }
    }

    fn note(&self, request: &Request, status: u16, due: Instant) {
        let answered = Instant::now();
        let mut now = self.now.borrow_mut();
        match (request.id, status) {
            // A 422 is kept, too: what is signed and cannot be read is parked.
            (Some(id), 200..300 | 422) => now.kept.push(id),
            (None, 401) => {}
            (_, status) => {
                *now.errors.entry(format!("status {status}")).or_default() += 1;
                return;
            }
        }
        now.answered += 1;
        if answered >= self.counted_from && answered < self.end {
            self.counted.set(self.counted.get() + 1);
            self.last_answer.set(answered);
        }
        if due >= self.counted_from {
            record(&mut now.latency, answered.duration_since(due));
        }
    }

    fn lost(&self, request: &Request, why: String) {
        let mut now = self.now.borrow_mut();
        now.unknown.extend(request.id);
        *now.errors.entry(why).or_default() += 1;
    }

    /// Requests that were due and that no connection came to: they waited at least until now.
    fn count_unsent(&self) {
        let Pace::Arriving(_) = self.load.pace else { return };
        let ended = Instant::now().max(self.end);
        let mut now = self.now.borrow_mut();
        for place in self.next.get()..self.load.requests.len() {
            let due = self.due(place);
            if due >= self.end {
                break;
            }
            if due >= self.counted_from {
                record(&mut now.latency, ended.duration_since(due));
            }
        }
    }
}

fn record(latency: &mut Histogram<u64>, took: Duration) {
    latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).max(1));
}
