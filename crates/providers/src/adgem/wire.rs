//! The bodies as they are sent.
//!
//! Case styles differ by family: `offerId` of an offer, `player_id` of a player, `offer_id` of a postback.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{DecimalText, LooseId, Text, loose_id_or_none};

/// The fields by which a webhook and a postback are told apart.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    #[serde(default)]
    pub(super) data: HasConversion,
}

/// Whether `data` is that of a postback: an object with a `conversion_id`. An event that we do not know may
/// have anything there, so nothing else is asked of it.
#[derive(Debug, Default)]
pub(super) struct HasConversion(pub(super) bool);

impl<'de> Deserialize<'de> for HasConversion {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(from)?.get();
        if !raw.starts_with('{') {
            return Ok(Self(false));
        }
        // A key that cannot be read (half a surrogate pair) makes it no data that anybody could read.
        Ok(serde_json::Deserializer::from_str(raw).deserialize_map(FindsConversion).unwrap_or_default())
    }
}

struct FindsConversion;

impl<'de> Visitor<'de> for FindsConversion {
    type Value = HasConversion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<HasConversion, A::Error> {
        let mut found = false;
        while let Some(name) = fields.next_key::<String>()? {
            let is_set = fields.next_value::<Option<IgnoredAny>>()?.is_some();
            found |= is_set && name == "conversion_id";
        }
        Ok(HasConversion(found))
    }
}

/// `offer.removed`, `offer.created`, `offer.updated`.
#[derive(Debug, Deserialize)]
pub(super) struct OfferEvent {
    /// Text of a time, or Unix seconds as a number or text: the documentation has said all of them.
    pub(super) timestamp: DecimalText,
    pub(super) data: Offer,
}

/// The same, with the offer's data as it stands there: what else is said of an offer differs by type and by
/// year, and is kept whole.
#[derive(Debug, Deserialize)]
pub(super) struct OfferData<'b> {
    #[serde(borrow)]
    pub(super) data: &'b RawValue,
}

/// What is read of an offer's data.
#[derive(Debug, Deserialize)]
pub(super) struct Offer {
    /// 15 to 19 digits, beyond 2^53.
    #[serde(rename = "offerId")]
    pub(super) offer_id: LooseId,
    #[serde(default, rename = "appId", deserialize_with = "loose_id_or_none")]
    pub(super) app_id: Option<LooseId>,
    #[serde(default, rename = "campaignId", deserialize_with = "loose_id_or_none")]
    pub(super) campaign_id: Option<LooseId>,
}

/// `player.banned`, `player.unbanned`.
#[derive(Debug, Deserialize)]
pub(super) struct PlayerEvent {
    /// When the request was made.
    pub(super) timestamp: Option<DecimalText>,
    pub(super) data: Player,
}

/// The player's standing.
#[derive(Debug, Deserialize)]
pub(super) struct Player {
    pub(super) player_id: LooseId,
    pub(super) ban_reason: Option<Text>,
    /// When the ban was set or lifted.
    pub(super) created_at: Option<DecimalText>,
}

/// A postback of version 3.
#[derive(Debug, Deserialize)]
pub(super) struct Postback {
    #[serde(default, deserialize_with = "loose_id_or_none")]
    pub(super) request_id: Option<LooseId>,
    /// Unix seconds here.
    pub(super) timestamp: Option<DecimalText>,
    pub(super) data: Conversion,
}

/// What a player has earned.
#[derive(Debug, Deserialize)]
pub(super) struct Conversion {
    pub(super) conversion_id: LooseId,
    pub(super) player_id: LooseId,
    #[serde(default, deserialize_with = "loose_id_or_none")]
    pub(super) offer_id: Option<LooseId>,
    #[serde(default, deserialize_with = "loose_id_or_none")]
    pub(super) goal_id: Option<LooseId>,
    pub(super) goal_name: Option<Text>,
    pub(super) conversion_type: Option<Text>,
    /// What the player gets, in the studio's own coin; "can be empty or null".
    pub(super) amount: Option<DecimalText>,
    /// What the studio earns, in dollars.
    pub(super) payout: Option<DecimalText>,
}
