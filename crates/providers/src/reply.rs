use bytes::Bytes;
use matchpurse_domain::event::Payload;

/// What became of a verified delivery, as far as its sender is told.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'e> {
    /// On durable storage: its effects will be applied, or it is parked.
    Kept {
        /// What it said.
        payloads: &'e [&'e Payload],
    },
}

/// What the sender is answered; failures are the ingress's own and the same for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type of the body, when there is one.
    pub content_type: Option<&'static str>,
    /// The body; may be empty.
    pub body: Bytes,
}

impl Reply {
    /// 200 with nothing in it.
    pub const fn ok() -> Self {
        Self { status: 200, content_type: None, body: Bytes::new() }
    }

    /// 200 with a JSON body.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: Some("application/json"), body: body.into() }
    }
}
