use matchpurse_domain::event::{Payload, Unrecognized};
use serde::Serialize;

use crate::normalized::NormalizeError;
use crate::reply::{Outcome, Reply};

/// The word that returns the money to the player; the provider's words are case-sensitive. There is no
/// other answer as long as there is no policy that lets a conversion pass.
pub(super) const FAILED: &str = "FAILED";

/// What the provider waits for while it holds a player's money.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConversionReply {
    status: &'static str,
    response_text: &'static str,
}

/// 200 for everything that is kept. A conversion is answered from its own event alone, so a repeat of the
/// delivery gets the same answer, whoever answers it and whenever.
pub(super) fn reply(outcome: Outcome<'_>) -> Reply {
    let Outcome::Kept { payloads } = outcome;
    if !payloads.iter().any(|payload| is_conversion(payload)) {
        return Reply::ok();
    }
    let refusal = ConversionReply {
        status: FAILED,
        response_text: "Conversion into credit is not offered here; the money stays with the player.",
    };
    serde_json::to_vec(&refusal).map_or_else(|_| Reply::ok(), Reply::json)
}

/// Of what cannot be read, only conversions become events; everything else is an error and not answered here.
fn is_conversion(payload: &Payload) -> bool {
    match payload {
        Payload::CreditConversion(_) => true,
        Payload::Unrecognized(Unrecognized { kind, .. }) => *kind == NormalizeError::KIND,
        _ => false,
    }
}
