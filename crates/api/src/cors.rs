//! Which pages of other origins may read the answers in a browser: none, unless the configuration names them. No cookie
//! is ever taken, so what is allowed is only what a page can do with a token that it has.

use std::collections::BTreeSet;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::api::Api;

/// The origins of the configuration, as browsers write them.
pub(crate) struct Origins(BTreeSet<String>);

/// Every method of the API; which of them a resource takes is its own business.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What a client may send, and what it may read.
const SENT: &str =
    "authorization, content-type, idempotency-key, if-none-match, last-event-id, traceparent, x-request-id";
const READ: &str = "allow, etag, location, retry-after, www-authenticate, x-request-id";
/// How long a browser may remember the answer, in seconds.
const MAX_AGE_S: &str = "600";

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.iter().cloned().collect())
    }

    /// The request's origin, if it is one of these.
    fn allowed(&self, request: &ServiceRequest) -> Option<HeaderValue> {
        let origin = request.headers().get(ORIGIN)?;
        self.0.contains(origin.to_str().ok()?).then(|| origin.clone())
    }
}

/// Answers what browsers ask before a request, and says on every answer whether the page may read it.
pub(crate) async fn cors(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let origins = request.app_data::<web::Data<Api>>().map(|api| &api.origins);
    let Some(origins) = origins.filter(|origins| !origins.0.is_empty()) else {
        return next.call(request).await;
    };
    let allowed = origins.allowed(&request);
    let asks_before =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = if allowed.is_some() && asks_before {
        let answer = HttpResponse::NoContent()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, SENT))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_S))
            .finish();
        request.into_response(answer)
    } else {
        next.call(request).await?
    };
    // What lies between must not give one origin's answer to another.
    answer.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
    Ok(answer)
}
