//! What `matchpurse_operations` refuses, as problem documents.

use actix_web::http::StatusCode;
use matchpurse_domain::escrow::Refusal;
use matchpurse_domain::money::CurrencyCode;
use matchpurse_operations::Error;
use matchpurse_store::chain;

use crate::failure::Failure;
use crate::request::{unknown_correction, unknown_match};
use crate::wire::Amount;

/// The failure of a deposit or withdrawal in this currency.
pub(crate) fn of_movement(error: Error, currency: &CurrencyCode) -> Failure {
    let amount = |minor_units: i64| Amount::of(minor_units, currency).to_value();
    match error {
        Error::Insufficient { balance } => {
            conflict("insufficient-funds", "Not enough money", "the player has less than that; nothing moved")
                .with("balance", amount(balance))
        }
        Error::Amount { max } => unprocessable("amount-out-of-range", "The amount is out of range", &error)
            .with("maximum", amount(max)),
        other => of_operation(other),
    }
}

/// The failure of any other operation.
pub(crate) fn of_operation(error: Error) -> Failure {
    match &error {
        Error::NoMatch => unknown_match(),
        Error::NoCorrection => unknown_correction(),
        Error::SeveralMatches(kinds) => {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            ambiguous_match(&words)
        }
        Error::NoSnapshot(_) => {
            unprocessable("unusable-event", "The event says no end of this match", &error)
        }
        Error::NamedTwice(player) => {
            Failure::invalid_body("end.payouts", format!("player {player:?} is named twice"))
        }
        Error::ForeignCurrency(_) | Error::Currency(_) => {
            unprocessable("wrong-currency", "The currency is another one", &error)
        }
        Error::Refused(refusal) => {
            conflict("correction-refused", "The match cannot end like that", refusal.to_string())
                .with("reason", reason(refusal))
        }
        Error::KeyReused => conflict(
            "idempotency-key-reused",
            "The Idempotency-Key was used before",
            "it was used for another request; a new request needs a new key",
        ),
        Error::AnotherOpen => conflict(
            "correction-pending",
            "Another correction waits",
            "another correction of this match waits for a decision; approve or reject it first",
        ),
        Error::Decided(state) => {
            conflict("correction-decided", "The correction was decided before", error.to_string())
                .with("state", *state)
        }
        Error::Outdated => conflict(
            "correction-outdated",
            "The match has changed",
            "something happened to the match since the correction was proposed; reject it, and propose it anew",
        ),
        Error::SamePerson(_) => Failure::new(
            StatusCode::FORBIDDEN,
            "second-person-required",
            "Somebody else must approve",
            error.to_string(),
        ),
        Error::NotOurs | Error::Recorded => {
            unprocessable("provider-custody", "The provider holds the money", &error)
        }
        Error::Amount { .. } => unprocessable("amount-out-of-range", "The amount is out of range", &error),
        Error::Insufficient { .. } => conflict("insufficient-funds", "Not enough money", error.to_string()),
        Error::Store(store) if store.is_transient() => Failure::unavailable(chain(&error)),
        Error::Store(_) => Failure::internal(chain(&error)),
    }
}

/// There are matches of several kinds with the id.
pub(crate) fn ambiguous_match(kinds: &[&str]) -> Failure {
    conflict(
        "ambiguous-match",
        "Several matches have this id",
        format!("say which by ?kind={}", kinds.join(" or ?kind=")),
    )
    .with("kinds", kinds.to_vec())
}

fn conflict(name: &'static str, title: &'static str, detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::CONFLICT, name, title, detail)
}

fn unprocessable(name: &'static str, title: &'static str, error: &Error) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, name, title, error.to_string())
}

/// A word for a program; the detail is for people.
const fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoMoney => "no_money",
        Refusal::NotAnEnd(_) => "not_an_end",
        Refusal::Unknown(_) => "unknown_participant",
        Refusal::Amounts { .. } => "amounts",
        Refusal::Undecided(_) => "undecided",
        Refusal::Short(_) => "players_lack_money",
        Refusal::NothingChanges => "nothing_changes",
        Refusal::Overflow => "overflow",
    }
}
