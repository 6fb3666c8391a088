//! Telling providers how matches went that they do not decide: for which sources, and one attempt of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{
    AccessToken, ApiError, CallAnswer, ReportedGroup, ReportedPlayer, ReportedResult, ResultReports,
};
use matchpurse_reading::{adapter_settings, api_keys};
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::http_client::HttpError;
use matchpurse_settings::Settings;
use matchpurse_store::calls::{CallNext, Wanted, take_one};
use matchpurse_store::chain;
use matchpurse_store::dispatch::AttemptOutcome;
use matchpurse_store::match_results::{self, Claimed, Ended};
use metrics::{counter, gauge, histogram};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::access::{Access, problem, until_written, without};
use crate::dispatcher::{Dispatcher, Shared};
use crate::policy::{self, Answer, CallDecision};
use crate::{answer, metric};

/// After how many seconds it is tried again, where the provider's limit has no slot left for a token.
const NO_SLOT_PAUSE_S: i64 = 1;

/// The sources whose providers are told of results.
pub(crate) struct Reporters {
    all: Vec<Reporter>,
}

/// One of them.
pub(crate) struct Reporter {
    pub(crate) access: Access,
    reports: Box<dyn ResultReports>,
    /// The token of the last time, and until when it is used.
    token: Mutex<Option<(AccessToken, Timestamp)>>,
}

/// A report with whose it is, and until when it is ours.
struct Reporting {
    /// The place of its source in [`Reporters`].
    reporter: usize,
    claimed: Claimed,
    lease_ends: Instant,
}

/// What came of an attempt.
struct Attempted {
    answer: Answer,
    /// What the adapter has read in it.
    read: Option<CallAnswer>,
    /// The provider was not asked: there was no slot for it.
    unasked: bool,
}

impl Reporters {
    /// Those of the configuration.
    ///
    /// # Errors
    /// [`ConfigError::Problems`], with the problems of all sources.
    pub(crate) fn of(settings: &Settings) -> Result<Self, ConfigError> {
        let (mut problems, mut all) = (Vec::new(), Vec::new());
        for (name, source) in &settings.sources {
            // Whose provider nobody knows is the ingress's to refuse.
            let Some(adapter) = matchpurse_providers::by_id(source.provider()) else { continue };
            match adapter.result_reports(&adapter_settings(source), &api_keys(source)) {
                Ok(reports) => all.extend(reports.map(|reports| Reporter {
                    access: Access::new(name, source, reports.limit()),
                    reports,
                    token: Mutex::default(),
                })),
                Err(error) => problems.push(problem(name, &error)),
            }
        }
        if problems.is_empty() { Ok(Self { all }) } else { Err(ConfigError::Problems(problems)) }
    }

    /// These, or the others where they are not the same sources with the same limits: a place among them must stand for
    /// the same one while reports are under way.
    pub(crate) fn or_these(self, others: &Arc<Self>) -> Arc<Self> {
        let same = self.all.len() == others.all.len()
            && self.all.iter().zip(&others.all).all(|(one, other)| one.access.same_as(&other.access));
        if same { Arc::new(self) } else { Arc::clone(others) }
    }

    pub(crate) fn all(&self) -> &[Reporter] {
        &self.all
    }
}

impl Dispatcher {
    /// Claims the reports that are due, as far as their providers' limits go, and begins to make them.
    pub(crate) async fn begin_reports(&mut self) -> matchpurse_store::Result<usize> {
        let shared = Arc::clone(&self.shared);
        let at_once = usize::from(shared.settings.sends_per_endpoint_max);
        let busy = |place: usize| self.reports.values().filter(|reporter| **reporter == place).count();
        let free = |place: usize| at_once.saturating_sub(busy(place));
        let reporters = shared.reporters.all().iter().enumerate();
        let open: Vec<(usize, &Reporter, usize)> = reporters
            .map(|(place, reporter)| (place, reporter, free(place)))
            .filter(|(.., free)| *free > 0)
            .collect();
        if open.is_empty() {
            return Ok(0);
        }
        let now = (shared.clock)();
        let mut client = shared.store.client().await?;
        let names: Vec<&str> = open.iter().map(|(_, reporter, _)| reporter.access.source.as_str()).collect();
        let due = match_results::due(&client, &names, now).await?;
        let mut begun = 0;
        for (place, reporter, most) in open {
            let access = &reporter.access;
            if !due.iter().any(|name| name == access.source.as_str()) {
                continue;
            }
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            let wanted = Wanted { source: access.source.as_str(), budget: access.budget, most };
            let (lease_ends, lease_until) = shared.lease(now);
            let slot_until = access.slot_after(lease_until);
            for claimed in match_results::claim(&mut client, &wanted, now, lease_until, slot_until).await? {
                let reporting = Reporting { reporter: place, claimed, lease_ends };
                let shared = Arc::clone(&shared);
                let task = self.sending.spawn(async move { shared.report(reporting).await });
                self.reports.insert(task.id(), place);
                begun += 1;
            }
        }
        Ok(begun)
    }
}

impl Shared {
    /// One report, from its beginning until it is written down.
    async fn report(&self, reporting: Reporting) {
        let Reporting { reporter, claimed, lease_ends } = reporting;
        let Some(reporter) = self.reporters.all.get(reporter) else { return };
        let (source, match_id) = (reporter.access.source.as_str(), claimed.match_id.as_str());
        let (at, began) = ((self.clock)(), Instant::now());
        let Some(attempted) = self.attempt_report(reporter, &claimed, lease_ends).await else {
            tracing::warn!(source, match_id, "too late to tell a result; its lease ends");
            return;
        };
        let now = (self.clock)();
        let (decision, status, detail) = decide(reporter, &claimed, attempted, now);
        histogram!(metric::CALL_SECONDS, "source" => source.to_owned()).record(began.elapsed().as_secs_f64());
        counter!(metric::CALLS, "source" => source.to_owned(), "outcome" => decision.outcome.as_str())
            .increment(1);
        let ended = Ended {
            claimed: &claimed,
            at,
            outcome: decision.outcome,
            status,
            detail,
            next: decision.next,
            slot_free_at: reporter.access.slot_after(now),
            not_before: decision.not_before,
        };
        let write = || async {
            let mut client = self.store.client().await?;
            match_results::finish(&mut client, &ended).await
        };
        match until_written(lease_ends, write).await {
            Ok(counted) => tell(source, &ended, counted),
            // It is due again when the lease ends, and the provider keeps the first that it took.
            Err(error) => tracing::error!(
                source,
                match_id,
                outcome = decision.outcome.as_str(),
                reason = chain(&error),
                "what came of a report could not be written down; it is made again"
            ),
        }
    }

    /// Tells the provider, with a new token once where the one of before is not taken any more. None when there is not
    /// the time for it any more.
    async fn attempt_report(
        &self,
        reporter: &Reporter,
        claimed: &Claimed,
        lease_ends: Instant,
    ) -> Option<Attempted> {
        let mut refused = None;
        loop {
            let token = match self.token(reporter, refused.as_ref(), lease_ends).await? {
                Ok(token) => token,
                Err(attempted) => return Some(attempted),
            };
            let Some(request) = request(reporter, claimed, token.as_ref()) else {
                let reason = "the result cannot be put into the provider's form".to_owned();
                return Some(Attempted::not_sent(reason));
            };
            // The claim's own slot is for the first request.
            if refused.is_some() && !self.slot(reporter).await {
                return Some(Attempted::unasked());
            }
            let exchange = self.exchange(request, lease_ends).await?;
            let read = exchange.as_ref().ok().map(|answer| reporter.reports.read(answer));
            let answer = answer::of_exchange(exchange, (self.clock)());
            let attempted = Attempted { answer, read, unasked: false };
            match token {
                Some(token) if read == Some(CallAnswer::KeyRefused) && refused.is_none() => {
                    refused = Some(token);
                }
                Some(token) => return Some(attempted.without(token.expose())),
                None => return Some(attempted),
            }
        }
    }

    /// The token of the last time, or another one where that has ended or was `refused`. None when there is not the time for
    /// it any more.
    async fn token(
        &self,
        reporter: &Reporter,
        refused: Option<&AccessToken>,
        lease_ends: Instant,
    ) -> Option<Result<Option<AccessToken>, Attempted>> {
        let Some(request) = reporter.reports.token_request() else { return Some(Ok(None)) };
        // Whoever waits here has the one that another one gets meanwhile.
        let mut held = reporter.token.lock().await;
        let now = (self.clock)();
        if let Some((token, ends)) = held.as_ref()
            && *ends > now
            && refused != Some(token)
        {
            return Some(Ok(Some(token.clone())));
        }
        if !self.slot(reporter).await {
            return Some(Err(Attempted::unasked()));
        }
        let exchange = self.exchange(request, lease_ends).await?;
        let read = exchange.as_ref().ok().map(|answer| reporter.reports.read_token(answer));
        let answer = answer::of_exchange(exchange, (self.clock)());
        let read = match read {
            Some(Ok(token)) => {
                // A little earlier, so that it does not end on the way.
                let ends = now.plus_seconds(token.lives_s().saturating_mul(9).checked_div(10).unwrap_or(0));
                *held = Some((token.clone(), ends));
                return Some(Ok(Some(token)));
            }
            Some(Err(ApiError::KeyRefused)) => Some(CallAnswer::KeyRefused),
            Some(Err(ApiError::Later { .. })) => Some(CallAnswer::Again),
            Some(Err(error @ ApiError::Unreadable(_))) => {
                return Some(Err(Attempted::not_sent(format!("no token: {error}"))));
            }
            None => None,
        };
        // Nobody was told anything, whatever became of the request for the token.
        let answer = match answer {
            Answer::Unknown { reason } => Answer::NotSent { reason },
            other => other,
        };
        Some(Err(Attempted { answer, read, unasked: false }))
    }

    /// One request; none when the lease would end before its answer.
    async fn exchange(
        &self,
        request: Request<Bytes>,
        lease_ends: Instant,
    ) -> Option<Result<Response<Bytes>, HttpError>> {
        let limit = Duration::from_millis(self.settings.request_timeout_ms);
        // A process that was stopped for a while must not use a slot that may be another's by now.
        if Instant::now() + limit > lease_ends {
            return None;
        }
        Some(self.callers.client().send_for_status(limit, request).await)
    }

    /// Takes one more slot of the provider's limit, for a request that is made now.
    async fn slot(&self, reporter: &Reporter) -> bool {
        let now = (self.clock)();
        let limit_s = i64::try_from(self.settings.request_timeout_ms.div_ceil(1_000)).unwrap_or(i64::MAX);
        let until = reporter.access.slot_after(now.plus_seconds(limit_s));
        let taken = async {
            let mut client = self.store.client().await?;
            take_one(&mut client, reporter.access.budget, now, until).await
        };
        taken.await.unwrap_or_else(|error| {
            tracing::warn!(reason = chain(&error), "no slot could be taken for a call; it is made later");
            false
        })
    }
}

impl Attempted {
    const fn not_sent(reason: String) -> Self {
        Self { answer: Answer::NotSent { reason }, read: None, unasked: false }
    }

    fn unasked() -> Self {
        let reason = "the provider's limit has no room for a token now".to_owned();
        Self { unasked: true, ..Self::not_sent(reason) }
    }

    /// Without the token in what is kept of the answer.
    fn without(mut self, token: &str) -> Self {
        if let Answer::Status { detail, .. } = &mut self.answer {
            *detail = without(std::mem::take(detail), token);
        }
        self
    }
}

/// What of an operation's detail the provider is told.
#[derive(Deserialize)]
struct Told {
    result: Groups,
    players: Vec<Player>,
    places: Vec<u32>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    group_id: String,
    score: i64,
    forfeit: bool,
}

#[derive(Deserialize)]
struct Player {
    player_id: String,
    score: i64,
}

fn request(reporter: &Reporter, claimed: &Claimed, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
    let told = Told::deserialize(&claimed.detail).ok()?;
    let groups = told.result.groups.iter().zip(&told.places).map(|(group, place)| {
        let Group { group_id, score, forfeit } = group;
        ReportedGroup { group_id, score: *score, place: *place, forfeit: *forfeit }
    });
    let players = told.players.iter().map(|player| {
        let Player { player_id, score } = player;
        ReportedPlayer { player_id, score: *score }
    });
    let (groups, players) = (groups.collect(), players.collect());
    let result = ReportedResult { match_id: &claimed.match_id, groups, players };
    reporter.reports.request(&result, token)
}

/// What follows from an attempt, with the answer's status and what is worth keeping of it.
fn decide(
    reporter: &Reporter,
    claimed: &Claimed,
    attempted: Attempted,
    now: Timestamp,
) -> (CallDecision, Option<u16>, String) {
    let Attempted { answer, read, unasked } = attempted;
    let access = &reporter.access;
    let decision = if unasked {
        let next = CallNext::Later(now.plus_seconds(NO_SLOT_PAUSE_S));
        CallDecision { outcome: AttemptOutcome::NotSent, next, not_before: None }
    } else {
        policy::decide_call(claimed.operation_id, claimed.attempts, &answer, read, access.window_s, now)
    };
    match answer {
        Answer::Status { status, detail, .. } => (decision, Some(status), access.without_keys(detail)),
        Answer::NotSent { reason } | Answer::Unknown { reason } => (decision, None, reason),
        Answer::Confirmed => (decision, None, String::new()),
    }
}

/// Tells operators what they may have to know.
fn tell(source: &str, ended: &Ended<'_>, counted: bool) {
    let Ended { claimed, outcome, status, next, .. } = ended;
    let refused = *outcome == AttemptOutcome::KeyRefused;
    if refused || *next == CallNext::Told {
        gauge!(metric::KEY_REFUSED, "source" => source.to_owned()).set(if refused { 1.0 } else { 0.0 });
    }
    if refused {
        let pause_s = policy::KEY_PAUSE_S;
        tracing::error!(
            source,
            status,
            pause_s,
            "the provider does not take our key: look at `keys.api`; calls with it wait, and none is lost"
        );
    }
    let (match_id, outcome) = (&claimed.match_id, outcome.as_str());
    match next {
        CallNext::Told => tracing::debug!(source, match_id, "the provider knows the result"),
        CallNext::Refused | CallNext::GivenUp if counted => {
            counter!(metric::CALLS_LEFT, "source" => source.to_owned()).increment(1);
            tracing::error!(
                source,
                match_id,
                outcome,
                status,
                "the provider was not told a result; it waits for a person"
            );
        }
        CallNext::Again(_) | CallNext::Later(_) | CallNext::Refused | CallNext::GivenUp => {
            tracing::info!(source, match_id, outcome, status, "the provider was not told a result");
        }
    }
}
