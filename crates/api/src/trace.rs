//! The trace that a request belongs to.

use actix_web::http::header::HeaderMap;
use matchpurse_service_kit::traceparent;
use sha2::{Digest as _, Sha256};

/// Of the request's `traceparent`, or of our own making for a request that brings none: it follows from the request's id,
/// so that whoever has that finds the trace.
pub(crate) fn id(headers: &HeaderMap, request_id: &str) -> String {
    let mut values = headers.get_all("traceparent");
    let sent = match (values.next(), values.next()) {
        (Some(value), None) => traceparent::read(value.as_bytes()),
        _ => None,
    };
    match sent {
        // Version 00 is two digits, a hyphen, and the trace's 32.
        Some(text) => text.chars().skip(3).take(32).collect(),
        None => Sha256::digest(request_id).iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_clients_trace_is_taken_when_it_is_one() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            let name = HeaderName::from_static("traceparent");
            values
                .iter()
                .for_each(|value| headers.append(name.clone(), HeaderValue::from_str(value).unwrap()));
            id(&headers, "request")
        };
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(&[sent]), "4bf92f3577b34da6a3ce929d0e0e4736");
        let own = of(&[]);
        assert_eq!((own.len(), own == id(&HeaderMap::new(), "another")), (32, false));
        for bad in [&["00-0"][..], &[sent, sent]] {
            assert_eq!(of(bad), own);
        }
    }
}
