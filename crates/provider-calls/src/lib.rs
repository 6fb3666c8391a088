//! Calls to providers' APIs: within their limits, whoever calls beside us, and with a token that is fresh.
//!
//! Adapters make requests and read answers; [`Caller`] sends them. Every request, those for tokens too, takes one of its
//! limit's slots in the database, which rests for the limit's time after it: so the limit holds for all programs that call
//! with the same key, and whatever is killed. A token is kept until shortly before it expires; one that is refused is got
//! anew once. No secret is ever written anywhere: requests are sent and forgotten, and answers are the adapter's to read.

pub mod metric;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{AccessToken, ApiAccess, ApiError, pause_wanted_s};
use matchpurse_service_kit::http_client::{HttpClient, HttpError};
use matchpurse_store::calls::{self, Budget, CLOCKS_APART_S, Slot, Taken};
use matchpurse_store::{Store, chain, now};
use metrics::{counter, histogram};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// A token is got anew so many seconds before it expires, or at half of its life, if that is later.
const FRESH_S: i64 = 60;
/// Between two looks whether a slot is free, at least and at most.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(5);

/// Calls one provider for one source.
pub struct Caller {
    source: String,
    client: HttpClient,
    store: Store,
    time_limit: Duration,
    budget: Budget,
    window_s: i64,
    /// One token for all calls; whoever needs a new one gets it for all.
    token: Mutex<Option<Held>>,
}

struct Held {
    token: AccessToken,
    stale_at: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// All that the provider takes was used up for longer than the caller waits.
    #[error("the provider takes no more calls for now")]
    NoSlot,
    /// Nothing can be asked so: the adapter makes no request of it.
    #[error("there is no request for it")]
    NoRequest,
    /// The provider gave no token.
    #[error("the provider gave no token")]
    Token(#[source] ApiError),
    /// The provider did not answer.
    #[error("the provider did not answer")]
    Http(#[from] HttpError),
    /// The limit could not be looked up.
    #[error("the limit of calls could not be looked up")]
    Store(#[from] matchpurse_store::Error),
}

impl Caller {
    /// Calls for `source` as `access` says, each of them for `time_limit` at most.
    pub fn new(
        source: &str,
        access: &dyn ApiAccess,
        client: HttpClient,
        store: Store,
        time_limit: Duration,
    ) -> Self {
        let limit = access.limit();
        Self {
            source: source.to_owned(),
            client,
            store,
            time_limit,
            budget: Budget { id: limit.id, slots: limit.calls },
            window_s: limit.window_s,
            token: Mutex::new(None),
        }
    }

    /// Makes the slots of its limit. To be done before the first call.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`].
    pub async fn prepare(&self) -> matchpurse_store::Result<()> {
        calls::prepare(&self.store.client().await?, self.budget).await
    }

    /// Sends the request that `make` makes with the token, if there is one, and returns the answer, whatever its status.
    /// It waits for a slot of the limit until `deadline`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn send(
        &self,
        access: &dyn ApiAccess,
        make: impl Fn(Option<&AccessToken>) -> Option<Request<Bytes>>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, CallError> {
        let token = self.token(access, deadline).await?;
        let answer = self.exchange(make(token.as_ref()).ok_or(CallError::NoRequest)?, deadline).await?;
        let Some(refused) = token.filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(answer);
        };
        // It may have ended before its time; once more with another one, and then it is not the token.
        self.forget(&refused).await;
        let token = self.token(access, deadline).await?;
        self.exchange(make(token.as_ref()).ok_or(CallError::NoRequest)?, deadline).await
    }

    async fn token(
        &self,
        access: &dyn ApiAccess,
        deadline: Instant,
    ) -> Result<Option<AccessToken>, CallError> {
        let mut held = self.token.lock().await;
        if let Some(Held { token, stale_at }) = &*held
            && Instant::now() < *stale_at
        {
            return Ok(Some(token.clone()));
        }
        let Some(request) = access.token_request() else { return Ok(None) };
        let asked = Instant::now();
        let answer = self.exchange(request, deadline).await?;
        let token = access.read_token(&answer).map_err(CallError::Token)?;
        let fresh_s = token.lives_s().saturating_sub(FRESH_S).max(token.lives_s() / 2).max(0);
        let stale_at = asked + Duration::from_secs(u64::try_from(fresh_s).unwrap_or(0));
        *held = Some(Held { token: token.clone(), stale_at });
        Ok(Some(token))
    }

    /// Another caller may have got a new one meanwhile.
    async fn forget(&self, refused: &AccessToken) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|held| held.token == *refused) {
            *held = None;
        }
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, CallError> {
        let slot = self.slot(deadline).await?;
        let began = Instant::now();
        let answer = self.client.send_within(self.time_limit, request).await;
        let outcome = answer.as_ref().map_or("no_answer", |answer| class(answer.status()));
        counter!(metric::CALLS, "source" => self.source.clone(), "outcome" => outcome).increment(1);
        histogram!(metric::CALL_SECONDS, "source" => self.source.clone())
            .record(began.elapsed().as_secs_f64());
        let now = now();
        let free_at = now.plus_seconds(self.window_s.saturating_add(CLOCKS_APART_S));
        let pause_s = answer.as_ref().ok().and_then(|answer| pause_wanted_s(answer, self.window_s));
        let not_before = pause_s.map(|seconds| now.plus_seconds(seconds));
        // Where that cannot be written the slot rests for as long as it was taken, which is longer.
        if let Err(error) = self.give_back(slot, free_at, not_before).await {
            let (source, reason) = (&self.source, chain(&error));
            tracing::warn!(
                source,
                reason,
                "a slot of the provider's limit was not given back; it rests a while longer"
            );
        }
        Ok(answer?)
    }

    async fn slot(&self, deadline: Instant) -> Result<Slot, CallError> {
        loop {
            let now = now();
            let limit_s = i64::try_from(self.time_limit.as_secs()).unwrap_or(i64::MAX).saturating_add(1);
            let rests_s = self.window_s.saturating_add(CLOCKS_APART_S).saturating_add(limit_s);
            let mut client = self.store.client().await?;
            let taken = calls::take(&mut client, self.budget, now, now.plus_seconds(rests_s)).await?;
            drop(client);
            match taken {
                Taken::Slot(slot) => return Ok(slot),
                Taken::NoneBefore(free_at) => {
                    let wait = until(now, free_at).clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX);
                    if Instant::now() + wait > deadline {
                        return Err(CallError::NoSlot);
                    }
                    sleep(wait).await;
                }
            }
        }
    }

    async fn give_back(
        &self,
        slot: Slot,
        free_at: Timestamp,
        not_before: Option<Timestamp>,
    ) -> matchpurse_store::Result<()> {
        let mut client = self.store.client().await?;
        calls::give_back(&mut client, slot, free_at, not_before).await
    }
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(then.micros().saturating_sub(now.micros())).unwrap_or(0))
}

/// Statuses, as few words for a metric.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        429 => "too_many",
        401 | 403 => "key_refused",
        200..=399 => "answered",
        400..=499 => "refused",
        _ => "failed",
    }
}
