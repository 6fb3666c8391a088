//! Telling providers that players have got their rewards: for which sources, and one attempt of it.

use std::time::Duration;

use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{Redemption, Redemptions, SettingsError};
use matchpurse_reading::{adapter_settings, api_keys};
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use matchpurse_settings::{Settings, SourceSettings};
use matchpurse_store::call_slots::Budget;
use matchpurse_store::dispatch::AttemptOutcome;
use matchpurse_store::redemptions::{self, Audience, CallEnded, CallNext, Claimed};
use matchpurse_store::{ExposeSecret as _, SecretString, chain};
use metrics::{counter, gauge, histogram};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::dispatcher::Shared;
use crate::policy::{self, Answer, CallDecision};
use crate::{answer, metric};

/// The role of the keys that providers are called with: `keys.api`. Others are none of this program's business.
const ROLE: &str = "api";

/// How far the clocks of two dispatchers may be apart, in seconds: a slot is kept so much longer than the provider's
/// limit says, so that it holds even then.
pub const CLOCKS_APART_S: i64 = 2;

/// How much of an answer is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// What stands for a key in what is kept of an answer, and how much of one, at its end, is taken for it.
const BLOT: &str = "[key]";
const KEY_PART_MIN: usize = 4;

/// Between attempts to write down what came of a call, while the database is away.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The sources whose providers are told, and the client that does it.
pub(crate) struct Callers {
    client: HttpClient,
    all: Vec<Caller>,
}

/// One of them.
pub(crate) struct Caller {
    pub(crate) source: SourceName,
    pub(crate) budget: Budget,
    window_s: i64,
    redemptions: Box<dyn Redemptions>,
    /// What must not be kept of an answer.
    keys: Vec<SecretString>,
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
    callers(settings).map(drop)
}

fn callers(settings: &Settings) -> Result<Vec<Caller>, ConfigError> {
    let (mut problems, mut all) = (Vec::new(), Vec::new());
    for (name, source) in &settings.sources {
        // Whose provider nobody knows is the ingress's to refuse.
        let Some(adapter) = matchpurse_providers::by_id(source.provider()) else { continue };
        match adapter.redemptions(&adapter_settings(source), &api_keys(source)) {
            Ok(redemptions) => {
                all.extend(redemptions.map(|redemptions| Caller::new(name, source, redemptions)));
            }
            Err(error) => problems.push(problem(name, &error)),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(ConfigError::Problems(problems)) }
}

fn problem(source: &SourceName, error: &SettingsError) -> Problem {
    let key = join("sources", source.as_str());
    Problem { key, origin: None, reason: Reason::Invalid(error.to_string()) }
}

impl Caller {
    fn new(name: &SourceName, source: &SourceSettings, redemptions: Box<dyn Redemptions>) -> Self {
        let limit = redemptions.limit();
        let budget = Budget { id: limit.id, slots: limit.calls };
        let keys = source.keys(ROLE).iter().map(|key| key.expose().to_owned().into()).collect();
        Self { source: name.clone(), budget, window_s: limit.window_s, redemptions, keys }
    }

    /// An answer's words without the key: who does not take it may say which one that was.
    fn without_keys(&self, text: String) -> String {
        self.keys.iter().map(SecretString::expose_secret).filter(|key| !key.is_empty()).fold(
            text,
            |text, key| {
                // The beginning of an answer may end within the key.
                let cut = (1..key.len()).rev().filter(|end| key.is_char_boundary(*end)).find(|end| {
                    *end >= KEY_PART_MIN && key.get(..*end).is_some_and(|part| text.ends_with(part))
                });
                let whole = text.replace(key, BLOT);
                match cut.and_then(|end| whole.strip_suffix(key.get(..end)?)) {
                    Some(rest) => format!("{rest}{BLOT}"),
                    None => whole,
                }
            },
        )
    }

    /// From when on the provider does not count a call any more that has ended by then.
    pub(crate) fn slot_after(&self, ended: Timestamp) -> Timestamp {
        ended.plus_seconds(self.window_s.saturating_add(CLOCKS_APART_S))
    }
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
        let whose = |caller: &Caller| (caller.source.clone(), caller.budget, caller.window_s);
        self.all.iter().map(whose).eq(other.all.iter().map(whose))
    }

    pub(crate) fn all(&self) -> &[Caller] {
        &self.all
    }

    /// Of which grants a call is to be made.
    pub(crate) fn audience(&self) -> Audience {
        let kinds = |caller: &Caller| caller.redemptions.contests().to_vec();
        self.all.iter().map(|caller| (caller.source.to_string(), kinds(caller))).collect()
    }
}

impl Shared {
    /// One call, from its beginning until it is written down.
    pub(crate) async fn call(&self, calling: Calling) {
        let Calling { caller, claimed, lease_ends } = calling;
        let Some(caller) = self.callers.all.get(caller) else { return };
        let source = caller.source.as_str();
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
            slot_free_at: caller.slot_after(now),
            not_before: decision.not_before,
        };
        match self.write_call(&ended, lease_ends).await {
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

    /// Writes what came of a call, again and again while the database is away and the lease holds.
    async fn write_call(&self, ended: &CallEnded<'_>, lease_ends: Instant) -> matchpurse_store::Result<bool> {
        loop {
            let written = async {
                let mut client = self.store.client().await?;
                redemptions::finish(&mut client, ended).await
            };
            match written.await {
                Err(error) if error.is_transient() && Instant::now() + WRITE_AGAIN_AFTER < lease_ends => {
                    sleep(WRITE_AGAIN_AFTER).await;
                }
                outcome => return outcome,
            }
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
    let decision = policy::decide_call(seed, claimed.attempts, &answer, read, caller.window_s, now);
    match answer {
        Answer::Status { status, detail, .. } => (decision, Some(status), caller.without_keys(detail)),
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
