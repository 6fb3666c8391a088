//! The providers' APIs, played beside their webhooks. They know what has happened, whether or not a delivery of it
//! arrived; and like real ones they take so many requests and no more, fail, are slow, go away and end tokens early.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::CallLimit;
use matchpurse_providers::play::PlayedApi;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::plan::{Plan, Planned};
use crate::sending::now;

/// No request to a provider is larger.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// After a failed accept: without file descriptors left it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an API does to those who ask it. By count and not by chance: who asks again is answered sooner or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiTroubles {
    /// Of so many requests one is answered with 503 and one late, and a token is good for as many; at least 2.
    pub every: u32,
    /// So late.
    pub slow_by: Duration,
}

/// What has come to one API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ApiFigures {
    /// Requests, whatever became of them.
    pub requests: u64,
    /// Those that were answered with 2xx or 304.
    pub answered: u64,
    /// Those that were answered with another status by the API itself: its tokens, its keys, what it does not know.
    pub refused: u64,
    /// Those beyond its limit, answered with 429.
    pub beyond: u64,
    /// Those that were answered with 503: it failed or was away.
    pub failed: u64,
    /// Those that were answered late.
    pub slow: u64,
}

/// The APIs of a plan's sources; see [`Apis::serve`].
#[derive(Clone)]
pub struct Apis {
    shared: Arc<Shared>,
}

struct Shared {
    /// By the source's name; those without a key cannot be asked.
    sources: BTreeMap<String, Mutex<Source>>,
    troubles: Option<ApiTroubles>,
    away: AtomicBool,
}

struct Source {
    api: Box<dyn PlayedApi>,
    limit: CallLimit,
    /// When the requests of the limit's time came.
    came: VecDeque<Timestamp>,
    /// Requests within the limit while it was not away.
    heard: u64,
    figures: ApiFigures,
}

/// What is done with a request.
struct Answered {
    response: Response<Bytes>,
    late_by: Duration,
}

impl Apis {
    /// The APIs of those sources that have a key for them.
    pub fn new(plan: &Plan, troubles: Option<ApiTroubles>) -> Self {
        let troubles = troubles.map(|troubles| ApiTroubles { every: troubles.every.max(2), ..troubles });
        let mut sources = BTreeMap::new();
        for source in &plan.sources {
            let Some(key) = &source.api else { continue };
            let api = source.provider.played_api(key, troubles.map(|troubles| troubles.every));
            let limit = api.limit();
            let source_of =
                Source { api, limit, came: VecDeque::new(), heard: 0, figures: ApiFigures::default() };
            sources.insert(source.name().to_string(), Mutex::new(source_of));
        }
        Self { shared: Arc::new(Shared { sources, troubles, away: AtomicBool::new(false) }) }
    }

    /// From now on all of them are away, or back.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// What has come, by the source's name.
    pub fn figures(&self) -> BTreeMap<String, ApiFigures> {
        self.shared.sources.iter().map(|(name, source)| (name.clone(), locked(source).figures)).collect()
    }

    /// Something has happened, of which a delivery tells or would have told.
    pub(crate) fn happens(&self, source: &str, planned: &Planned) {
        if let (Some(source), Some(moment)) = (self.shared.sources.get(source), planned.happens) {
            locked(source).api.happens(moment, &planned.scripted);
        }
    }

    /// Answers below `http://ADDRESS/SOURCE`, where ADDRESS is the listener's, until it is dropped.
    pub async fn serve(self, listener: TcpListener) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let apis = self.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let apis = apis.clone();
                    async move { Ok::<_, Infallible>(apis.exchange(request).await) }
                });
                let mut server = http1::Builder::new();
                // Whoever asks and goes away is no fault of this side.
                server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    }

    async fn exchange(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE).map(Full::new);
        };
        let request = Request::from_parts(head, body.to_bytes());
        let Some((source, request)) = self.source_of(request) else {
            return plain(StatusCode::NOT_FOUND).map(Full::new);
        };
        let away = self.shared.away.load(Ordering::SeqCst);
        let Answered { response, late_by } =
            locked(source).answer(&request, self.shared.troubles, away, now());
        sleep(late_by).await;
        response.map(Full::new)
    }

    /// Whose API is asked, and the request as that knows it.
    fn source_of(&self, mut request: Request<Bytes>) -> Option<(&Mutex<Source>, Request<Bytes>)> {
        let path = request.uri().path_and_query()?.as_str().strip_prefix('/')?;
        let (source, rest) = path.split_at(path.find('/')?);
        let source = self.shared.sources.get(source)?;
        let mut uri = request.uri().clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        Some((source, request))
    }
}

impl std::fmt::Debug for Apis {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apis").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Source {
    fn answer(
        &mut self,
        request: &Request<Bytes>,
        troubles: Option<ApiTroubles>,
        away: bool,
        now: Timestamp,
    ) -> Answered {
        self.figures.requests += 1;
        if !self.is_within(now) {
            self.figures.beyond += 1;
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.limit.window_s));
            return Answered { response, late_by: Duration::ZERO };
        }
        if away {
            self.figures.failed += 1;
            return Answered { response: plain(StatusCode::SERVICE_UNAVAILABLE), late_by: Duration::ZERO };
        }
        self.heard += 1;
        let is_nth = |place: u32, every: u32| self.heard % u64::from(every) == u64::from(place);
        let late_by = troubles.filter(|troubles| is_nth(troubles.every / 2, troubles.every));
        self.figures.slow += u64::from(late_by.is_some());
        let late_by = late_by.map_or(Duration::ZERO, |troubles| troubles.slow_by);
        if troubles.is_some_and(|troubles| is_nth(0, troubles.every)) {
            self.figures.failed += 1;
            return Answered { response: plain(StatusCode::SERVICE_UNAVAILABLE), late_by };
        }
        let response = self.api.answer(request, now);
        if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
            self.figures.answered += 1;
        } else {
            self.figures.refused += 1;
        }
        Answered { response, late_by }
    }

    /// Whether one request more is within the limit; those beyond it count, too.
    fn is_within(&mut self, now: Timestamp) -> bool {
        let before = now.plus_seconds(self.limit.window_s.saturating_neg());
        while self.came.front().is_some_and(|came| *came <= before) {
            self.came.pop_front();
        }
        self.came.push_back(now);
        self.came.len() <= usize::try_from(self.limit.calls).unwrap_or(0)
    }
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
