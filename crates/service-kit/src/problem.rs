//! RFC 9457 problem documents: what an HTTP service says when it does not do what it was asked.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What stands before a problem's name in `type`.
const TYPE_PREFIX: &str = "urn:matchpurse:problem:";

/// One problem document. Its members come in the order type, title, status, detail, then the others as they were
/// added.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The last part of `type`, in words and hyphens. It is what a program decides by, so it never changes.
    pub name: &'static str,
    /// What the problem is called, the same for every problem of this name.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What is the matter this time, for a person.
    pub detail: String,
    /// What else a program can read.
    pub more: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem without other members.
    pub fn new(status: u16, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { name, title, status, detail: detail.into(), more: Vec::new() }
    }

    /// With another member.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.more.push((member, value.into()));
        self
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts, numbers and values always serialize; an empty body would still go with the status.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.more.len().saturating_add(4)))?;
        map.serialize_entry("type", &format_args!("{TYPE_PREFIX}{}", self.name))?;
        map.serialize_entry("title", self.title)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("detail", &self.detail)?;
        for (member, value) in &self.more {
            map.serialize_entry(member, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_in_which_they_were_added() {
        let problem =
            Problem::new(409, "no-money", "Not enough money", "3 are there").with("z", 3).with("a", "b");
        insta::assert_snapshot!(
            String::from_utf8(problem.to_json()).unwrap(),
            @r#"{"type":"urn:matchpurse:problem:no-money","title":"Not enough money","status":409,"detail":"3 are there","z":3,"a":"b"}"#
        );
    }
}
