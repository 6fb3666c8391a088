//! What the studio is told of rewards.

use matchpurse_domain::event::Event;
use matchpurse_domain::grants::{self, Contest, ContestKey, grant_id};
use matchpurse_store::outbox::Notice;
use serde_json::{Value, json};

/// A grant's notice. Its subject is the grant's id, by which a studio gives the reward once, and by which
/// the delivery finds its way back to the grant.
///
/// `value` is null when it is not known yet: the outcome of a free contest names a reward by its reference,
/// and only the promise names the provider's value, which may come later. The notice is not sent again then;
/// the grant has the value.
pub(crate) fn of_grant(
    event: &Event,
    key: &ContestKey,
    contest: &Contest,
    notice: &grants::Notice,
) -> Option<Notice> {
    let (kind, slot) = match notice {
        grants::Notice::Granted(slot) => ("reward.granted", slot),
        grants::Notice::Held(slot) => ("reward.held", slot),
    };
    let grant = contest.grants.get(slot)?;
    let id = grant_id(key, slot).to_string();
    // It was parsed when it was judged; whatever cannot be parsed has never become a payload.
    let payload: Option<Value> = grant.payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Some(Notice {
        source: event.source.clone(),
        kind,
        subject: id.clone(),
        discriminator: String::new(),
        payload: json!({
            "grant_id": id,
            "contest": { "kind": key.kind.as_str(), "id": key.contest_id },
            "player_id": slot.player_id.as_str(),
            "reward_ref": slot.reward_ref,
            "kind": grant.kind.as_str(),
            "state": grant.state.as_str(),
            "reason": grant.reason.map(|reason| reason.as_str()),
            "amount": grant.amount.as_ref().map(|money| {
                json!({ "minor_units": money.minor_units, "currency": money.currency.as_str() })
            }),
            "value": grant.value,
            "payload": payload,
        }),
        occurred_at: event.occurred_at.unwrap_or(event.received_at),
    })
}
