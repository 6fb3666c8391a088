//! Conversions: of what a player does on an offerwall into points, and of money into credit.

use serde_json::json;

use super::claim::{ConversionWish, Reversal, Statement, Verdict, digest, single};
use super::contest::{Decision, Ending, Entry};
use super::grant::{Grant, GrantKind, GrantState, ReviewReason, Slot};
use super::payload;
use crate::event::{ConversionKind, CreditConversion, RewardPostback};
use crate::money::Money;

/// A conversion that earns something, or is taken back. An install earns nothing, and neither does an empty amount.
pub(super) fn of_postback(postback: &RewardPostback) -> Option<Statement> {
    let amount = postback.amount.clone().filter(|amount| amount.minor_units > 0);
    match postback.kind {
        ConversionKind::Reward => Some(Statement::End(of_credit(postback, amount?))),
        ConversionKind::Reversal => Some(Statement::Reversal(of_reversal(postback, amount))),
        ConversionKind::Install => None,
    }
}

/// Whatever the conversion earned is not given any more. Of how much it speaks is only kept to compare it.
fn of_reversal(postback: &RewardPostback, amount: Option<Money>) -> Reversal {
    let tombstone = Grant {
        kind: GrantKind::Points,
        state: GrantState::Reversed,
        reason: None,
        detail: None,
        amount,
        value: None,
        payload: None,
    };
    let entry = Entry {
        player_id: postback.player_id.clone(),
        outcome: None,
        reward_ref: Some(postback.conversion_id.clone()),
        digest: digest_of_points(postback, tombstone.amount.as_ref()),
    };
    Reversal {
        decision: Decision::new(Ending::Reversed, vec![entry]),
        slot: Slot { player_id: postback.player_id.clone(), reward_ref: postback.conversion_id.clone() },
        tombstone,
    }
}

fn digest_of_points(postback: &RewardPostback, amount: Option<&Money>) -> [u8; 32] {
    let units = amount.map(|amount| amount.minor_units.to_string()).unwrap_or_default();
    let currency = amount.map_or("", |amount| amount.currency.as_str());
    digest(&[postback.player_id.as_str(), &units, currency])
}

fn of_credit(postback: &RewardPostback, amount: Money) -> Verdict {
    let payout = postback
        .payout
        .as_ref()
        .map(|payout| json!({ "minor_units": payout.minor_units, "currency": payout.currency.as_str() }));
    let payload = json!({
        "offer_id": postback.offer_id,
        "goal_id": postback.goal_id,
        "goal_name": postback.goal_name,
        "payout": payout,
    });
    // The offer's names come from the provider and may hold anything; without them the points still count.
    let payload = payload::judge(Some(&payload.to_string())).unwrap_or_default();
    let digest = digest_of_points(postback, Some(&amount));
    let grant = Grant {
        kind: GrantKind::Points,
        state: GrantState::Granted,
        reason: None,
        detail: None,
        amount: Some(amount),
        value: None,
        payload,
    };
    single(Ending::Credited, &postback.player_id, digest, Some((&postback.conversion_id, grant)))
}

/// A wish for credit. The provider has taken the money when the answer was yes; it gives it back after a
/// no; after anything else somebody has to look.
pub(super) fn of_conversion(wish: &CreditConversion) -> Verdict {
    let units = wish.amount.minor_units.to_string();
    let currency = wish.amount.currency.as_str();
    let digest = digest(&[wish.player_id.as_str(), &units, currency, &wish.converted_amount, &wish.answer]);
    let (payload, flaw) = match payload::judge(wish.metadata.as_deref()) {
        Ok(payload) => (payload, None),
        Err(reason) => (None, Some(reason)),
    };
    let grant = Grant {
        kind: GrantKind::Credit,
        state: GrantState::Granted,
        reason: None,
        detail: None,
        amount: Some(wish.amount.clone()),
        value: Some(wish.converted_amount.clone()),
        payload,
    };
    let grant = match wish.answer.as_str() {
        "FAILED" => None,
        "COMPLETED" => Some(grant.held_for(flaw)),
        _ => Some(grant.held_for(Some(ReviewReason::AnswerPending.into()))),
    };
    let given = grant.map(|grant| (&wish.intent_id, grant));
    let mut verdict = single(Ending::Answered, &wish.player_id, digest, given);
    verdict.wish = Some(ConversionWish {
        player_id: wish.player_id.clone(),
        amount: wish.amount.clone(),
        converted_amount: wish.converted_amount.clone(),
        answer: wish.answer.clone(),
    });
    verdict
}
