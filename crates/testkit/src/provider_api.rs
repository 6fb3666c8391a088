use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use matchpurse_domain::time::Timestamp;

use crate::studio::{Reply, Request, Studio};

/// A provider's API: a real HTTP server on the loopback that is told facts, takes each of them once however often it
/// comes, and takes so many calls of a key in so much time and no more. What it answers is told by the test.
///
/// Two calls are the same fact when their bodies are the same bytes.
pub struct ProviderApi {
    server: Studio,
    limiter: Arc<Limiter>,
}

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

struct Limiter {
    key_header: &'static str,
    calls: usize,
    window_us: i64,
    clock: Clock,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// When calls came, by key, the oldest first.
    at: BTreeMap<String, Vec<i64>>,
    beyond: usize,
}

impl Limiter {
    /// Whether one more call of the key is within the limit, by the provider's own clock.
    fn take(&self, key: &str) -> bool {
        let now = (self.clock)().micros();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let at = taken.at.entry(key.to_owned()).or_default();
        at.push(now);
        let within = at.iter().filter(|at| **at > now.saturating_sub(self.window_us)).count() <= self.calls;
        if !within {
            taken.beyond += 1;
        }
        within
    }
}

impl ProviderApi {
    /// An API that takes every fact and answers 200, at most `calls` of a key in `window_s` by `clock`; the key comes in
    /// the header of this name, in lower case. What goes beyond is answered 429.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(
        key_header: &'static str,
        calls: usize,
        window_s: i64,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self> {
        let server = Studio::start_for(|request| String::from_utf8_lossy(&request.body).into_owned()).await?;
        let window_us = window_s.saturating_mul(1_000_000);
        let (clock, taken) = (Arc::new(clock), Mutex::default());
        let limiter = Arc::new(Limiter { key_header, calls, window_us, clock, taken });
        let api = Self { server, limiter };
        api.behave(|_, _| Reply::status(200).working());
        Ok(api)
    }

    /// The URL below which its paths are.
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// Answers so from now on what is within the limit. The number tells how often this fact has come, from 1.
    pub fn behave(&self, behaviour: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) {
        let limiter = Arc::clone(&self.limiter);
        self.server.behave(move |request, nth| {
            if limiter.take(request.header(limiter.key_header)) {
                behaviour(request, nth)
            } else {
                Reply::status(429)
            }
        });
    }

    /// Everything that came.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// The facts that were taken, in that order, each once.
    pub fn facts(&self) -> Vec<String> {
        self.server.work()
    }

    /// How many calls came beyond the limit.
    pub fn beyond(&self) -> usize {
        self.limiter.taken.lock().unwrap_or_else(PoisonError::into_inner).beyond
    }

    /// Waits until so many requests have come in all.
    ///
    /// # Errors
    /// Never while this value lives.
    pub async fn received(&self, count: usize) -> Result<()> {
        self.server.received(count).await
    }

    /// Goes away with all connections: who connects is refused.
    pub async fn take_down(&self) {
        self.server.take_down().await;
    }

    /// Is back at the same address.
    ///
    /// # Errors
    /// When somebody else has taken it.
    pub async fn bring_up(&self) -> Result<()> {
        self.server.bring_up().await
    }
}
