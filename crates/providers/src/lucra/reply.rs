use matchpurse_domain::event::Payload;
use serde::Serialize;

use crate::reply::{Outcome, Reply};

/// The word that returns the money to the player; the provider's words are case-sensitive.
pub(super) const FAILED: &str = "FAILED";

/// What the provider waits for while it holds a player's money.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConversionReply<'a> {
    status: &'a str,
    response_text: &'static str,
}

/// 200 for everything that is kept. A conversion is answered from its own event alone, so a repeat of the
/// delivery gets the same answer, whoever answers it and whenever.
pub(super) fn reply(outcome: Outcome<'_>) -> Reply {
    let Outcome::Kept { payloads } = outcome;
    let conversion = payloads.iter().find_map(|payload| match payload {
        Payload::CreditConversion(conversion) => Some(conversion),
        _ => None,
    });
    let Some(conversion) = conversion else { return Reply::ok() };
    let response_text = match conversion.answer.as_str() {
        "COMPLETED" => "The credit was given.",
        "PENDING" => "The credit will follow.",
        _ => "Conversion into credit is not offered here; the money stays with the player.",
    };
    serde_json::to_vec(&ConversionReply { status: &conversion.answer, response_text })
        .map_or_else(|_| Reply::ok(), Reply::json)
}
