//! The bodies as they are sent. Fields that move nothing here are left out: they stay in the raw body.
//!
//! Everything that a page of the documentation calls nullable, or that one shape has and another lacks, is
//! an `Option`; what a delivery means nothing without is not.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{DecimalText, Id, JsonText, LooseId, Text, id_or_none};

/// As much of any body as tells which one it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) event: Option<Text>,
    #[serde(default)]
    pub(super) matchup: IsObject,
    #[serde(default)]
    pub(super) intent_id: IsThere,
    #[serde(default)]
    pub(super) converted_amount: IsThere,
}

/// Whether a field is an object.
#[derive(Default)]
pub(super) struct IsObject(pub(super) bool);

/// Whether a field is there, be it null.
#[derive(Default)]
pub(super) struct IsThere(pub(super) bool);

/// Whether a body wants a conversion, when nothing else can be read of it: so it asks nothing of any field,
/// not even that it stands there once.
#[derive(Default)]
pub(super) struct ConversionMarks {
    /// The values of `event`, as far as they are texts.
    pub(super) events: Vec<String>,
    /// Whether `intentId` is there, be it null.
    pub(super) has_intent: bool,
    /// What it is, if that is an id.
    pub(super) intent_id: Option<LooseId>,
    pub(super) has_converted_amount: bool,
}

/// A body whose game or tournament stands one level deeper.
#[derive(Deserialize)]
pub(super) struct Nested<T> {
    pub(super) matchup: T,
}

/// A recreational game.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Game {
    pub(super) id: Id,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) created_by_user_id: Option<Id>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) game_id: Option<Id>,
    pub(super) status: Option<Text>,
    pub(super) subtype: Option<Text>,
    pub(super) buy_in_amount: Option<DecimalText>,
    /// What the REST interface calls `buyInAmount`.
    pub(super) buy_in: Option<DecimalText>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) winner_group_id: Option<Id>,
    /// What the REST interface calls `winnerGroupId`.
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) winning_group_id: Option<Id>,
    pub(super) groups: Option<Vec<GameGroup>>,
    /// Who joined, in `RecreationalGameJoined`.
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) joined_by_user_id: Option<Id>,
}

/// What may stand beside a game or a matchup, where that is one level deeper.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPlayer {
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) joined_by_user_id: Option<Id>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) accepted_by_user_id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GameGroup {
    pub(super) group_id: Id,
    pub(super) name: Option<Text>,
    pub(super) users: Option<Vec<GameUser>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GameUser {
    pub(super) user_id: Id,
    pub(super) reward: Option<GameReward>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GameReward {
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    pub(super) value: Option<JsonText>,
    pub(super) metadata: Option<JsonText>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) intent_id: Option<Id>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) id: Option<Id>,
}

/// A free-to-play matchup.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FreeToPlay {
    pub(super) id: Id,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) created_by_user_id: Option<Id>,
    pub(super) groups: Option<Vec<FreeToPlayGroup>>,
    /// Who accepted, in `FtpMatchupAccepted`.
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) accepted_by_user_id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FreeToPlayGroup {
    pub(super) group_id: Id,
    pub(super) users: Option<Vec<FreeToPlayUser>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FreeToPlayUser {
    pub(super) user_id: Id,
    pub(super) tenant_reward: Option<TenantReward>,
}

/// What the studio gives: named in full before a contest, without `id` after it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TenantReward {
    pub(super) id: Option<JsonText>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) intent_id: Option<Id>,
    pub(super) metadata: Option<JsonText>,
}

/// How a free-to-play matchup ended.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contest {
    pub(super) matchup_id: Id,
    pub(super) user_id: Id,
    /// The documentation's odd plural.
    #[serde(alias = "userOutcomes")]
    pub(super) users_outcomes: Vec<UserOutcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserOutcome {
    pub(super) user_id: Id,
    pub(super) outcome: Text,
    pub(super) reward: Option<TenantReward>,
}

/// What stands beside a tournament.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TournamentHead {
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) new_user_id: Option<Id>,
    pub(super) compliance_limits: Option<JsonText>,
}

/// A tournament: a pool with a list of what each place wins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tournament {
    pub(super) id: Id,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    pub(super) status: Option<Text>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) game_id: Option<Id>,
    pub(super) buy_in_amount: Option<DecimalText>,
    pub(super) reward_structure: Option<Vec<Tier>>,
    pub(super) users: Option<Vec<Entrant>>,
}

/// What one place wins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tier {
    /// Dollars, percent or a studio's word, by the tournament's type.
    pub(super) value: Option<JsonText>,
    #[serde(default, deserialize_with = "id_or_none")]
    pub(super) user_id: Option<Id>,
    pub(super) tier_net_amount: Option<DecimalText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entrant {
    pub(super) user_id: Id,
    pub(super) reward_net_amount: Option<DecimalText>,
}

/// The provider could not complete something.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureNotice {
    pub(super) entity_id: Id,
    pub(super) failure: Failure,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    pub(super) code: Option<Text>,
    pub(super) reason: Option<Text>,
    pub(super) request_id: Option<JsonText>,
    pub(super) attempt: Option<JsonText>,
    pub(super) will_retry: Option<JsonText>,
}

/// A player signed up, was identified or paid in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Player<'b> {
    pub(super) user_id: Id,
    #[serde(borrow)]
    pub(super) properties: Option<&'b RawValue>,
}

/// Of a payment; no page tells the types.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deposit {
    pub(super) amount: Option<JsonText>,
    pub(super) transaction_status: Option<JsonText>,
    pub(super) transaction_id: Option<JsonText>,
}

/// A player wants money turned into the studio's credit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Withdrawal {
    pub(super) intent_id: Id,
    pub(super) user_id: Id,
    pub(super) amount: DecimalText,
    pub(super) converted_amount: DecimalText,
    pub(super) conversion_metadata: Option<JsonText>,
}

/// The ids that a body of an unknown event may have.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AnyIds {
    pub(super) id: Option<JsonText>,
    pub(super) matchup_id: Option<JsonText>,
    pub(super) entity_id: Option<JsonText>,
    pub(super) user_id: Option<JsonText>,
}

impl<'de> Deserialize<'de> for ConversionMarks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FindsMarks)
    }
}

struct FindsMarks;

impl<'de> Visitor<'de> for FindsMarks {
    type Value = ConversionMarks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<ConversionMarks, A::Error> {
        let mut marks = ConversionMarks::default();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value::<&RawValue>()?;
            match name.as_str() {
                "event" => marks.events.extend(serde_json::from_str::<String>(value.get()).ok()),
                "intentId" => {
                    marks.has_intent = true;
                    marks.intent_id = LooseId::deserialize(value).ok();
                }
                "convertedAmount" => marks.has_converted_amount = true,
                _ => {}
            }
        }
        Ok(marks)
    }
}

impl<'de> Deserialize<'de> for IsObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(from).map(|value| Self(value.get().starts_with('{')))
    }
}

impl<'de> Deserialize<'de> for IsThere {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self(true))
    }
}
