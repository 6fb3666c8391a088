//! What is about no match: players, a wish for credit, and an event that nobody has heard of.

use matchpurse_domain::event::UnrecognizedKind;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Life;
use crate::delivery::Method;
use crate::play::{ConversionEffect, ScriptedDelivery, json_body, major};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedUp<'p> {
    event: &'static str,
    user_id: &'p str,
    email: Option<&'static str>,
    username: String,
    phone_number: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identified<'p> {
    event: &'static str,
    user_id: &'p str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaidIn<'p> {
    event: &'static str,
    user_id: &'p str,
    tenant_id: &'static str,
    properties: Deposit,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    method: &'static str,
    amount: Box<RawValue>,
    fee: u32,
    transaction_status: &'static str,
    transaction_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawal<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    intent_id: &'p str,
    user_id: &'p str,
    amount: Box<RawValue>,
    converted_amount: Box<RawValue>,
    conversion_metadata: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unheard<'p> {
    event: &'static str,
    id: String,
    user_id: &'p str,
    stars: u64,
}

/// Signs up, is identified, pays in. It moves nothing here.
pub(super) fn player(life: &mut Life<'_>) {
    let player = life.player();
    let up = SignedUp {
        event: "UserSignedUp",
        user_id: &player,
        email: life.dice.chance(80).then_some("player@example.com"),
        username: format!("player-{}", life.dice.hex(6)),
        phone_number: "+15550100000",
    };
    life.send(json_body(&up));
    life.wait(60_000);
    life.send(json_body(&Identified { event: "UserKYCVerified", user_id: &player }));
    for _ in 0..life.dice.between(1, 3) {
        life.wait(60_000);
        let amount = i64::try_from(life.dice.between(5, 100)).unwrap_or(5).saturating_mul(100);
        let paid = PaidIn {
            event: "FundsDeposited",
            user_id: &player,
            tenant_id: "SAMPLE",
            properties: Deposit {
                method: "CARD",
                amount: major(amount, life.exponent()),
                fee: 0,
                transaction_status: "COMPLETED",
                transaction_id: life.dice.uuid(),
            },
        };
        life.send(json_body(&paid));
    }
}

/// Wants money turned into credit. Nobody offers that here, so the money must return, and a repeat must be
/// told the same.
pub(super) fn conversion(life: &mut Life<'_>) {
    let (player, intent_id) = (life.player(), life.dice.uuid());
    let amount = i64::try_from(life.dice.between(1, 200)).unwrap_or(1).saturating_mul(100);
    let wish = Withdrawal {
        event: life.dice.chance(30).then_some("C2CWithdrawal"),
        intent_id: &intent_id,
        user_id: &player,
        amount: major(amount, life.exponent()),
        converted_amount: major(amount.saturating_mul(12) / 10, life.exponent()),
        conversion_metadata: None,
    };
    let delivery = ScriptedDelivery::new(Method::Post, 0, json_body(&wish));
    let answer_holds = r#""status":"FAILED""#;
    life.script.deliveries.push(ScriptedDelivery { answer_holds, ..delivery });
    let effect = ConversionEffect { player, amount, answer: "FAILED".to_owned() };
    life.script.effects.conversions.insert(intent_id, effect);
}

pub(super) fn unknown_event(life: &mut Life<'_>) {
    let player = life.player();
    let unheard = Unheard {
        event: "RecreationalGameRated",
        id: life.dice.uuid(),
        user_id: &player,
        stars: life.dice.between(1, 5),
    };
    let body = json_body(&unheard);
    life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::UnknownType);
}
