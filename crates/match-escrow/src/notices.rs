//! What the studio is told of matches.

use matchpurse_domain::escrow::{self, MatchState};
use matchpurse_domain::event::Event;
use matchpurse_store::outbox::Notice;
use serde_json::{Value, json};

/// A match's notice; its payload is the match as it is now, amounts in minor units.
pub(crate) fn of_match(event: &Event, state: &MatchState, notice: &escrow::Notice) -> Notice {
    Notice {
        source: event.source.clone(),
        kind: notice.kind,
        subject: state.match_id.clone(),
        discriminator: format!("{}:{}", state.kind.as_str(), notice.discriminator),
        payload: payload(state),
        occurred_at: event.occurred_at.unwrap_or(event.received_at),
    }
}

fn payload(state: &MatchState) -> Value {
    let player = |(player, seat): (&_, &escrow::Seat)| {
        json!({
            "player_id": matchpurse_domain::ids::PlayerId::as_str(player),
            "group_id": seat.group_id,
            "hold": seat.hold,
            "payout": seat.payout,
            "refund": seat.refund,
            "outcome": seat.outcome.map(|outcome| outcome.as_str()),
        })
    };
    json!({
        "match_id": state.match_id,
        "kind": state.kind.as_str(),
        "status": state.status.as_str(),
        "settlement": state.settlement.map(|settlement| settlement.as_str()),
        "currency": state.currency.as_str(),
        "pot": state.pot,
        "paid": state.paid,
        "refunded": state.refunded,
        "fee": state.fee,
        "players": state.seats.iter().map(player).collect::<Vec<_>>(),
    })
}
