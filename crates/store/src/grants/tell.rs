//! What the studio is told of grants.

use matchpurse_domain::grants::{self, ContestKey, Grant, Slot, grant_id};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::outbox::Notice;

/// The notice that a grant is given. Its delivery fulfils the grant.
pub const GRANTED: &str = "reward.granted";
/// The notice that a grant is held for review.
pub const HELD: &str = "reward.held";
/// The notice that a grant is taken back: given or not, the player must not have it.
pub const REVERSED: &str = "reward.reversed";

/// A grant's notice. Its subject is the grant's id, by which a studio gives the reward once and takes it back once,
/// and by which the delivery finds its way back to the grant.
///
/// `value` is null when it is not known yet: the outcome of a free contest names a reward by its reference,
/// and only the promise names the provider's value, which may come later. The notice is not sent again then;
/// the grant has the value.
pub fn notice(kind: &'static str, key: &ContestKey, slot: &Slot, grant: &Grant, at: Timestamp) -> Notice {
    let id = grant_id(key, slot).to_string();
    // It was parsed when it was judged; whatever cannot be parsed has never become a payload.
    let payload: Option<Value> = grant.payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Notice {
        source: key.source.clone(),
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
        occurred_at: at,
        cause: None,
    }
}

/// The notice of what an event did to a grant, which is in `contest`.
pub fn of_outcome(
    key: &ContestKey,
    contest: &grants::Contest,
    notice_of: &grants::Notice,
    at: Timestamp,
) -> Option<Notice> {
    let (kind, slot) = match notice_of {
        grants::Notice::Granted(slot) => (GRANTED, slot),
        grants::Notice::Held(slot) => (HELD, slot),
        grants::Notice::Reversed(slot) => (REVERSED, slot),
    };
    Some(notice(kind, key, slot, contest.grants.get(slot)?, at))
}
