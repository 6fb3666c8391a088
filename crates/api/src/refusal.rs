//! What cannot be done to rewards, endpoints and deliveries, as problem documents.

use actix_web::http::StatusCode;
use matchpurse_operations::{deliveries, endpoints, rewards};
use matchpurse_store::chain;

use crate::failure::Failure;

/// The failure of what somebody wanted done to a reward.
pub(crate) fn of_reward(error: rewards::Error) -> Failure {
    use rewards::Error;
    match &error {
        Error::NoGrant => unknown_reward(),
        Error::NotHeld(state) => {
            conflict("reward-not-held", "The reward is not held for review", error.to_string())
                .with("state", state.as_str())
        }
        Error::NotGiven(state) => {
            conflict("reward-not-given", "There is nothing to take back", error.to_string())
                .with("state", state.as_str())
        }
        Error::NothingToRetry => conflict(
            "nothing-to-retry",
            "Nothing waits to be delivered",
            "everything that the studio was to be told has arrived, is being sent, or is wanted by no endpoint",
        ),
        Error::KeyReused => key_reused(),
        Error::Store(store) => of_store(store, &error),
    }
}

/// The failure of what somebody wanted done to an endpoint.
pub(crate) fn of_endpoint(error: endpoints::Error) -> Failure {
    use endpoints::Error;
    match &error {
        Error::NoEndpoint => unknown_endpoint(),
        Error::NameTaken(_) => {
            conflict("endpoint-name-taken", "The name is or was another's", error.to_string())
        }
        Error::Configured(_) => {
            conflict("endpoint-configured", "The endpoint is the configuration's", error.to_string())
        }
        Error::Disabled(why) => {
            conflict("endpoint-disabled", "Nothing is sent to the endpoint", error.to_string())
                .with("disabled_for", why.as_str())
        }
        Error::KeyReused => key_reused(),
        Error::NoSecret(_) | Error::SecretCount => Failure::invalid_body("secrets", error.to_string()),
        Error::Random(_) => Failure::internal(chain(&error)),
        Error::Store(store) => of_store(store, &error),
    }
}

/// The failure of what somebody wanted done to a delivery.
pub(crate) fn of_delivery(error: deliveries::Error) -> Failure {
    use deliveries::Error;
    match &error {
        Error::NoDelivery => unknown_delivery(),
        Error::InFlight => not_sent_again("in-flight", "It is on its way", &error),
        Error::Delivered => not_sent_again("delivered", "It has arrived", &error),
        Error::TakenBack => not_sent_again("taken-back", "It is not true any more", &error),
        Error::Behind => not_sent_again("behind", "Another one comes first", &error),
        Error::KeyReused => key_reused(),
        Error::Store(store) => of_store(store, &error),
    }
}

fn not_sent_again(why: &'static str, title: &'static str, error: &deliveries::Error) -> Failure {
    conflict("delivery-not-retried", title, error.to_string()).with("reason", why)
}

pub(crate) fn unknown_reward() -> Failure {
    Failure::not_found("unknown-reward", "No such reward", "there is no reward with this grant id")
}

pub(crate) fn unknown_endpoint() -> Failure {
    Failure::not_found("unknown-endpoint", "No such endpoint", "there is no endpoint of this name")
}

pub(crate) fn unknown_delivery() -> Failure {
    Failure::not_found(
        "unknown-delivery",
        "No such delivery",
        "there is no delivery of this number, or it ended so long ago that it is not kept",
    )
}

fn key_reused() -> Failure {
    conflict(
        "idempotency-key-reused",
        "The Idempotency-Key was used before",
        "it was used for another request; a new request needs a new key",
    )
}

fn conflict(name: &'static str, title: &'static str, detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::CONFLICT, name, title, detail)
}

fn of_store(store: &matchpurse_store::Error, whole: &(dyn std::error::Error + 'static)) -> Failure {
    let cause = chain(whole);
    if store.is_transient() { Failure::unavailable(cause) } else { Failure::internal(cause) }
}
