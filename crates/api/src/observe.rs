//! What is left of a request: its id in the answer, one line in the log, one count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;

use crate::auth::{self, Actor};
use crate::failure::Cause;
use crate::{metrics, trace};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A longer one is no id.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Every path that is none of ours, in log and metrics.
const ASTRAY: &str = "astray";

/// Gives the request an id, and writes of it when it is answered. What changes something is always logged.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let id = sent_id(request.headers()).unwrap_or_else(own_id);
    let (asked, method) = (request.method().clone(), known(request.method()));
    let trace_id = trace::id(request.headers(), &id);
    let span = tracing::info_span!("request", request_id = id, trace_id);
    let mut answer = next.call(request).instrument(span).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(X_REQUEST_ID, value);
    }
    let status = answer.status().as_u16();
    let route = answer.request().match_pattern().unwrap_or_else(|| ASTRAY.to_owned());
    let took = began.elapsed();
    metrics::answered(&route, method, status, took);
    let extensions = answer.request().extensions();
    let actor = extensions.get::<Actor>().map(Actor::as_str);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status >= 500 {
        let answered = answer.response().extensions();
        let cause = answered.get::<Cause>().map(|cause| cause.0.as_str());
        tracing::error!(request_id = id, trace_id, actor, method, route, status, took_ms, cause, "failed");
    } else if auth::only_looks(&asked, &route) || actor.is_none() {
        // What anybody can cause must not fill the log: strangers' requests are counted, and shown at this level.
        tracing::debug!(request_id = id, trace_id, actor, method, route, status, took_ms, "answered");
    } else {
        tracing::info!(request_id = id, trace_id, actor, method, route, status, took_ms, "answered");
    }
    drop(extensions);
    Ok(answer)
}

/// Anybody can invent methods; what is counted is bounded.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The client's id, where it is one that can stand in a log.
fn sent_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let good = (1..=REQUEST_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(sane);
    good.then(|| text.to_owned())
}

/// An id that no other request has: of the process, the moment and a count. It need not be hard to guess.
fn own_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(std::process::id().to_be_bytes());
    hash.update(since.as_nanos().to_be_bytes());
    hash.update(COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(hash.finalize().iter()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_taken_when_it_can_stand_in_a_log() {
        let sent = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            sent_id(&headers)
        };
        let longest = "a".repeat(REQUEST_ID_LENGTH_MAX);
        for good in ["7", "0f-8_a.B:1", &longest] {
            assert_eq!(sent(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "{\"a\":1}", "ä", "a\"b", &format!("{longest}a")] {
            assert_eq!(sent(bad), None, "{bad}");
        }
        assert_ne!(own_id(), own_id());
    }
}
