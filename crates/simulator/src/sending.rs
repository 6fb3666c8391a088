//! Sending one request until it has its final answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::Dice;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use tokio::time::{Instant, sleep};

use crate::apis::Apis;
use crate::expected::Accepted;
use crate::journal::Journal;
use crate::plan::{Item, Plan, Planned};
use crate::play::{PlayError, PlayOptions};
use crate::report::{Progress, Report, Surprise, Tally};

/// The first wait before another attempt, and the longest; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A `Retry-After` that asks for more is cut: a provider, too, comes back in its own time.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Sends the requests of one plan.
pub(crate) struct Sender {
    plan: Arc<Plan>,
    client: HttpClient,
    targets: Vec<String>,
    apis: Option<Apis>,
    give_up_after: Duration,
    next: AtomicUsize,
    turn: AtomicUsize,
    /// What the journal had when it was opened.
    before: Accepted,
    now: Mutex<Now>,
}

/// What changes while it is sent.
struct Now {
    tally: Tally,
    accepted: Accepted,
    journal: Option<Journal>,
}

/// What an answer means.
enum Meaning {
    /// It is final.
    Final,
    /// The same again, after this time at the earliest.
    Again(Option<Duration>),
}

impl Sender {
    pub(crate) fn new(
        plan: Arc<Plan>,
        options: &PlayOptions,
        journal: Option<Journal>,
    ) -> Result<Self, PlayError> {
        let mut targets = Vec::new();
        for target in &options.targets {
            let url: http::Uri = target.parse().map_err(|_| PlayError::Target(target.clone()))?;
            if url.scheme().is_none() || url.host().is_none() {
                return Err(PlayError::Target(target.clone()));
            }
            targets.push(target.trim_end_matches('/').to_owned());
        }
        if targets.is_empty() {
            return Err(PlayError::Target(String::new()));
        }
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: options.attempt_time_limit,
            pool_idle_per_host_max: 1_024,
            // What is played is played here, not through somebody's proxy.
            proxy_from_environment: false,
            user_agent: "matchpurse-simulator",
            ..HttpClientOptions::default()
        })
        .map_err(PlayError::Client)?;
        let planned = u64::try_from(plan.items().len()).unwrap_or(u64::MAX);
        let accepted = journal.as_ref().map(|journal| journal.accepted().clone()).unwrap_or_default();
        Ok(Self {
            client,
            targets,
            apis: options.apis.clone(),
            give_up_after: options.give_up_after,
            next: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            before: accepted.clone(),
            now: Mutex::new(Now { tally: Tally::new(planned), accepted, journal }),
            plan,
        })
    }

    /// The place of the next request that nobody has taken on yet.
    pub(crate) fn next(&self) -> Option<usize> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        (place < self.plan.items().len()).then_some(place)
    }

    pub(crate) fn progress(&self, elapsed: Duration) -> Progress {
        self.now().tally.progress(elapsed)
    }

    pub(crate) fn finish(&self, elapsed: Duration) -> (Report, Accepted) {
        let mut now = self.now();
        let tally = std::mem::replace(&mut now.tally, Tally::new(0));
        (tally.finish(elapsed), std::mem::take(&mut now.accepted))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request until it has its final answer, or until its time is over. `due` is when it should
    /// have been sent.
    pub(crate) async fn settle(&self, place: usize, due: Instant) -> Result<(), PlayError> {
        let Some(item) = self.plan.items().get(place) else { return Ok(()) };
        let Some(planned) = self.plan.deliveries.get(item.delivery) else { return Ok(()) };
        if let (None, false, Some(apis)) = (item.forgery, item.repeat, &self.apis) {
            apis.happens(self.plan.source_of(item).unwrap_or_default(), planned);
        }
        if item.lost {
            let report = &mut self.now().tally.report;
            report.lost += 1;
            report.done += 1;
            return Ok(());
        }
        if item.forgery.is_none() && self.before.deliveries.contains(&planned.id) {
            let report = &mut self.now().tally.report;
            report.skipped += 1;
            report.done += 1;
            return Ok(());
        }
        let mut dice = Dice::new(u64::try_from(place).unwrap_or(0));
        let mut wait = FIRST_WAIT;
        loop {
            let Some(request) = self.request(item) else {
                self.give_up("the request cannot be made");
                return Ok(());
            };
            let sent = Instant::now();
            let answer = self.client.send(request).await;
            let meaning = self.note(&answer, sent.elapsed());
            match (answer, meaning) {
                (Ok(answer), Meaning::Final) => return self.take(item, planned, &answer, due),
                (_, Meaning::Final) => {
                    self.now().tally.report.given_up += 1;
                    return Ok(());
                }
                (_, Meaning::Again(asked)) => {
                    // Up to a quarter more, so that those who failed together do not come back together.
                    let pause = asked.unwrap_or(wait).max(wait);
                    let more = u32::try_from(dice.below(26)).unwrap_or(0);
                    let pause = pause.saturating_add(pause.saturating_mul(more) / 100);
                    if due.elapsed().saturating_add(pause) > self.give_up_after {
                        self.give_up("not taken until the deadline");
                        return Ok(());
                    }
                    self.now().tally.report.retried += 1;
                    sleep(pause).await;
                    wait = wait.saturating_mul(2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn give_up(&self, why: &str) {
        let report = &mut self.now().tally.report;
        report.given_up += 1;
        *report.failures.entry(why.to_owned()).or_default() += 1;
    }

    /// Counts an attempt, and says what its answer means.
    fn note(&self, answer: &Result<Response<Bytes>, HttpError>, took: Duration) -> Meaning {
        let mut now = self.now();
        now.tally.report.sent += 1;
        match answer {
            Ok(answer) => {
                *now.tally.report.by_status.entry(answer.status().as_u16()).or_default() += 1;
                now.tally.attempt_took(took);
                let status = answer.status();
                if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                    Meaning::Again(retry_after(answer.headers()))
                } else {
                    Meaning::Final
                }
            }
            Err(error) => {
                *now.tally.report.by_status.entry(0).or_default() += 1;
                *now.tally.report.failures.entry(error.to_string()).or_default() += 1;
                // An answer that is too large is one that cannot be read the next time either.
                match error {
                    HttpError::Setup(_)
                    | HttpError::Request(_)
                    | HttpError::Forbidden(_)
                    | HttpError::TooLarge { .. } => Meaning::Final,
                    HttpError::Connect(_) | HttpError::Timeout { .. } | HttpError::Broken(_) => {
                        Meaning::Again(None)
                    }
                }
            }
        }
    }

    /// Takes a final answer into the report, and what was taken into the journal.
    fn take(
        &self,
        item: &Item,
        planned: &Planned,
        answer: &Response<Bytes>,
        due: Instant,
    ) -> Result<(), PlayError> {
        let source = self.plan.source_of(item).unwrap_or_default();
        let status = answer.status().as_u16();
        let wanted = if item.forgery.is_some() { 401 } else { planned.scripted.status };
        let holds = || String::from_utf8_lossy(answer.body()).contains(planned.scripted.answer_holds);
        let as_wanted = status == wanted && (item.forgery.is_some() || holds());
        let mut now = self.now();
        now.tally.took(due.elapsed());
        now.tally.report.done += 1;
        if !as_wanted {
            now.tally.surprise(Surprise {
                source: source.to_owned(),
                kind: planned.kind.to_owned(),
                forgery: item.forgery.map(|forgery| format!("{forgery:?}")),
                expected: wanted.to_string(),
                found: status,
                answer: String::from_utf8_lossy(answer.body()).into_owned(),
            });
        }
        // A 422 is kept, too: what is signed and cannot be read is parked.
        if (200..300).contains(&status) || status == 422 {
            now.tally.report.accepted += 1;
            now.tally.report.repeats += u64::from(item.repeat);
            // A forgery that was believed is no part of what must be there.
            if item.forgery.is_none()
                && now.accepted.deliveries.insert(planned.id)
                && let Some(journal) = &mut now.journal
            {
                journal.accept(planned.id)?;
            }
        } else if status == 401 {
            now.tally.report.refused += 1;
            *now.accepted.refused.entry(source.to_owned()).or_default() += 1;
            if let Some(journal) = &mut now.journal {
                journal.refuse(source)?;
            }
        }
        Ok(())
    }

    /// The request, signed now.
    fn request(&self, item: &Item) -> Option<Request<Bytes>> {
        let signed = self.plan.sign(item, now())?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.targets.len())?;
        let url = format!("{}/hooks/{}", self.targets.get(turn)?, signed.source);
        let mut request =
            Request::builder().method(signed.method.as_str()).uri(url).body(signed.body).ok()?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in signed.headers {
            let name = HeaderName::try_from(name).ok()?;
            // A value that cannot be sent is left out: then the signature is missing.
            if let Ok(value) = HeaderValue::try_from(value) {
                request.headers_mut().append(name, value);
            }
        }
        Some(request)
    }
}

/// How long the other side asks to wait, in whole seconds; a date is not asked of us.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// The time of the wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
