//! What has not changed need not be read again: an `ETag` on what shows one thing, and 304 to who has it already.

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};
use sha2::{Digest as _, Sha256};

/// On an answer that shows one thing, as it is now.
pub(crate) struct Single;

/// It may be kept, by whoever asked, and must be asked about before it is shown again.
const KEPT_BY_ONE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Gives an answer that shows one thing its tag. It is made of the body, so it is right whatever the thing is made of.
pub(crate) async fn conditional(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = next.call(request).await?;
    if answer.status() != StatusCode::OK || !answer.response().extensions().contains::<Single>() {
        return Ok(answer);
    }
    let (request, response) = answer.into_parts();
    let (mut response, body) = response.into_parts();
    // A body of JSON is there as a whole; one that is not goes out as it is.
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(body) => return Ok(ServiceResponse::new(request, response.set_body(body))),
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
    let Ok(value) = HeaderValue::from_str(&tag) else {
        return Ok(ServiceResponse::new(request, response.set_body(BoxBody::new(bytes))));
    };
    if has(request.headers(), &tag) {
        let mut unchanged = HttpResponse::new(StatusCode::NOT_MODIFIED);
        unchanged.headers_mut().insert(ETAG, value);
        unchanged.headers_mut().insert(CACHE_CONTROL, KEPT_BY_ONE);
        return Ok(ServiceResponse::new(request, unchanged));
    }
    response.headers_mut().insert(ETAG, value);
    response.headers_mut().insert(CACHE_CONTROL, KEPT_BY_ONE);
    Ok(ServiceResponse::new(request, response.set_body(BoxBody::new(bytes))))
}

/// Half of a digest tells two states of one thing apart.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the client has what this tag stands for (RFC 9110, 13.1.2: weak tags compare alike).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = |value: &HeaderValue| {
        let Ok(text) = value.to_str() else { return false };
        text.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    };
    headers.get_all(IF_NONE_MATCH).any(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others() {
        let sent = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(text).unwrap());
            has(&headers, "\"a1\"")
        };
        for there in ["\"a1\"", "W/\"a1\"", "\"b\", \"a1\"", "*", " \"b\" ,W/\"a1\""] {
            assert!(sent(there), "{there}");
        }
        for not in ["", "a1", "\"a\"", "\"a1", "\"b\""] {
            assert!(!sent(not), "{not}");
        }
        assert!(!has(&HeaderMap::new(), "\"a1\""));
    }
}
