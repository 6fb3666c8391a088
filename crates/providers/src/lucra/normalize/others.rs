//! What is about no match: players, conversions, failures, and what we do not know.

use matchpurse_domain::event::{
    Activity, CreditConversion, Payload, PlayerActivity, ProviderFailure, Unrecognized, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;

use super::{CONVERSION, Reading, event};
use crate::json::{self, JsonText, LooseId, Text};
use crate::lucra::conversion::Policy;
use crate::lucra::wire::{AnyIds, ConversionMarks, Deposit, FailureNotice, Nested, Player, Withdrawal};
use crate::normalized::{NewEvent, NormalizeError};
use crate::settings::AdapterSettings;

pub(super) fn failure(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let FailureNotice { entity_id, failure } = json::read(delivery.body)?;
    let entity_id = entity_id.into_string();
    let payload = Payload::ProviderFailure(ProviderFailure {
        entity_id: entity_id.clone(),
        code: failure.code.map_or_else(String::new, Text::into_string),
        reason: failure.reason.map_or_else(String::new, Text::into_string),
        request_id: failure.request_id.and_then(JsonText::into_non_empty),
        attempt: failure.attempt.and_then(|text| text.as_str().parse().ok()),
        will_retry: failure.will_retry.and_then(|text| text.as_str().parse().ok()),
    });
    event(entity_id, Ok(payload))
}

pub(super) fn signed_up(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let player: Player<'_> = json::read(delivery.body)?;
    activity(player, Activity::SignedUp)
}

pub(super) fn identified(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let player: Player<'_> = json::read(delivery.body)?;
    activity(player, Activity::IdentityVerified)
}

/// Nothing here depends on the payment's properties, and no page tells their types: what cannot be read is
/// left out.
pub(super) fn paid_in(delivery: &mut Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let player: Player<'_> = json::read(delivery.body)?;
    let deposit: Deposit = player
        .properties
        .and_then(|properties| json::read(properties.get().as_bytes()).ok())
        .unwrap_or_default();
    let amount = deposit.amount.and_then(|text| delivery.money_of_text(text.as_str(), "amount").ok());
    let text = |text: JsonText| text.into_non_empty().map(|text| json::clip(&text));
    let funds = Activity::FundsDeposited {
        amount,
        transaction_id: deposit.transaction_id.and_then(text),
        status: deposit.transaction_status.and_then(text),
    };
    activity(player, funds)
}

/// The provider holds the player's money until it has our answer.
pub(super) fn conversion(
    delivery: &mut Reading<'_>,
    settings: &AdapterSettings,
) -> Result<NewEvent, NormalizeError> {
    let wish: Withdrawal = json::read(delivery.body)?;
    let amount = wish.amount.money(delivery.currency, &mut delivery.rounded, || "amount".to_owned())?;
    let intent_id = wish.intent_id.into_string();
    let payload = Payload::CreditConversion(CreditConversion {
        intent_id: intent_id.clone(),
        player_id: PlayerId::new(wish.user_id.into_string()),
        amount,
        converted_amount: json::clip(wish.converted_amount.as_str()),
        metadata: wish.conversion_metadata.and_then(JsonText::into_non_empty),
        // `check` lets only policies through that can be read; whatever else it were, no money moves.
        answer: Policy::of(settings).unwrap_or(Policy::None).answer().to_owned(),
    });
    event(intent_id, Ok(payload))
}

/// A wish to convert that cannot be read; none when the body is something else, or no JSON at all.
pub(super) fn unreadable_conversion(body: &[u8], error: &NormalizeError) -> Option<NewEvent> {
    let marks: ConversionMarks = json::read(body).ok()?;
    let named = marks.events.iter().any(|name| name == CONVERSION);
    let unnamed = marks.events.iter().all(String::is_empty);
    let marked = marks.has_intent && marks.has_converted_amount;
    (named || unnamed && marked).then(|| NewEvent {
        subject: marks.intent_id.map(LooseId::into_string).unwrap_or_default(),
        occurred_at: None,
        payload: Payload::Unrecognized(Unrecognized { kind: NormalizeError::KIND, reason: error.to_string() }),
    })
}

/// An event that we have not heard of, or a body without one. `name` is empty then.
pub(super) fn unknown(delivery: &Reading<'_>, name: &str) -> NewEvent {
    let reason = if name.is_empty() {
        "event: no event field".to_owned()
    } else {
        format!("event: unknown event {:?}", json::clip(name))
    };
    let at_root: AnyIds = json::read(delivery.body).unwrap_or_default();
    let nested: Option<Nested<AnyIds>> = json::read(delivery.body).ok();
    let candidates = [
        at_root.id,
        nested.and_then(|outer| outer.matchup.id),
        at_root.matchup_id,
        at_root.entity_id,
        at_root.user_id,
    ];
    let subject = candidates.into_iter().flatten().map(|id| json::clip(id.as_str())).next();
    NewEvent {
        subject: subject.unwrap_or_default(),
        occurred_at: None,
        payload: Payload::Unrecognized(Unrecognized { kind: UnrecognizedKind::UnknownType, reason }),
    }
}

fn activity(player: Player<'_>, activity: Activity) -> Result<NewEvent, NormalizeError> {
    let player_id = player.user_id.into_string();
    let payload =
        Payload::PlayerActivity(PlayerActivity { player_id: PlayerId::new(player_id.as_str()), activity });
    event(player_id, Ok(payload))
}
