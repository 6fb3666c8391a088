//! What the studio is told of offers and players. The event's time tells one notice from another of its
//! kind, so a repeat adds none, and a studio that gets two out of order knows which is the later.

use matchpurse_domain::event::{Event, OfferChanged, PlayerStanding};
use matchpurse_domain::offers::{OfferNotice, StandingNotice};
use matchpurse_store::outbox::Notice;
use serde_json::json;

pub(crate) fn of_offer(event: &Event, change: &OfferChanged, told: OfferNotice) -> Notice {
    let kind = match told {
        OfferNotice::Created => "offer.created",
        OfferNotice::Removed => "offer.removed",
        OfferNotice::Restored => "offer.restored",
    };
    Notice {
        source: event.source.clone(),
        kind,
        subject: change.offer_id.clone(),
        discriminator: change.changed_at.micros().to_string(),
        payload: json!({
            "offer_id": change.offer_id,
            "app_id": change.app_id,
            "campaign_id": change.campaign_id,
            "changed_at_us": change.changed_at.micros(),
        }),
        occurred_at: change.changed_at,
    }
}

pub(crate) fn of_player(event: &Event, judgement: &PlayerStanding, told: StandingNotice) -> Notice {
    let kind = match told {
        StandingNotice::Banned => "player.banned",
        StandingNotice::Unbanned => "player.unbanned",
    };
    Notice {
        source: event.source.clone(),
        kind,
        subject: judgement.player_id.as_str().to_owned(),
        discriminator: judgement.changed_at.micros().to_string(),
        payload: json!({
            "player_id": judgement.player_id.as_str(),
            "reason": judgement.reason,
            "changed_at_us": judgement.changed_at.micros(),
        }),
        occurred_at: judgement.changed_at,
    }
}
