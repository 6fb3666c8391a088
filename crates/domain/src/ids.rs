//! Names of things. A provider's id means something only together with its source.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The root of every name-based UUID that Matchpurse derives; fixed for ever, because keys in the ledger
/// and `webhook-id`s at the studio are made from it.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_7463_6870_8573_a0e1_0000_6c65_6467);

/// The name of a configured source: `[a-z0-9][a-z0-9_-]{0,39}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

/// Why a text is no [`SourceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no source name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit")]
pub struct SourceNameError(pub String);

impl SourceName {
    /// Takes a text as a source's name.
    ///
    /// # Errors
    /// When it is empty, longer than 40, or has other characters than the rule allows: it stands in
    /// URLs, routing keys and metric labels.
    pub fn parse(text: &str) -> Result<Self, SourceNameError> {
        let ok = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first = text.as_bytes().first().copied().is_some_and(ok);
        let rest = text.bytes().all(|c| ok(c) || c == b'-' || c == b'_');
        if first && rest && text.len() <= 40 {
            Ok(Self(text.to_owned()))
        } else {
            Err(SourceNameError(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A player's id as the provider writes it, in its source's namespace. A text always: some are UUIDs, some
/// numbers beyond 2^53.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerId(String);

impl PlayerId {
    /// Takes the provider's text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The provider's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The surrogate by which tables name this player: a UUIDv5 of the source and the id, so it can be
    /// computed anywhere without a look-up.
    pub fn key(&self, source: &SourceName) -> Uuid {
        derived_uuid("player", &[source.as_str(), &self.0])
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<&str> for PlayerId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// The content-addressed id of an event.
///
/// It is the same for every redelivery of the same bytes, and it is the inbox key. Correctness never rests
/// on it: every effect has a permanent key of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// The id of the `index`-th event of a delivery: a UUIDv8 of SHA-256 over source, method and body.
    ///
    /// `index` is 0 for the first or only event, and does not enter the hash then, so that anybody can
    /// recompute a delivery's id from its bytes alone.
    pub fn of_delivery(source: &SourceName, method: &str, body: &[u8], index: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [source.as_str(), method] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(body);
        if index > 0 {
            hash.update([0]);
            hash.update(index.to_be_bytes());
        }
        let digest = hash.finalize();
        let mut bytes = [0_u8; 16];
        bytes.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The id of the `index`-th event of a delivery that was not understood when it came and is read once more. Not
    /// the delivery's own id: what was archived under that stays as it was, and this is archived beside it.
    pub fn of_reading(delivery: Self, index: u32) -> Self {
        Self(derived_uuid("reading", &[&delivery.to_string(), &index.to_string()]))
    }

    /// Takes a UUID that was made by [`EventId::of_delivery`].
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The id as a UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A UUIDv5 that means `kind` of `parts`; the parts are length-prefixed, so that no two lists collide.
pub fn derived_uuid(kind: &str, parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(64);
    for part in std::iter::once(&kind).chain(parts) {
        name.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_depends_on_source_method_body_and_index() {
        let a = SourceName::parse("a").unwrap();
        let b = SourceName::parse("b").unwrap();
        let id = EventId::of_delivery(&a, "POST", b"{}", 0);
        assert_eq!(id, EventId::of_delivery(&a, "POST", b"{}", 0));
        for other in [
            EventId::of_delivery(&b, "POST", b"{}", 0),
            EventId::of_delivery(&a, "PUT", b"{}", 0),
            EventId::of_delivery(&a, "POST", b"{} ", 0),
            EventId::of_delivery(&a, "POST", b"{}", 1),
        ] {
            assert_ne!(id, other);
        }
        assert_eq!(id.uuid().get_version_num(), 8);
    }

    #[test]
    fn derived_uuids_do_not_collide_over_the_parts_borders() {
        assert_ne!(derived_uuid("k", &["ab", "c"]), derived_uuid("k", &["a", "bc"]));
        assert_ne!(derived_uuid("k", &["a"]), derived_uuid("k", &["a", ""]));
    }

    #[test]
    fn a_source_name_that_could_break_a_routing_key_is_refused() {
        for bad in ["", "A", "a.b", "-a", "a b", "ä", &"x".repeat(41)] {
            assert!(SourceName::parse(bad).is_err(), "{bad}");
        }
        assert!(SourceName::parse("games-eu_2").is_ok());
    }
}
