//! One request of the kit, as plain data.

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Builder;
use matchpurse_domain::webhook::{SigningKey, TargetUrl, sign};

/// A delivery to send; what it leaves out is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// What is special about it among those of its case.
    pub(crate) label: &'static str,
    pub(crate) id: Option<String>,
    pub(crate) timestamp: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) body: Bytes,
    /// Whether the body comes in pieces.
    pub(crate) in_pieces: bool,
}

impl Delivery {
    /// A delivery that is right in everything.
    pub(crate) fn signed(key: &SigningKey, id: String, at_s: i64, body: Bytes) -> Self {
        let signature = sign(std::slice::from_ref(key), &id, at_s, &body);
        Self {
            label: "",
            id: Some(id),
            timestamp: Some(at_s.to_string()),
            signature: Some(signature),
            body,
            in_pieces: false,
        }
    }

    pub(crate) fn labelled(self, label: &'static str) -> Self {
        Self { label, ..self }
    }

    /// The request to send, as the dispatcher's are. None if a header could not be sent, which no delivery has.
    pub(crate) fn request(&self, url: &TargetUrl) -> Option<Request<Bytes>> {
        let request = Request::post(url.expose()).header(CONTENT_TYPE, "application/json");
        self.with_headers(request).body(self.body.clone()).ok()
    }

    /// The question whether it has arrived, as the dispatcher asks it: this delivery has no body.
    pub(crate) fn question(&self, url: &TargetUrl) -> Option<Request<Bytes>> {
        let request = Request::get(url.expose()).header(ACCEPT, "application/json");
        self.with_headers(request).body(Bytes::new()).ok()
    }

    fn with_headers(&self, request: Builder) -> Builder {
        let headers = [
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ];
        headers.into_iter().fold(request, |request, (name, value)| match value {
            Some(value) => request.header(name, value),
            None => request,
        })
    }
}
