use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::traceparent;

/// A span's place among all: its trace and its own id, neither of them 0, and whether it is sent. As text it is the
/// value of W3C's `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether who began the trace wants it sent.
    pub sampled: bool,
}

impl SpanContext {
    /// Reads a `traceparent`; `None` when it is not valid.
    pub fn parse(value: &str) -> Option<Self> {
        let text = traceparent::read(value.as_bytes())?;
        let mut parts = text.split('-').skip(1);
        let trace = u128::from_str_radix(parts.next()?, 16).ok()?;
        let span = u64::from_str_radix(parts.next()?, 16).ok()?;
        let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// The same place in a trace that is not sent.
    #[must_use]
    pub const fn unsampled(self) -> Self {
        Self { sampled: false, ..self }
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, sampled } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(*sampled))
    }
}

/// An id that no other span has: numbers in a row, hashed with keys that the system draws for each process.
pub(super) fn fresh() -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    KEYS.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)).max(1)
}

/// The id of a new trace.
pub(super) fn fresh_trace() -> u128 {
    (u128::from(fresh()) << 64) | u128::from(fresh())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_and_written_as_the_standard_has_it() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = SpanContext::parse(text).unwrap();
        assert_eq!((context.span, context.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), text);
        let unsampled = format!("{}00", &text[..53]);
        assert_eq!(context.unsampled().to_string(), unsampled);
        // Of the flags only the first bit is known.
        assert_eq!(SpanContext::parse(&format!("{}fe", &text[..53])), Some(context.unsampled()));
        assert_eq!(SpanContext::parse("00-0"), None);
    }

    #[test]
    fn no_id_comes_twice_or_is_zero() {
        let ids: std::collections::BTreeSet<u64> = (0..10_000).map(|_| fresh()).collect();
        assert_eq!((ids.len(), ids.contains(&0)), (10_000, false));
        assert_ne!(fresh_trace() >> 64, 0);
    }
}
