use matchpurse_domain::grants::GrantState;
use matchpurse_store::dispatch::DeliveryState;
use serde_json::{Value, json};

use super::operation::{Operation, Text};
use crate::problems::Kind;
use crate::{deliveries, endpoints, rewards};

fn reason() -> Value {
    json!({ "reason": "ticket 4711" })
}

pub(super) fn rewards() -> Vec<Operation> {
    vec![
        Operation::get("/v1/rewards", "listRewards", "Rewards, the newest first")
            .query("state", Text::Words(GrantState::ALL.map(GrantState::as_str).to_vec()), "Only those.")
            .query("source", Text::Any, "Only those of this source.")
            .query("player", Text::Any, "Only those of this player of `source`.")
            .query("contest", Text::Any, "Only those of this contest of `source`.")
            .lists::<rewards::view::RewardView>("Rewards."),
        Operation::get("/v1/rewards/{grant_id}", "getReward", "All that is known of a reward")
            .strict_query()
            .shows::<rewards::view::WholeView>("With what the studio was told of it."),
        decision("/v1/rewards/{grant_id}/release", "releaseReward", "Gives a reward that is held for review")
            .refuses([Kind::RewardNotHeld]),
        decision("/v1/rewards/{grant_id}/reverse", "reverseReward", "Takes a reward back")
            .refuses([Kind::RewardNotGiven]),
        decision("/v1/rewards/{grant_id}/retry", "retryReward", "Tells the studio of a reward again")
            .key(true)
            .refuses([Kind::NothingToRetry]),
    ]
}

fn decision(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::post(path, id, summary)
        .body::<rewards::ReasonBody>(reason())
        .answers::<rewards::DoneView>(201, "It is done.")
        .answers::<rewards::DoneView>(200, "It was done before.")
}

pub(super) fn endpoints() -> Vec<Operation> {
    let mut all = vec![
        Operation::get("/v1/endpoints", "listEndpoints", "Where notices go, by their names")
            .query("state", Text::Words(vec!["enabled", "disabled", "removed"]), "Only those.")
            .lists::<endpoints::view::EndpointView>("Endpoints."),
        Operation::post("/v1/endpoints", "createEndpoint", "Adds an endpoint")
            .details("A secret that is made is shown once, in the first answer.")
            .key(true)
            .body::<endpoints::body::NewBody>(json!({
                "name": "game",
                "url": "https://game.example/hooks/matchpurse",
                "events": ["reward.*"],
                "reason": "the game's new back-end",
            }))
            .answers::<endpoints::view::WholeView>(201, "It is added.")
            .answers::<endpoints::view::WholeView>(200, "It was added before, under this key.")
            .refuses([Kind::EndpointNameTaken, Kind::PrivateTarget]),
        Operation::get("/v1/endpoints/{name}", "getEndpoint", "All that is known of an endpoint")
            .strict_query()
            .shows::<endpoints::view::WholeView>("With what was done to it."),
        Operation::new(
            actix_web::http::Method::PATCH,
            "/v1/endpoints/{name}",
            "changeEndpoint",
            "Changes an endpoint",
        )
        .body::<endpoints::body::ChangeBody>(
            json!({ "events": ["reward.*", "match.settled"], "reason": "ticket 4711" }),
        )
        .answers::<endpoints::view::EndpointView>(200, "As it is now.")
        .refuses([Kind::EndpointConfigured, Kind::PrivateTarget]),
        Operation::delete("/v1/endpoints/{name}", "deleteEndpoint", "Removes an endpoint")
            .query(
                "reason",
                Text::Any,
                "Why; needed. In the query, because not every proxy lets a body of DELETE through.",
            )
            .answers::<endpoints::view::EndpointView>(200, "As it is now.")
            .refuses([Kind::EndpointConfigured]),
        Operation::put(
            "/v1/endpoints/{name}/secrets",
            "replaceEndpointSecrets",
            "Sets the secrets that sign",
        )
        .body::<endpoints::body::SecretsBody>(json!({ "secrets": ["new"], "reason": "rotation" }))
        .answers::<endpoints::SecretsView>(200, "Those that sign now; one that was made is shown this once.")
        .refuses([Kind::EndpointConfigured]),
        Operation::post("/v1/endpoints/{name}/enable", "enableEndpoint", "Sends to an endpoint again")
            .body::<rewards::ReasonBody>(reason())
            .answers::<endpoints::view::EndpointView>(200, "As it is now."),
        Operation::post("/v1/endpoints/{name}/disable", "disableEndpoint", "Sends nothing to an endpoint")
            .body::<rewards::ReasonBody>(reason())
            .answers::<endpoints::view::EndpointView>(200, "As it is now."),
        Operation::post("/v1/endpoints/{name}/test", "testEndpoint", "Sends a trial to an endpoint")
            .key(true)
            .body::<rewards::ReasonBody>(reason())
            .answers::<endpoints::TestView>(202, "It is on its way.")
            .answers::<endpoints::TestView>(200, "It was sent before, under this key."),
    ];
    // What was removed cannot be operated any more; what the configuration removed, neither.
    all = all.into_iter().map(|operation| operation.refuses_where_disabled()).collect();
    all.extend(deliveries());
    all
}

impl Operation {
    fn refuses_where_disabled(self) -> Self {
        let operates =
            self.path.ends_with("/enable") || self.path.ends_with("/test") || self.path.ends_with("/disable");
        if operates { self.refuses([Kind::EndpointDisabled, Kind::EndpointConfigured]) } else { self }
    }
}

fn deliveries() -> Vec<Operation> {
    vec![
        Operation::get("/v1/deliveries", "listDeliveries", "What was sent, the newest first")
            .query("endpoint", Text::Any, "Only those to this endpoint.")
            .query(
                "state",
                Text::Words(DeliveryState::ALL.map(DeliveryState::as_str).to_vec()),
                "Only those.",
            )
            .query("kind", Text::Any, "Only those of this kind, as `reward.granted`.")
            .query("source", Text::Any, "Only those of this source.")
            .query("subject", Text::Any, "Only those about this match, grant, offer or player of `source`.")
            .query("webhook_id", Text::Uuid, "Only those under this `webhook-id`.")
            .lists::<deliveries::view::DeliveryView>("Deliveries."),
        Operation::get("/v1/deliveries/{id}", "getDelivery", "A delivery with every attempt")
            .strict_query()
            .shows::<deliveries::view::WholeView>("With the body that is sent."),
        Operation::post("/v1/deliveries/{id}/retry", "retryDelivery", "Sends a delivery again")
            .key(true)
            .body::<rewards::ReasonBody>(reason())
            .answers::<deliveries::view::DeliveryView>(202, "It is tried again at once.")
            .answers::<deliveries::view::DeliveryView>(200, "It was, under this key.")
            .refuses([Kind::DeliveryNotRetried, Kind::EndpointDisabled]),
    ]
}
