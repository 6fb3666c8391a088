use serde_json::json;

use super::operation::{Operation, Text};
use crate::offers::{catalog, player};
use crate::problems::Kind;

const START: &str = "/v1/offers/{source}/{offer}/starts/{player}";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/offers/{source}", "listOffers", "Offers, by their ids")
            .query("state", Text::Words(vec!["active", "removed"]), "Only those.")
            .lists_as::<catalog::Offers>("With the place of the stream to go on from."),
        Operation::get("/v1/offers/{source}/{offer}", "getOffer", "An offer")
            .strict_query()
            .shows::<catalog::WholeOffer>("With all that the provider says of it."),
        Operation::post("/v1/offers/{source}/eligible", "checkEligibility", "Which of up to 500 offers a player may see")
            .strict_query()
            .body::<player::Ask>(json!({ "player": "player-1", "offer_ids": ["offer-1", "offer-2"] }))
            .answers::<player::Answers<'static>>(200, "One answer an offer, in the order of the question."),
        Operation::put(START, "startOffer", "The player has started the offer")
            .strict_query()
            .answers::<player::StartView>(201, "It is recorded.")
            .answers::<player::StartView>(200, "It was recorded before.")
            .refuses([Kind::StartRefused]),
        Operation::delete(START, "withdrawOfferStart", "No, the player has not")
            .strict_query()
            .body::<player::Withdrawal>(json!({ "reason": "the game crashed" }))
            .answers::<player::StartView>(200, "What was taken back.")
            .refuses([Kind::UnknownStart]),
        Operation::get("/v1/offers/{source}/stream", "streamOffers", "What changes, as Server-Sent Events")
            .details(
                "Without an end. Every event has a place as its id; a client that was away goes on behind it, by \
                 `Last-Event-ID` or `after`. An event `reset` says that what was missed is not kept any more.",
            )
            .query("after", Text::Any, "The place to go on from: `as_of` of a list, or the id of an event.")
            .answers_other("text/event-stream", json!({ "type": "string" }), "Events `offer` and `player`.")
            .refuses([Kind::TooManyStreams]),
    ]
}
