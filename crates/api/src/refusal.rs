//! What cannot be done to rewards, endpoints and deliveries, as problem documents.

use matchpurse_operations::{deliveries, endpoints, rewards};
use matchpurse_store::chain;

use crate::failure::Failure;
use crate::problems::Kind;

/// The failure of what somebody wanted done to a reward.
pub(crate) fn of_reward(error: rewards::Error) -> Failure {
    use rewards::Error;
    match &error {
        Error::NoGrant => unknown_reward(),
        Error::NotHeld(state) => {
            Failure::new(Kind::RewardNotHeld, error.to_string()).with("state", state.as_str())
        }
        Error::NotGiven(state) => {
            Failure::new(Kind::RewardNotGiven, error.to_string()).with("state", state.as_str())
        }
        Error::NothingToRetry => Failure::new(
            Kind::NothingToRetry,
            "everything that the studio was to be told has arrived, is being sent, or is wanted by no endpoint",
        ),
        Error::Unwanted => Failure::new(Kind::NothingToRetry, error.to_string()),
        Error::KeyReused => key_reused(),
        Error::Store(store) => of_store(store, &error),
    }
}

/// The failure of what somebody wanted done to an endpoint.
pub(crate) fn of_endpoint(error: endpoints::Error) -> Failure {
    use endpoints::Error;
    match &error {
        Error::NoEndpoint => unknown_endpoint(),
        Error::NameTaken(_) => Failure::new(Kind::EndpointNameTaken, error.to_string()),
        Error::Configured(_) => Failure::new(Kind::EndpointConfigured, error.to_string()),
        Error::Disabled(why) => {
            Failure::new(Kind::EndpointDisabled, error.to_string()).with("disabled_for", why.as_str())
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
        Error::InFlight => not_sent_again("in-flight", &error),
        Error::Delivered => not_sent_again("delivered", &error),
        Error::TakenBack => not_sent_again("taken-back", &error),
        Error::Behind => not_sent_again("behind", &error),
        Error::Unwanted => not_sent_again("unwanted", &error),
        Error::HandedOn => not_sent_again("handed-on", &error),
        Error::KeyReused => key_reused(),
        Error::Store(store) => of_store(store, &error),
    }
}

fn not_sent_again(why: &'static str, error: &deliveries::Error) -> Failure {
    Failure::new(Kind::DeliveryNotRetried, error.to_string()).with("reason", why)
}

pub(crate) fn unknown_reward() -> Failure {
    Failure::new(Kind::UnknownReward, "there is no reward with this grant id")
}

pub(crate) fn unknown_endpoint() -> Failure {
    Failure::new(Kind::UnknownEndpoint, "there is no endpoint of this name")
}

pub(crate) fn unknown_delivery() -> Failure {
    Failure::new(
        Kind::UnknownDelivery,
        "there is no delivery of this number, or it ended so long ago that it is not kept",
    )
}

fn key_reused() -> Failure {
    Failure::new(Kind::IdempotencyKeyReused, "it was used for another request; a new request needs a new key")
}

fn of_store(store: &matchpurse_store::Error, whole: &(dyn std::error::Error + 'static)) -> Failure {
    let cause = chain(whole);
    if store.is_transient() { Failure::unavailable(cause) } else { Failure::internal(cause) }
}
