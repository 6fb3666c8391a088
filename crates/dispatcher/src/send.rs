use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Builder;
use http::{Request, StatusCode};
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{SigningKey, TargetUrl, sign};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use serde::Deserialize;
use uuid::Uuid;

use crate::answer;
use crate::policy::Answer;

/// How much of an answer is read, in bytes. Its status is what counts.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The header of W3C's trace context.
const TRACEPARENT: &str = "traceparent";

/// What stands in a status URL for the notice that is asked about.
const PLACE: &str = "{webhook_id}";

/// An endpoint as it is sent to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to.
    pub url: TargetUrl,
    /// Where to ask whether a notice has arrived.
    pub status_url: Option<TargetUrl>,
    /// What it is signed with.
    pub keys: Vec<SigningKey>,
    /// Whether the address may be a private one.
    pub allow_private: bool,
}

/// Sends one notice at a time; any number at once.
#[derive(Debug, Clone)]
pub struct Sender {
    open: HttpClient,
    guarded: HttpClient,
    time_limit: Duration,
}

/// What a status endpoint answers with 200.
#[derive(Deserialize)]
struct Received {
    received: bool,
}

impl Sender {
    /// A sender that waits so long for a connection and for an answer.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(connect_time_limit: Duration, time_limit: Duration) -> Result<Self, HttpError> {
        let options = |public_targets_only| HttpClientOptions {
            time_limit,
            connect_time_limit,
            response_bytes_max: RESPONSE_BYTES_MAX,
            // Whoever sets a proxy for this process does not mean the studio's webhooks, and a proxy would go where
            // we must not.
            proxy_from_environment: false,
            public_targets_only,
            user_agent: crate::USER_AGENT,
            ..HttpClientOptions::default()
        };
        let (open, guarded) = (HttpClient::new(&options(false))?, HttpClient::new(&options(true))?);
        Ok(Self { open, guarded, time_limit })
    }

    /// Sends a notice. Where it may have arrived before, and the target has somebody to ask, that is asked first; no
    /// answer there, or one that makes no sense, means that it is sent: the receiver goes by the id. `traceparent` is the
    /// place in a trace that the receiver may go on from.
    pub async fn send(
        &self,
        target: &Target,
        webhook_id: Uuid,
        body: &Bytes,
        may_have_arrived: bool,
        now: Timestamp,
        traceparent: Option<&str>,
    ) -> Answer {
        if target.keys.is_empty() {
            return Answer::NotSent { reason: "the endpoint has no secret that could be read".to_owned() };
        }
        if may_have_arrived && self.has_arrived(target, webhook_id, now).await {
            return Answer::Confirmed;
        }
        let mut request = signed(Request::post(target.url.expose()), target, webhook_id, body, now)
            .header(CONTENT_TYPE, "application/json");
        if let Some(traceparent) = traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        match request.body(body.clone()) {
            Ok(request) => answer::of_exchange(self.exchange(target, request).await, now),
            Err(_) => Answer::NotSent { reason: "the endpoint's URL is none that can be sent to".to_owned() },
        }
    }

    async fn has_arrived(&self, target: &Target, webhook_id: Uuid, now: Timestamp) -> bool {
        let id = webhook_id.to_string();
        let Some(url) = target.status_url.as_ref().and_then(|url| url.with(PLACE, &id)) else { return false };
        let nothing = Bytes::new();
        let request = signed(Request::get(url.expose()), target, webhook_id, &nothing, now)
            .header(ACCEPT, "application/json")
            .body(nothing.clone());
        let Ok(request) = request else { return false };
        match self.exchange(target, request).await {
            Ok(response) if response.status() == StatusCode::OK => {
                serde_json::from_slice(response.body()).is_ok_and(|Received { received }| received)
            }
            Ok(_) | Err(_) => false,
        }
    }

    async fn exchange(
        &self,
        target: &Target,
        request: Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = if target.allow_private { &self.open } else { &self.guarded };
        client.send_for_status(self.time_limit, request).await
    }
}

/// The three headers of Standard Webhooks. The id is that of every attempt, the time is this one's.
fn signed(request: Builder, target: &Target, webhook_id: Uuid, body: &[u8], now: Timestamp) -> Builder {
    let id = webhook_id.to_string();
    let signature = sign(&target.keys, &id, now.seconds(), body);
    request
        .header("webhook-id", id)
        .header("webhook-timestamp", now.seconds())
        .header("webhook-signature", signature)
}
