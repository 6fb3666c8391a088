//! What `matchpurse_operations` refuses, as problem documents.

use matchpurse_domain::escrow::Refusal;
use matchpurse_domain::money::CurrencyCode;
use matchpurse_operations::Error;
use matchpurse_store::chain;

use crate::failure::Failure;
use crate::problems::Kind;
use crate::request::{unknown_correction, unknown_match};
use crate::wire::Amount;

/// The failure of a deposit or withdrawal in this currency.
pub(crate) fn of_movement(error: Error, currency: &CurrencyCode) -> Failure {
    let amount = |minor_units: i64| Amount::of(minor_units, currency).to_value();
    match error {
        Error::Insufficient { balance } => {
            Failure::new(Kind::InsufficientFunds, "the player has less than that; nothing moved")
                .with("balance", amount(balance))
        }
        Error::Amount { max } => {
            Failure::new(Kind::AmountOutOfRange, error.to_string()).with("maximum", amount(max))
        }
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
        Error::NoSnapshot(_) => Failure::new(Kind::UnusableEvent, error.to_string()),
        Error::NamedTwice(player) => {
            Failure::invalid_body("end.payouts", format!("player {player:?} is named twice"))
        }
        Error::ForeignCurrency(_) | Error::Currency(_) => {
            Failure::new(Kind::WrongCurrency, error.to_string())
        }
        Error::ScoredTwice { member, name } => {
            Failure::invalid_body(member, format!("{name:?} is named twice"))
        }
        Error::OtherResult => Failure::new(Kind::ResultDecided, error.to_string()),
        Error::Refused(Refusal::Ended(settlement)) => {
            Failure::new(Kind::MatchEnded, "the match has ended, so it takes no result")
                .with("settlement", settlement.as_str())
        }
        Error::Refused(refusal) => {
            Failure::new(Kind::CorrectionRefused, refusal.to_string()).with("reason", reason(refusal))
        }
        Error::KeyReused => Failure::new(
            Kind::IdempotencyKeyReused,
            "it was used for another request; a new request needs a new key",
        ),
        Error::AnotherOpen => Failure::new(
            Kind::CorrectionPending,
            "another correction of this match waits for a decision; approve or reject it first",
        ),
        Error::Decided(state) => {
            Failure::new(Kind::CorrectionDecided, error.to_string()).with("state", *state)
        }
        Error::Outdated => Failure::new(
            Kind::CorrectionOutdated,
            "something happened to the match since the correction was proposed; reject it, and propose it anew",
        ),
        Error::SamePerson(_) => Failure::new(Kind::SecondPersonRequired, error.to_string()),
        Error::NotOurs | Error::Recorded => Failure::new(Kind::ProviderCustody, error.to_string()),
        Error::Amount { .. } => Failure::new(Kind::AmountOutOfRange, error.to_string()),
        Error::Insufficient { .. } => Failure::new(Kind::InsufficientFunds, error.to_string()),
        Error::Store(store) if store.is_transient() => Failure::unavailable(chain(&error)),
        Error::Store(_) => Failure::internal(chain(&error)),
    }
}

/// There are matches of several kinds with the id.
pub(crate) fn ambiguous_match(kinds: &[&str]) -> Failure {
    Failure::new(Kind::AmbiguousMatch, format!("say which by ?kind={}", kinds.join(" or ?kind=")))
        .with("kinds", kinds.to_vec())
}

/// A word for a program; the detail is for people.
const fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoMoney => "no_money",
        Refusal::NotAnEnd(_) => "not_an_end",
        Refusal::Unknown(_) => "unknown_participant",
        Refusal::Amounts { .. } => "amounts",
        Refusal::Undecided(_) => "undecided",
        Refusal::Short(_) | Refusal::NoStake(_) => "players_lack_money",
        Refusal::Ended(_) => "ended",
        Refusal::ProviderDecides => "provider_decides",
        Refusal::NothingChanges => "nothing_changes",
        Refusal::Overflow => "overflow",
    }
}
