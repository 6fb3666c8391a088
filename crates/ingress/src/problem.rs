//! What a sender is told when a delivery is not kept: RFC 9457 problem documents.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use matchpurse_providers::NormalizeError;
use matchpurse_service_kit::problem::{MEDIA_TYPE, Problem};

use crate::refusal::Refusal;
use crate::sources::Source;

/// Too many are in work now: they take milliseconds, so the next second is soon enough.
const RETRY_AFTER_TOO_MANY_S: u32 = 1;

/// The answer to a delivery that is not kept. `retry_after_s` is what 503 advises.
pub(crate) fn answer(refusal: &Refusal, source: Option<&Source>, retry_after_s: u32) -> HttpResponse {
    let (status, name, title) = kind(refusal);
    let mut problem = Problem::new(status.as_u16(), name, title, detail(refusal));
    if let Some(source) = source {
        problem = problem.with("source", source.name.as_str());
    }
    if let Refusal::Malformed(NormalizeError { field, .. }) = refusal {
        // As a path from the body's root.
        problem = problem.with("field", field.as_str());
    }
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, MEDIA_TYPE)).insert_header((CACHE_CONTROL, "no-store"));
    match refusal {
        Refusal::MethodNotAllowed { allow } => {
            response.insert_header((ALLOW, allow.as_str()));
        }
        Refusal::RefusedTooOften { wait_s } => {
            response.insert_header((RETRY_AFTER, HeaderValue::from(*wait_s)));
        }
        Refusal::TooMany | Refusal::NoMemory => {
            response.insert_header((RETRY_AFTER, HeaderValue::from(RETRY_AFTER_TOO_MANY_S)));
        }
        Refusal::NoKey | Refusal::NoAnswer(_) | Refusal::Unavailable(_) => {
            response.insert_header((RETRY_AFTER, HeaderValue::from(retry_after_s)));
        }
        _ => {}
    }
    response.body(problem.to_json())
}

/// Status, the last part of `type`, and title.
fn kind(refusal: &Refusal) -> (StatusCode, &'static str, &'static str) {
    match refusal {
        Refusal::UnknownPath => (StatusCode::NOT_FOUND, "not-found", "Nothing is here"),
        Refusal::UnknownSource => (StatusCode::NOT_FOUND, "unknown-source", "No such source"),
        Refusal::MethodNotAllowed { .. } => {
            (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
        }
        Refusal::RefusedTooOften { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "refused-too-often", "Refused too often")
        }
        Refusal::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-deliveries", "Too many deliveries"),
        Refusal::NoMemory => (StatusCode::TOO_MANY_REQUESTS, "too-many-bytes", "Too many bytes"),
        Refusal::TooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
        }
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body took too long"),
        Refusal::BrokenBody => (StatusCode::BAD_REQUEST, "broken-body", "The body did not arrive whole"),
        Refusal::NotBelieved(_) => {
            (StatusCode::UNAUTHORIZED, "bad-signature", "The delivery is not believed")
        }
        Refusal::Malformed(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "malformed-body", "The body cannot be read")
        }
        Refusal::NoKey => (StatusCode::SERVICE_UNAVAILABLE, "no-key", "Deliveries cannot be verified now"),
        Refusal::NoAnswer(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "no-answer", "The delivery cannot be answered now")
        }
        Refusal::Unavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The delivery cannot be kept now")
        }
    }
}

fn detail(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownPath => "deliveries go to /hooks/{source}".to_owned(),
        Refusal::UnknownSource => "no source of this name is configured".to_owned(),
        Refusal::MethodNotAllowed { allow } => format!("this source takes {allow}"),
        Refusal::RefusedTooOften { wait_s } => {
            format!("too much from here was refused; wait {wait_s} s")
        }
        Refusal::TooMany => "as many deliveries are in work as may be; send it again".to_owned(),
        Refusal::NoMemory => "the bodies in work take as much memory as they may; send it again".to_owned(),
        Refusal::TooLarge { limit } => format!("this source takes bodies of up to {limit} bytes"),
        Refusal::TooSlow => "the body did not arrive in time; send it again".to_owned(),
        Refusal::BrokenBody => "the connection or the encoding broke off".to_owned(),
        // Which part was wrong would help a forger more than a provider.
        Refusal::NotBelieved(_) => "nothing in the request proves that the provider sent it".to_owned(),
        Refusal::Malformed(error) => format!("{error}; it was kept for the operators to see"),
        Refusal::NoKey => "the provider's public key could not be fetched yet; send it again".to_owned(),
        Refusal::NoAnswer(_) => "the answer could not be kept; send it again".to_owned(),
        Refusal::Unavailable(_) => "no durable storage confirmed it; send it again".to_owned(),
    }
}
