//! Traces: which part of the work on one delivery happened where and when, sent to a collector by OTLP.
//!
//! A service asks [`tracer`] for its [`Tracer`], begins [`Span`]s with it and ends them. Where nothing is
//! [`install`]ed there is no exporter: such a span is an empty one, which allocates nothing and looks at no clock.
//! An ended span goes into a queue that never makes anybody wait: when it is full, because the collector is slow or
//! away, the span is dropped and counted. One task takes spans out of it, many at a time.
//!
//! Nothing of a body, no secret and no player belongs into a span. What a caller gives to [`Span::set`] is sent as it
//! is, to whoever the operator lets look at traces.

mod context;
mod export;
mod otlp;
mod span;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::context::SpanContext;
use self::export::{Exporter, Queue};
pub use self::export::{SPANS_DROPPED, SPANS_EXPORTED, TraceError};
pub use self::span::{Kind, Span, Value};
use crate::config::{SecretUrl, SecretValue};

/// Where traces go, and how many.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// Where OTLP is taken over HTTP, with its path: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: SecretUrl,
    /// What is sent along, with its name: a token of the collector.
    pub headers: Vec<(String, SecretValue)>,
    /// The share of all traces that is sent, from 0 to 1. It follows from the trace's id, so that services which
    /// have the same share send whole traces.
    pub sample_ratio: f64,
    /// Spans that wait at most.
    pub queue_spans_max: usize,
    /// For the collector to answer, and for the end of everything at shutdown.
    pub export_timeout: Duration,
}

/// The queue of the process's exporter.
static INSTALLED: Mutex<Option<Arc<Queue>>> = Mutex::new(None);

/// Begins to send traces for this process, on the runtime that this is called on; without options it does nothing.
/// Tracers that were asked for before stay without.
///
/// # Errors
/// [`TraceError`].
pub fn install(options: Option<TraceOptions>) -> Result<Traces, TraceError> {
    let Some(options) = options else { return Ok(Traces { running: None }) };
    let limit = options.export_timeout;
    let (queue, exporter) = Exporter::new(&options)?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter.run(stop.clone()));
    let queue = Arc::new(queue);
    *INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&queue));
    Ok(Traces { running: Some(Running { queue, stop, task, limit }) })
}

/// What begins the spans of the service of this name.
pub fn tracer(service: &'static str) -> Tracer {
    let installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    Tracer::of(service, installed.as_ref())
}

/// The exporter of the process, to be ended with it.
#[must_use = "what waits to be sent is lost unless it is flushed at the end"]
pub struct Traces {
    running: Option<Running>,
}

struct Running {
    queue: Arc<Queue>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    limit: Duration,
}

impl Traces {
    /// As [`tracer`], of this exporter, whatever else was installed since.
    pub fn tracer(&self, service: &'static str) -> Tracer {
        Tracer::of(service, self.running.as_ref().map(|running| &running.queue))
    }

    /// Sends what waits, for as long as the collector may take to answer, and ends. Spans that end later are dropped.
    pub async fn flush(self) {
        let Some(Running { queue, stop, mut task, limit }) = self.running else { return };
        stop.cancel();
        if timeout(limit, &mut task).await.is_err() {
            task.abort();
            tracing::warn!(spans = queue.waiting(), "the last spans could not be sent in time");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.running.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

/// Begins the spans of one service; clones are the same.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Service>>);

/// A service of this process with where its spans go.
pub(crate) struct Service {
    name: &'static str,
    queue: Arc<Queue>,
}

impl Tracer {
    fn of(service: &'static str, queue: Option<&Arc<Queue>>) -> Self {
        Self(queue.map(|queue| Arc::new(Service { name: service, queue: Arc::clone(queue) })))
    }

    /// Whether spans go anywhere.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A span of this trace, whose sampling is decided here: for who begins a trace, or goes on with one of a
    /// stranger. `parent` is the span that it is a part of, `began` when it began.
    pub fn begin(
        &self,
        trace: u128,
        parent: Option<u64>,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> Span {
        match &self.0 {
            Some(service) if service.queue.samples(trace) => {
                Span::begun(Arc::clone(service), trace, parent, name, kind, began)
            }
            _ => Span::none(),
        }
    }

    /// A part of a span, wherever that is. An empty one where whoever began the trace has decided against it.
    pub fn child(&self, of: SpanContext, name: &'static str, kind: Kind, began: Instant) -> Span {
        if of.sampled { self.begin(of.trace, Some(of.span), name, kind, began) } else { Span::none() }
    }

    /// A span that is the first of a trace of its own, which is sent whatever the share is: for what belongs to several
    /// traces that are.
    pub fn apart(&self, name: &'static str, kind: Kind, began: Instant) -> Span {
        match &self.0 {
            Some(service) => {
                Span::begun(Arc::clone(service), context::fresh_trace(), None, name, kind, began)
            }
            None => Span::none(),
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(service) => write!(f, "Tracer({})", service.name),
            None => f.write_str("Tracer(off)"),
        }
    }
}
