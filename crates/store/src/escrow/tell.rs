//! What a match's outcome tells the studio, and what it asks a person.

use matchpurse_domain::escrow::{MatchState, Outcome, Seat};
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::anomalies::NewAnomaly;
use crate::outbox::Notice;

/// The notices of an outcome; their payload is the match as it is now, amounts in minor units.
pub fn notices(outcome: &Outcome, occurred_at: Timestamp) -> impl Iterator<Item = Notice> {
    let state = &outcome.state;
    outcome.notices.iter().map(move |notice| Notice {
        source: state.source.clone(),
        kind: notice.kind,
        subject: state.match_id.clone(),
        discriminator: format!("{}:{}", state.kind.as_str(), notice.discriminator),
        payload: payload(state),
        occurred_at,
        cause: None,
    })
}

/// The anomalies of an outcome, which `event_id` showed.
pub fn anomalies(outcome: &Outcome, event_id: EventId) -> impl Iterator<Item = NewAnomaly> {
    let state = &outcome.state;
    outcome.anomalies.iter().map(move |anomaly| {
        let (source, match_kind, kind) = (&state.source, state.kind.as_str(), anomaly.kind.as_str());
        NewAnomaly {
            key: format!("match/{source}/{match_kind}/{}/{kind}/{}", state.match_id, anomaly.discriminator),
            kind,
            source: source.clone(),
            subject: state.match_id.clone(),
            event_id: Some(event_id),
            detail: json!({
                "match_kind": match_kind,
                "status": state.status.as_str(),
                "what": anomaly.detail,
                "held": state.escrowed(),
                "currency": state.currency.as_str(),
            }),
        }
    })
}

fn payload(state: &MatchState) -> Value {
    let player = |(player, seat): (&PlayerId, &Seat)| {
        json!({
            "player_id": player.as_str(),
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
        "generation": state.generation,
        "currency": state.currency.as_str(),
        "pot": state.pot,
        "paid": state.paid,
        "refunded": state.refunded,
        "fee": state.fee,
        "players": state.seats.iter().map(player).collect::<Vec<_>>(),
    })
}
