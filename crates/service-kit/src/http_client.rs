//! An HTTP client with bounds on everything: `http::Request<Bytes>` in, `http::Response<Bytes>` out.
//!
//! Requests and responses are plain data, so the code that makes and reads them stays pure. Connections are
//! kept alive and shared by clones. Redirects are not followed: where a signed request goes is decided by
//! the configuration, not by an answer. A status of 4xx or 5xx is an answer, not an error.

mod pieces;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::Body;

pub use self::pieces::Pieces;
use crate::target::{self, ForbiddenTarget, PublicOnly};

/// The bounds of a client.
#[derive(Debug, Clone)]
pub struct HttpClientOptions {
    /// From the first byte sent to the last byte received.
    pub time_limit: Duration,
    /// For the connection, TLS included.
    pub connect_time_limit: Duration,
    /// The largest response body that is read, in bytes.
    pub response_bytes_max: usize,
    /// Idle connections kept for each host.
    pub pool_idle_per_host_max: usize,
    /// How long an idle connection is kept.
    pub pool_idle_time_limit: Duration,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are obeyed.
    pub proxy_from_environment: bool,
    /// Whether connections are made to addresses of the public internet only: for URLs that strangers give. A
    /// proxy would resolve the name itself, so none is used then.
    pub public_targets_only: bool,
    /// The `User-Agent` of requests that bring none.
    pub user_agent: &'static str,
}

impl Default for HttpClientOptions {
    /// For calls to other people's servers: 10 s, 1 MiB, 8 idle connections a host.
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(10),
            connect_time_limit: Duration::from_secs(5),
            response_bytes_max: 1024 * 1024,
            pool_idle_per_host_max: 8,
            pool_idle_time_limit: Duration::from_secs(60),
            proxy_from_environment: true,
            public_targets_only: false,
            user_agent: "service-kit",
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be made.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// The request is none: no absolute `http` or `https` URL, or a header that cannot be sent.
    #[error("the request cannot be sent as it is")]
    Request(#[source] reqwest::Error),
    /// The address is none that may be sent to, so nothing was sent.
    #[error("the target is not allowed")]
    Forbidden(#[source] ForbiddenTarget),
    /// No connection, so nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] reqwest::Error),
    /// No whole response within the limit; the request may have been acted upon.
    #[error("no response within {} ms", .limit.as_millis())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The response body is larger than the limit.
    #[error("the response is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke; the request may have been acted upon.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
}

/// The client; clones share its connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    time_limit: Duration,
    response_bytes_max: usize,
    public_targets_only: bool,
}

impl HttpClient {
    /// A client with the bounds given.
    ///
    /// On a machine without CA certificates the client is made all the same, trusting nobody: `http` works
    /// and every `https` request fails.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn new(options: &HttpClientOptions) -> Result<Self, HttpError> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(options.connect_time_limit)
                .pool_max_idle_per_host(options.pool_idle_per_host_max)
                .pool_idle_timeout(options.pool_idle_time_limit)
                .tcp_nodelay(true)
                .user_agent(options.user_agent);
            let guarded = options.public_targets_only;
            let builder = if guarded { builder.dns_resolver(PublicOnly) } else { builder };
            if options.proxy_from_environment && !guarded { builder } else { builder.no_proxy() }
        };
        let client = match builder().build() {
            Ok(client) => client,
            Err(error) => {
                let client = builder().tls_certs_only([]).build().map_err(HttpError::Setup)?;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no CA certificates, so every https request will fail; install ca-certificates"
                );
                client
            }
        };
        let HttpClientOptions { time_limit, response_bytes_max, public_targets_only, .. } = *options;
        Ok(Self { client, time_limit, response_bytes_max, public_targets_only })
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// [`HttpError`]; never for a status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send_within(self.time_limit, request).await
    }

    /// Sends a request with a time limit of its own.
    ///
    /// # Errors
    /// [`HttpError`]; never for a status.
    pub async fn send_within(
        &self,
        limit: Duration,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let response = self.exchange(request.map(Body::from), limit).await?;
            self.read(response, limit).await
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(HttpError::Timeout { limit }))
    }

    /// Sends a request whose answer is its status: of the body, as much as is there before it grows too large,
    /// breaks, or takes longer than the limit.
    ///
    /// # Errors
    /// [`HttpError`], but neither for a status nor for a body.
    pub async fn send_for_status(
        &self,
        limit: Duration,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, HttpError> {
        self.exchange_for_status(limit, request.map(Body::from)).await
    }

    /// As [`Self::send_for_status`], as a slow sender does it: the head at once, the body in pieces.
    ///
    /// # Errors
    /// As there. The limit holds for the pieces too.
    pub async fn send_in_pieces_for_status(
        &self,
        limit: Duration,
        pieces: Pieces,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, HttpError> {
        self.exchange_for_status(limit, request.map(|body| pieces.body(body))).await
    }

    async fn exchange_for_status(
        &self,
        limit: Duration,
        request: Request<Body>,
    ) -> Result<Response<Bytes>, HttpError> {
        let until = tokio::time::Instant::now() + limit;
        let mut response = tokio::time::timeout_at(until, self.exchange(request, limit))
            .await
            .unwrap_or(Err(HttpError::Timeout { limit }))?;
        let mut body = BytesMut::new();
        while body.len() < self.response_bytes_max
            && let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(until, response.chunk()).await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(self.response_bytes_max);
        Ok(answer(response, body))
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<reqwest::Response, HttpError> {
        let request = reqwest::Request::try_from(request).map_err(HttpError::Request)?;
        // An address needs no resolver, so it is judged here.
        if self.public_targets_only
            && let Some(address) = target::literal(request.url())
            && !target::is_public(address)
        {
            return Err(HttpError::Forbidden(ForbiddenTarget(address)));
        }
        self.client.execute(request).await.map_err(|error| classify(error, limit))
    }

    async fn read(
        &self,
        mut response: reqwest::Response,
        limit: Duration,
    ) -> Result<Response<Bytes>, HttpError> {
        let too_large = HttpError::TooLarge { limit: self.response_bytes_max };
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > self.response_bytes_max) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(error, limit))? {
            if body.len() + chunk.len() > self.response_bytes_max {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer(response, body))
    }
}

fn answer(mut response: reqwest::Response, body: BytesMut) -> Response<Bytes> {
    let mut answer = Response::new(body.freeze());
    *answer.status_mut() = response.status();
    *answer.version_mut() = response.version();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    answer
}

/// Errors go without their URL: a path or query may hold a token, and the caller knows where it sent.
fn classify(error: reqwest::Error, limit: Duration) -> HttpError {
    if let Some(forbidden) = target::forbidden(&error) {
        return HttpError::Forbidden(forbidden);
    }
    let error = error.without_url();
    // A connect that timed out sent nothing either, so it is a connect error first.
    if error.is_connect() {
        HttpError::Connect(error)
    } else if error.is_timeout() {
        HttpError::Timeout { limit }
    } else if error.is_builder() {
        HttpError::Request(error)
    } else {
        HttpError::Broken(error)
    }
}
