//! Postbacks of version 3 in our words: these credit something to a player.

use matchpurse_domain::event::{ConversionKind, Payload, RewardPostback, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::{Currency, Money};

use crate::json::{self, DecimalText, LooseId, Text};
use crate::normalized::{NewEvent, NormalizeError, Normalized};

use super::{normalize, wire};

/// The currency of what the studio earns, whatever the players earn in.
const PAYOUT_CURRENCY: &str = "USD";

/// A conversion. `conversion_id` is the key of what is credited; `request_id` is only the delivery's.
pub(super) fn normalize(body: &[u8], currency: &Currency) -> Result<Normalized, NormalizeError> {
    let read: wire::Postback = json::read(body)?;
    // Only shown: a conversion is credited whenever it was made.
    let occurred_at = read.timestamp.as_ref().and_then(|text| normalize::time(text, "timestamp").ok());
    let data = read.data;
    let conversion_id = data.conversion_id.into_string();
    let word = data.conversion_type.map(Text::into_string).unwrap_or_default();
    let mut amount_rounded = false;
    let payload = match kind(&word) {
        Some(kind) => Payload::RewardPostback(RewardPostback {
            conversion_id: conversion_id.clone(),
            request_id: read.request_id.map(LooseId::into_string),
            player_id: PlayerId::new(data.player_id.into_string()),
            offer_id: data.offer_id.map(LooseId::into_string),
            goal_id: data.goal_id.map(LooseId::into_string),
            goal_name: data.goal_name.map(Text::into_string).filter(|name| !name.is_empty()),
            kind,
            amount: amount(kind, data.amount.as_ref(), currency, &mut amount_rounded)?,
            payout: payout(data.payout.as_ref()),
        }),
        // Nothing is credited for a word that we do not know, and nothing taken back.
        None => Payload::Unrecognized(Unrecognized {
            kind: UnrecognizedKind::UnknownStatus,
            reason: json::clip(&format!("data.conversion_type: {word:?} is none that we know")),
        }),
    };
    Ok(Normalized {
        provider_type: json::clip(&word),
        events: vec![NewEvent { subject: conversion_id, occurred_at, payload }],
        amount_rounded,
        question: None,
    })
}

/// Without a word it is a reward, as it was before the field came; its amount says what it is worth.
fn kind(word: &str) -> Option<ConversionKind> {
    match word {
        "reward" | "" => Some(ConversionKind::Reward),
        "install" => Some(ConversionKind::Install),
        "reversal" | "reversed" | "chargeback" => Some(ConversionKind::Reversal),
        _ => None,
    }
}

/// What the player gets; "can be empty or null", which credits nothing. What a reversal takes back may be written
/// below zero or above it, and zero says nothing of how much.
fn amount(
    kind: ConversionKind,
    written: Option<&DecimalText>,
    currency: &Currency,
    rounded: &mut bool,
) -> Result<Option<Money>, NormalizeError> {
    let Some(text) = written.map(DecimalText::as_str).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let reversal = kind == ConversionKind::Reversal;
    let text = if reversal { text.strip_prefix('-').unwrap_or(text) } else { text };
    let amount = json::money(text, currency, rounded, || "data.amount".to_owned())?;
    Ok(Some(amount).filter(|amount| !reversal || amount.minor_units > 0))
}

/// What the studio earns. It moves nothing here, and fractions of a cent are usual, so one that is no whole
/// number of cents stays in the raw body and is not shown, rather than failing the player's reward.
fn payout(written: Option<&DecimalText>) -> Option<Money> {
    let currency = Currency::new(PAYOUT_CURRENCY, None).ok()?;
    written?.money(&currency, &mut false, String::new).ok()
}
