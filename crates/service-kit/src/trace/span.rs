use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Service;
use super::context::{SpanContext, fresh};

/// The longest text of an attribute, in characters: what providers write into their types is theirs.
const TEXT_CHARS_MAX: usize = 128;

/// The most other spans that one is linked with.
const LINKS_MAX: usize = 128;

/// What a span does for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of our own work.
    Internal,
    /// It answers a request.
    Server,
    /// It makes a request and waits for the answer.
    Client,
    /// It hands on a message.
    Producer,
    /// It does what a message asks for.
    Consumer,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words of ours, or a name of the configuration.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// A part of the work, from its beginning until [`Span::end`]; or an empty one, with which nothing is done. Dropped
/// without its end it is sent as abandoned.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

struct Open {
    service: Arc<Service>,
    began: Instant,
    record: Record,
}

/// What is sent of a span.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) context: SpanContext,
    pub(super) parent: Option<u64>,
    pub(super) links: Vec<SpanContext>,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why it failed, in a word.
    pub(super) error: Option<Cow<'static, str>>,
}

impl Span {
    /// An empty one.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(super) fn begun(
        service: Arc<Service>,
        trace: u128,
        parent: Option<u64>,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> Self {
        let record = Record {
            service: service.name,
            name,
            kind,
            context: SpanContext { trace, span: fresh(), sampled: true },
            parent,
            links: Vec::new(),
            started: SystemTime::now().checked_sub(began.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
            took: Duration::ZERO,
            attributes: Vec::new(),
            error: None,
        };
        Self(Some(Box::new(Open { service, began, record })))
    }

    /// Whether it is not an empty one: what is said of it goes somewhere.
    pub const fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Its place, for its parts, wherever they are.
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|open| open.record.context)
    }

    /// Says something about it. No text of a body, no secret, no player.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.record.attributes.push((name, value.into()));
        }
    }

    /// Links it with a span that it is no part of; beyond a hundred or so they are left out.
    pub fn link(&mut self, with: SpanContext) {
        if let Some(open) = &mut self.0
            && open.record.links.len() < LINKS_MAX
        {
            open.record.links.push(with);
        }
    }

    /// Says that it failed, and why in a word.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.record.error = Some(why.into());
        }
    }

    /// Ends it now.
    pub fn end(mut self) {
        self.send();
    }

    fn send(&mut self) {
        if let Some(open) = self.0.take() {
            let Open { service, began, mut record } = *open;
            record.took = began.elapsed();
            service.queue.send(record);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Whoever hangs up ends the work on its request where it stands.
        self.fail("abandoned");
        self.send();
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.record.name, self.record.context)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(mut text: String) -> Self {
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
        }
        Self::Text(Cow::Owned(text))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
