use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode, Uri};
use metrics::counter;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::span::Record;
use super::{TraceOptions, context, otlp};
use crate::http_client::{HttpClient, HttpClientOptions, HttpError};

/// Spans that the collector has taken.
pub const SPANS_EXPORTED: &str = "matchpurse_otlp_spans_exported_total";

/// Spans that were dropped, by `reason`: `full`, because too many waited, or `not_taken`, because the collector was away
/// for too long or refused them.
pub const SPANS_DROPPED: &str = "matchpurse_otlp_spans_dropped_total";

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;

/// How long the first span of a request waits for others.
const EXPORT_EVERY: Duration = Duration::from_secs(1);

/// How often a request is made before its spans are dropped, and the pause after the first time, which doubles. All the
/// while the queue fills, so there is no use in being more patient.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// How much of an answer is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The bits of a trace's id that are random by W3C's second level, and in a UUID of version 4, 5 or 7.
const RANDOM_BITS: u32 = 56;

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not a URL.
    #[error("the collector's endpoint is no URL of http or https")]
    Endpoint(#[source] http::uri::InvalidUri),
    /// Not a header, or a secret that cannot be one's value.
    #[error("the header {name} for the collector cannot be sent")]
    Header {
        /// Its name.
        name: String,
    },
    /// No client.
    #[error("cannot set up the HTTP client for the collector")]
    Client(#[source] HttpError),
}

/// Where ended spans wait; who puts them there never does.
pub(crate) struct Queue {
    spans: Sender<Record>,
    /// Traces whose random bits are below this are not sent.
    begins_at: u64,
}

impl Queue {
    pub(super) fn samples(&self, trace: u128) -> bool {
        let random = trace & ((1 << RANDOM_BITS) - 1);
        random >= u128::from(self.begins_at)
    }

    pub(super) fn send(&self, span: Record) {
        if let Err(error) = self.spans.try_send(span) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "full",
                mpsc::error::TrySendError::Closed(_) => "not_taken",
            };
            dropped(reason, 1);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.spans.max_capacity().saturating_sub(self.spans.capacity())
    }
}

fn dropped(reason: &'static str, spans: u64) {
    counter!(SPANS_DROPPED, "reason" => reason).increment(spans);
}

/// Takes spans out of the queue and sends them.
pub(super) struct Exporter {
    spans: Receiver<Record>,
    client: HttpClient,
    endpoint: Uri,
    headers: HeaderMap,
    /// What this process is called beside others of its kind.
    instance: String,
    failing: bool,
}

/// What went wrong with a request, and whether the same may go well later.
struct Problem {
    what: String,
    passes: bool,
}

impl Exporter {
    pub(super) fn new(options: &TraceOptions) -> Result<(Queue, Self), TraceError> {
        let (spans, received) = mpsc::channel(options.queue_spans_max.max(1));
        let share = (1.0 - options.sample_ratio.clamp(0.0, 1.0)) * 2_f64.powi(56);
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: options.export_timeout,
            connect_time_limit: options.export_timeout,
            response_bytes_max: RESPONSE_BYTES_MAX,
            pool_idle_per_host_max: 1,
            // A collector is near, and whoever sets a proxy for this process does not mean it.
            proxy_from_environment: false,
            user_agent: concat!("Matchpurse/", env!("CARGO_PKG_VERSION")),
            ..HttpClientOptions::default()
        })
        .map_err(TraceError::Client)?;
        let exporter = Self {
            spans: received,
            client,
            endpoint: options.endpoint.expose().parse().map_err(TraceError::Endpoint)?,
            headers: headers(options)?,
            instance: format!("{:032x}", context::fresh_trace()),
            failing: false,
        };
        Ok((Queue { spans, begins_at: share as u64 }, exporter))
    }

    /// Until `stop`, and then until the queue is empty.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while self.fill(&mut batch, &stop).await {
            self.export(&mut batch, &stop).await;
        }
        self.spans.close();
        loop {
            let room = BATCH_SPANS_MAX.saturating_sub(batch.len());
            self.spans.recv_many(&mut batch, room).await;
            if batch.is_empty() {
                return;
            }
            self.export(&mut batch, &stop).await;
        }
    }

    /// Waits for a span, and a little for more of them. False when it is time to end.
    async fn fill(&mut self, batch: &mut Vec<Record>, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            received = self.spans.recv_many(batch, BATCH_SPANS_MAX) => if received == 0 { return false },
        }
        let until = Instant::now() + EXPORT_EVERY;
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = sleep_until(until) => break,
                received = self.spans.recv_many(batch, room) => if received == 0 { return false },
            }
        }
        true
    }

    /// Sends a batch, again and again for a while, and leaves it empty.
    async fn export(&mut self, batch: &mut Vec<Record>, stop: &CancellationToken) {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = otlp::request(&self.instance, batch);
        batch.clear();
        let mut pause = PAUSE;
        for tried in 1.. {
            let problem = match self.send(body.clone()).await {
                Ok(rejected) => return self.taken(spans, rejected.min(spans)),
                Err(problem) => problem,
            };
            if !self.failing {
                self.failing = true;
                tracing::warn!(
                    problem = problem.what,
                    "the collector takes no spans; they are dropped meanwhile"
                );
            }
            if !problem.passes || tried >= TRIES_MAX || stop.is_cancelled() {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause *= 2;
        }
        dropped("not_taken", spans);
    }

    fn taken(&mut self, spans: u64, rejected: u64) {
        counter!(SPANS_EXPORTED).increment(spans.saturating_sub(rejected));
        if rejected > 0 {
            dropped("not_taken", rejected);
        }
        if self.failing {
            self.failing = false;
            tracing::info!("the collector takes spans again");
        }
    }

    /// Returns how many of the spans the collector has left out.
    async fn send(&self, body: Bytes) -> Result<u64, Problem> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        // The error knows no URL; its causes may say more than should be in a log.
        let failed = |error: HttpError| Problem { what: error.to_string(), passes: true };
        let response = self.client.send(request).await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(otlp::rejected(response.body()));
        }
        let passes = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        Err(Problem { what: format!("it answered {status}"), passes: passes.contains(&status) })
    }
}

fn headers(options: &TraceOptions) -> Result<HeaderMap, TraceError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, secret) in &options.headers {
        let refused = || TraceError::Header { name: name.clone() };
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| refused())?, value);
    }
    Ok(headers)
}
