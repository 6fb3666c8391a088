//! What the studio is told of offers and players. The event's time tells one notice from another of its
//! kind, so a repeat adds none, and a studio that gets two out of order knows which is the later: of two at one
//! time the removal, or the ban.

use matchpurse_domain::event::{Event, OfferChanged, PlayerStanding};
use matchpurse_domain::offers::{OfferNotice, OfferState, StandingNotice};
use matchpurse_store::offers::ChangeKind;
use matchpurse_store::outbox::Notice;
use serde_json::json;

/// What happened to an offer, in the words of the stream.
pub(crate) const fn kind_of_offer(told: OfferNotice) -> ChangeKind {
    match told {
        OfferNotice::Created => ChangeKind::OfferCreated,
        OfferNotice::Removed => ChangeKind::OfferRemoved,
        OfferNotice::Restored => ChangeKind::OfferRestored,
        OfferNotice::Updated => ChangeKind::OfferUpdated,
    }
}

/// What happened to a player, in the words of the stream.
pub(crate) const fn kind_of_player(told: StandingNotice) -> ChangeKind {
    match told {
        StandingNotice::Banned => ChangeKind::PlayerBanned,
        StandingNotice::Unbanned => ChangeKind::PlayerUnbanned,
    }
}

/// The notice of an offer that opened or closed; other words about it are in the stream only.
pub(crate) fn of_offer(event: &Event, change: &OfferChanged, told: OfferNotice) -> Option<Notice> {
    let state = match told {
        OfferNotice::Created | OfferNotice::Restored => OfferState::Active,
        OfferNotice::Removed => OfferState::Removed,
        OfferNotice::Updated => return None,
    };
    Some(Notice {
        source: event.source.clone(),
        kind: kind_of_offer(told).as_str(),
        subject: change.offer_id.clone(),
        discriminator: change.changed_at.micros().to_string(),
        payload: json!({
            "offer_id": change.offer_id,
            "state": state.as_str(),
            "app_id": change.app_id,
            "campaign_id": change.campaign_id,
            "changed_at_us": change.changed_at.micros(),
        }),
        occurred_at: change.changed_at,
        cause: Some(event.id),
    })
}

pub(crate) fn of_player(event: &Event, judgement: &PlayerStanding, told: StandingNotice) -> Notice {
    Notice {
        source: event.source.clone(),
        kind: kind_of_player(told).as_str(),
        subject: judgement.player_id.as_str().to_owned(),
        discriminator: judgement.changed_at.micros().to_string(),
        payload: json!({
            "player_id": judgement.player_id.as_str(),
            "reason": judgement.reason,
            "changed_at_us": judgement.changed_at.micros(),
        }),
        occurred_at: judgement.changed_at,
        cause: Some(event.id),
    }
}
