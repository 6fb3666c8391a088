use matchpurse_domain::event::{Payload, Unrecognized};

use super::conversion;
use crate::normalized::NormalizeError;
use crate::reply::{Outcome, Reply};

/// 200 for everything that is kept. A conversion is answered from its own event alone, which has the first answer that
/// it ever got.
pub(super) fn reply(outcome: Outcome<'_>) -> Reply {
    let Outcome::Kept { payloads } = outcome;
    let answer = payloads.iter().find_map(|payload| match payload {
        Payload::CreditConversion(wish) => Some(conversion::reply(&wish.answer)),
        // Of what cannot be read, only conversions become events; everything else is an error and not answered here.
        Payload::Unrecognized(Unrecognized { kind, .. }) if *kind == NormalizeError::KIND => {
            Some(conversion::refusal())
        }
        _ => None,
    });
    answer.unwrap_or_else(Reply::ok)
}
