//! The bodies of games and contests, in the documented order of their fields.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A game as most deliveries have it: its fields beside the event's name.
#[derive(Debug, Serialize)]
pub(super) struct Flat<'g> {
    pub(super) event: &'static str,
    #[serde(flatten)]
    pub(super) game: &'g Game<'g>,
}

/// A game as one page of the documentation has it.
#[derive(Debug, Serialize)]
pub(super) struct Nested<'g> {
    pub(super) event: &'static str,
    pub(super) matchup: &'g Game<'g>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Game<'g> {
    pub(super) id: &'g str,
    pub(super) created_by_user_id: &'g str,
    pub(super) game_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) subtype: &'static str,
    pub(super) buy_in_amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_public: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) winner_group_id: Option<OrNull<'g>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<()>,
    pub(super) groups: Vec<Group<'g>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joined_by_user_id: Option<&'g str>,
}

/// A text, or null where the field is there but says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrNull<'g>(pub(super) Option<&'g str>);

impl Serialize for OrNull<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group<'g> {
    pub(super) group_id: &'g str,
    pub(super) name: &'g str,
    pub(super) users: Vec<User<'g>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User<'g> {
    pub(super) user_id: &'g str,
    pub(super) user_metadata: Metadata,
    pub(super) reward: Option<Reward>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Reward {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: String,
    pub(super) metadata: Option<Metadata>,
}

/// What a client sent along: an object in one shape of the deliveries, a text that holds one in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Object(&'static str),
    Text(&'static str),
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(json) => json.serialize(to),
            Self::Object(json) => RawValue::from_string((*json).to_owned()).unwrap_or_default().serialize(to),
        }
    }
}

/// The provider could not do something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureNotice<'g> {
    pub(super) event: &'static str,
    pub(super) tenant_id: &'static str,
    pub(super) entity_id: &'g str,
    pub(super) failure: Failure,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
    pub(super) request_id: String,
    pub(super) attempt: u32,
    pub(super) will_retry: bool,
}
