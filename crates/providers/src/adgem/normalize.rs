//! Webhooks in our words; postbacks are in `postback.rs`.

use matchpurse_domain::event::{
    OfferChange, OfferChanged, Payload, PlayerStanding, Standing, Unrecognized, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;

use crate::json::{self, DecimalText, LooseId, Text};
use crate::keys::KeyRole;
use crate::normalized::{NewEvent, NormalizeError, Normalized};
use crate::provider::Verified;
use crate::settings::AdapterSettings;
use crate::times;

use super::{postback, wire};

/// A delivery as one event. What it may be depends on the key that signed it: who learns one of the keys
/// must not be able to send the other kind.
pub(super) fn normalize(
    verified: &Verified,
    settings: &AdapterSettings,
) -> Result<Normalized, NormalizeError> {
    let body = verified.body();
    let shape: wire::Shape = json::read(body)?;
    let kind = shape.kind.map(Text::into_string);
    let is_postback = shape.data.0;
    match (verified.role(), kind) {
        (KeyRole::Postback, _) if is_postback => postback::normalize(body, &settings.policy.currency),
        (KeyRole::Webhook | KeyRole::Api, _) if is_postback => Err(another_kind()),
        (KeyRole::Postback, Some(_)) => Err(another_kind()),
        (KeyRole::Webhook | KeyRole::Api, Some(kind)) => webhook(body, kind),
        (_, None) => Ok(unknown(String::new(), "neither a type nor a conversion")),
    }
}

fn another_kind() -> NormalizeError {
    json::wrong("body", "signed with the key of another kind of delivery")
}

fn webhook(body: &[u8], kind: String) -> Result<Normalized, NormalizeError> {
    let event = match kind.as_str() {
        "offer.removed" => offer(body, OfferChange::Removed)?,
        "offer.created" => offer(body, OfferChange::Created)?,
        "offer.updated" => offer(body, OfferChange::Updated)?,
        "player.banned" => standing(body, Standing::Banned)?,
        "player.unbanned" => standing(body, Standing::Good)?,
        _ => {
            let reason = format!("type: {kind:?} is none that we know");
            return Ok(unknown(kind, &reason));
        }
    };
    Ok(Normalized { provider_type: kind, events: vec![event], amount_rounded: false, question: None })
}

/// An offer came, changed or went. Its time is required: the last writer by it wins, and one that is made
/// up would win or lose at random.
fn offer(body: &[u8], change: OfferChange) -> Result<NewEvent, NormalizeError> {
    let read: wire::OfferEvent = json::read(body)?;
    let whole: wire::OfferData<'_> = json::read(body)?;
    let changed_at = time(&read.timestamp, "timestamp")?;
    let offer_id = read.data.offer_id.into_string();
    Ok(NewEvent {
        subject: offer_id.clone(),
        occurred_at: Some(changed_at),
        payload: Payload::OfferChanged(OfferChanged {
            offer_id,
            change,
            changed_at,
            app_id: read.data.app_id.map(LooseId::into_string),
            campaign_id: read.data.campaign_id.map(LooseId::into_string),
            data: json::compact(whole.data.get()),
        }),
    })
}

/// A player was banned or let in again, at the time when that was set; `timestamp` is only when the
/// request was made, and might change when it is repeated.
fn standing(body: &[u8], standing: Standing) -> Result<NewEvent, NormalizeError> {
    let read: wire::PlayerEvent = json::read(body)?;
    let changed_at = match (&read.data.created_at, &read.timestamp) {
        (Some(created_at), _) => time(created_at, "data.created_at")?,
        (None, Some(timestamp)) => time(timestamp, "timestamp")?,
        (None, None) => return Err(json::wrong("data.created_at", "no time says when this was set")),
    };
    let player_id = PlayerId::new(read.data.player_id.into_string());
    Ok(NewEvent {
        subject: player_id.as_str().to_owned(),
        occurred_at: Some(changed_at),
        payload: Payload::PlayerStanding(PlayerStanding {
            player_id,
            standing,
            changed_at,
            reason: read.data.ban_reason.map(Text::into_string).filter(|reason| !reason.is_empty()),
        }),
    })
}

/// A time as text or in Unix seconds; the documentation of years differs.
pub(super) fn time(text: &DecimalText, field: &str) -> Result<Timestamp, NormalizeError> {
    let text = text.as_str();
    times::parse(text)
        .or_else(|| text.parse().ok().and_then(times::from_unix_seconds))
        .ok_or_else(|| json::wrong(field, "neither a time like 2024-07-11T20:26:10Z nor Unix seconds"))
}

/// Something that is verified and not understood.
fn unknown(kind: String, reason: &str) -> Normalized {
    let payload = Unrecognized { kind: UnrecognizedKind::UnknownType, reason: json::clip(reason) };
    Normalized {
        provider_type: json::clip(&kind),
        events: vec![NewEvent {
            subject: String::new(),
            occurred_at: None,
            payload: Payload::Unrecognized(payload),
        }],
        amount_rounded: false,
        question: None,
    }
}
