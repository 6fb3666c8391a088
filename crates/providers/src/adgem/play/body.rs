//! The bodies, in the documented order of their fields.

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Debug, Serialize)]
pub(super) struct OfferEvent<'o> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) timestamp: String,
    pub(super) data: Offer<'o>,
}

#[derive(Debug, Serialize)]
pub(super) struct Offer<'o> {
    #[serde(rename = "offerId")]
    pub(super) offer_id: &'o str,
    #[serde(rename = "appId", skip_serializing_if = "Option::is_none")]
    pub(super) app_id: Option<u64>,
    #[serde(rename = "campaignId", skip_serializing_if = "Option::is_none")]
    pub(super) campaign_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracking_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct PlayerEvent<'p> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) timestamp: String,
    pub(super) data: Player<'p>,
}

#[derive(Debug, Serialize)]
pub(super) struct Player<'p> {
    pub(super) player_id: &'p str,
    pub(super) app_id: u64,
    pub(super) ban_reason: &'static str,
    pub(super) created_at: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Postback {
    pub(super) request_id: String,
    /// Unix seconds.
    pub(super) timestamp: i64,
    pub(super) data: Conversion,
}

#[derive(Debug, Serialize)]
pub(super) struct Conversion {
    pub(super) app_id: &'static str,
    pub(super) campaign_id: String,
    pub(super) player_id: String,
    pub(super) amount: Box<RawValue>,
    pub(super) payout: Box<RawValue>,
    pub(super) all_goals_completed: u8,
    pub(super) conversion_id: String,
    pub(super) goal_name: String,
    pub(super) goal_id: String,
    pub(super) offer_id: String,
    pub(super) offer_name: &'static str,
    pub(super) tracking_type: &'static str,
    pub(super) allow_multiple_conversions: bool,
    pub(super) conversion_type: &'static str,
}
