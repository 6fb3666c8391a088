//! Telling providers that players have got their rewards: for which sources, and one attempt of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{Redemption, Redemptions};
use matchpurse_reading::{adapter_settings, api_keys};
use matchpurse_service_kit::config::ConfigError;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use matchpurse_settings::Settings;
use matchpurse_store::calls::{CallNext, Wanted};
use matchpurse_store::chain;
use matchpurse_store::dispatch::AttemptOutcome;
use matchpurse_store::redemptions::{self, Audience, CallEnded, Claimed};
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;
use uuid::Uuid;

use crate::access::{Access, problem, until_written};
use crate::dispatcher::{Dispatcher, Shared};
use crate::policy::{self, Answer, CallDecision};
use crate::report::Reporters;
use crate::{answer, metric};

/// How much of an answer is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The sources whose providers are told, and the client that does it.
pub(crate) struct Callers {
    client: HttpClient,
    all: Vec<Caller>,
}

/// One of them.
pub(crate) struct Caller {
    pub(crate) access: Access,
    redemptions: Box<dyn Redemptions>,
}

/// A call with whose it is, and until when it is ours.
pub(crate) struct Calling {
    /// The place of its source in [`Callers`].
    pub(crate) caller: usize,
    pub(crate) claimed: Claimed,
    pub(crate) lease_ends: Instant,
}

/// Checks whether every source that wants its provider to be told can have it so.
///
/// # Errors
/// [`ConfigError::Problems`], with the problems of all sources.
pub fn check_callbacks(settings: &Settings) -> Result<(), ConfigError> {
    callers(settings)?;
    Reporters::of(settings).map(drop)
}

fn callers(settings: &Settings) -> Result<Vec<Caller>, ConfigError> {
    let (mut problems, mut all) = (Vec::new(), Vec::new());
    for (name, source) in &settings.sources {
        // Whose provider nobody knows is the ingress's to refuse.
        let Some(adapter) = matchpurse_providers::by_id(source.provider()) else { continue };
        match adapter.redemptions(&adapter_settings(source), &api_keys(source)) {
            Ok(redemptions) => {
                all.extend(redemptions.map(|redemptions| Caller {
                    access: Access::new(name, source, redemptions.limit()),
                    redemptions,
                }));
            }
            Err(error) => problems.push(problem(name, &error)),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(ConfigError::Problems(problems)) }
}

impl Callers {
    /// Those of the configuration.
    ///
    /// # Errors
    /// As [`check_callbacks`], or when the HTTP client cannot be set up.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let all = callers(settings)?;
        let own = &settings.dispatcher;
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: Duration::from_millis(own.request_timeout_ms),
            connect_time_limit: Duration::from_millis(own.connect_timeout_ms),
            response_bytes_max: RESPONSE_BYTES_MAX,
            user_agent: crate::USER_AGENT,
            ..HttpClientOptions::default()
        })?;
        Ok(Self { client, all })
    }

    /// Those of changed settings, with the same client.
    ///
    /// # Errors
    /// As [`check_callbacks`].
    pub(crate) fn of(settings: &Settings, client: &HttpClient) -> Result<Self, ConfigError> {
        Ok(Self { client: client.clone(), all: callers(settings)? })
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }

    /// Whether these are the same sources with the same limits: then a place among them stands for the same one.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.all.len() == other.all.len()
            && self.all.iter().zip(&other.all).all(|(one, other)| one.access.same_as(&other.access))
    }

    pub(crate) fn all(&self) -> &[Caller] {
        &self.all
    }

    /// Of which grants a call is to be made.
    pub(crate) fn audience(&self) -> Audience {
        let kinds = |caller: &Caller| caller.redemptions.contests().to_vec();
        self.all.iter().map(|caller| (caller.access.source.to_string(), kinds(caller))).collect()
    }
}

impl Dispatcher {
    /// Claims the calls to providers that are due, as far as their limits go, and begins to make them.
    pub(crate) async fn begin_calls(&mut self) -> matchpurse_store::Result<usize> {
        let shared = Arc::clone(&self.shared);
        let at_once = usize::from(shared.settings.sends_per_endpoint_max);
        let free = |place: usize| {
            at_once.saturating_sub(self.calls.values().filter(|caller| **caller == place).count())
        };
        let open: Vec<(usize, usize)> = (0..shared.callers.all().len())
            .map(|place| (place, free(place)))
            .filter(|(_, free)| *free > 0)
            .collect();
        if open.is_empty() {
            return Ok(0);
        }
        let now = (shared.clock)();
        let mut client = shared.store.client().await?;
        let named = |place: usize| shared.callers.all().get(place);
        let names: Vec<&str> =
            open.iter().filter_map(|(place, _)| Some(named(*place)?.access.source.as_str())).collect();
        let due = redemptions::due(&client, &names, now).await?;
        let mut begun = 0;
        for (place, most) in open {
            let Some(caller) =
                named(place).filter(|caller| due.iter().any(|name| name == caller.access.source.as_str()))
            else {
                continue;
            };
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            let access = &caller.access;
            let wanted = Wanted { source: access.source.as_str(), budget: access.budget, most };
            let (lease_ends, lease_until) = shared.lease(now);
            let slot_until = access.slot_after(lease_until);
            for claimed in redemptions::claim(&mut client, &wanted, now, lease_until, slot_until).await? {
                let calling = Calling { caller: place, claimed, lease_ends };
                let shared = Arc::clone(&shared);
                let task = self.sending.spawn(async move { shared.call(calling).await });
                self.calls.insert(task.id(), place);
                begun += 1;
            }
        }
        Ok(begun)
    }
}

impl Shared {
    /// One call, from its beginning until it is written down.
    pub(crate) async fn call(&self, calling: Calling) {
        let Calling { caller, claimed, lease_ends } = calling;
        let Some(caller) = self.callers.all.get(caller) else { return };
        let source = caller.access.source.as_str();
        let limit = Duration::from_millis(self.settings.request_timeout_ms);
        // A process that was stopped for a while must not use a slot that may be another's by now.
        if Instant::now() + limit > lease_ends {
            tracing::warn!(source, contest = claimed.contest_id, "too late to call; its lease ends");
            return;
        }
        let request = caller.redemptions.request(&Redemption {
            contest_kind: claimed.contest_kind,
            contest_id: &claimed.contest_id,
            player_id: &claimed.player_id,
            redeemed_at: claimed.redeemed_at,
        });
        let (at, began) = ((self.clock)(), Instant::now());
        let exchange = self.callers.client.send_for_status(limit, request).await;
        let now = (self.clock)();
        let decision = decide(caller, &claimed, exchange, now);
        let (decision, status, detail) = decision;
        histogram!(metric::CALL_SECONDS, "source" => source.to_owned()).record(began.elapsed().as_secs_f64());
        counter!(metric::CALLS, "source" => source.to_owned(), "outcome" => decision.outcome.as_str())
            .increment(1);
        let ended = CallEnded {
            claimed: &claimed,
            at,
            outcome: decision.outcome,
            status,
            detail,
            next: decision.next,
            slot_free_at: caller.access.slot_after(now),
            not_before: decision.not_before,
        };
        let write = || async {
            let mut client = self.store.client().await?;
            redemptions::finish(&mut client, &ended).await
        };
        match until_written(lease_ends, write).await {
            Ok(counted) => tell(source, &ended, counted),
            // It is due again when the lease ends, and the provider takes a repeat for what it is.
            Err(error) => tracing::error!(
                source,
                contest = claimed.contest_id,
                outcome = decision.outcome.as_str(),
                reason = chain(&error),
                "what came of a call could not be written down; it is made again"
            ),
        }
    }
}

/// What follows from an exchange, with the answer's status and what is worth keeping of it.
fn decide(
    caller: &Caller,
    claimed: &Claimed,
    exchange: Result<http::Response<Bytes>, HttpError>,
    now: Timestamp,
) -> (CallDecision, Option<u16>, String) {
    let read = exchange.as_ref().ok().map(|response| caller.redemptions.read(response));
    let answer = answer::of_exchange(exchange, now);
    // The same for every attempt of a call, and another one for each call.
    let seed = Uuid::from_u128(claimed.contest_key.as_u128() ^ claimed.player_key.as_u128());
    let decision = policy::decide_call(seed, claimed.attempts, &answer, read, caller.access.window_s, now);
    match answer {
        Answer::Status { status, detail, .. } => (decision, Some(status), caller.access.without_keys(detail)),
        Answer::NotSent { reason } | Answer::Unknown { reason } => (decision, None, reason),
        Answer::Confirmed => (decision, None, String::new()),
    }
}

/// Tells operators what they may have to know.
fn tell(source: &str, ended: &CallEnded<'_>, counted: bool) {
    let CallEnded { claimed, outcome, status, next, .. } = ended;
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
    let (contest, player, outcome) = (&claimed.contest_id, &claimed.player_id, outcome.as_str());
    match next {
        CallNext::Told => tracing::debug!(source, contest, player, "the provider knows of the rewards"),
        CallNext::Refused | CallNext::GivenUp if counted => {
            counter!(metric::CALLS_LEFT, "source" => source.to_owned()).increment(1);
            tracing::error!(
                source,
                contest,
                player,
                outcome,
                status,
                "the provider was not told that rewards were given; it waits for an operator"
            );
        }
        CallNext::Again(_) | CallNext::Later(_) | CallNext::Refused | CallNext::GivenUp => {
            tracing::info!(source, contest, player, outcome, status, "the provider was not told");
        }
    }
}
