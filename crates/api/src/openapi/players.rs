use serde_json::{Value, json};

use super::operation::{Operation, Text};
use crate::problems::Kind;
use crate::{erasures, funds, links, player_statistics, players, ratings};

const PLAYER: &str = "/v1/players/{source}/{player}";

pub(super) fn operations() -> Vec<Operation> {
    let only = "Shows this id alone, not all ids of the person.";
    vec![
        Operation::get(PLAYER, "getPlayer", "A player's balances")
            .query("at", Text::Moment, "As they were at this moment; then without what is in escrow.")
            .shows::<players::Player>("The balances, by currency."),
        movement(
            "/v1/players/{source}/{player}/deposits",
            "createDeposit",
            "Puts money on a player's account",
        ),
        movement(
            "/v1/players/{source}/{player}/withdrawals",
            "createWithdrawal",
            "Takes money off a player's account",
        )
        .refuses([Kind::InsufficientFunds]),
        Operation::get(
            "/v1/players/{source}/{player}/statistics",
            "getPlayerStatistics",
            "A player's figures and records",
        )
        .query("identity_only", Text::Flag, only)
        .shows::<player_statistics::Profile>("Over all ids of the person, and over each."),
        Operation::get(
            "/v1/players/{source}/{player}/matches",
            "listPlayedMatches",
            "A player's matches on game servers, the latest first",
        )
        .query("identity_only", Text::Flag, only)
        .lists::<player_statistics::MatchLine>("Lines of counted matches."),
        Operation::get(
            "/v1/players/{source}/{player}/ratings",
            "getPlayerRatings",
            "A player's skill ratings by game",
        )
        .strict_query()
        .shows::<ratings::Ratings>("With the last matches of each."),
        Operation::get(
            "/v1/players/{source}/{player}/links",
            "getPlayerLinks",
            "Which ids are the same person's",
        )
        .strict_query()
        .shows::<links::LinksView>("The other ids."),
        Operation::put(
            "/v1/players/{source}/{player}/links",
            "replacePlayerLinks",
            "Says which ids are the same person's",
        )
        .body::<links::LinksBody>(json!({
            "links": [{ "source": "main-game", "player_id": "player-2" }],
            "reason": "the player has linked the accounts",
        }))
        .answers::<links::LinksView>(200, "As it is now.")
        .refuses([Kind::IdentityOfAnotherPerson]),
        Operation::delete(
            "/v1/players/{source}/{player}/links/{other_source}/{other_player}",
            "deletePlayerLink",
            "Takes an id off a person",
        )
        .strict_query()
        .answers::<links::LinksView>(200, "As it is now; what was not linked is no mistake."),
        Operation::post(
            "/v1/players/{source}/{player}/erasure",
            "createErasure",
            "Takes a player's personal data out of everything that is stored",
        )
        .details(
            "What was counted stays, under a pseudonym. It is refused while anything of the player is open. What is found \
             by the player's key changes at once, the archive and other texts soon: the erasure says when it is finished. \
             With `dry_run` nothing is changed.",
        )
        .key(true)
        .body::<erasures::ErasureBody>(json!({ "reason": "the player asked for it, ticket 12", "dry_run": true }))
        .answers::<erasures::ErasureView>(202, "It has begun.")
        .answers::<erasures::ErasureView>(200, "It was asked for before, or is a dry run.")
        .refuses([Kind::ErasureOpen]),
        Operation::get("/v1/erasures/{id}", "getErasure", "An erasure")
            .strict_query()
            .shows::<erasures::ErasureView>("How far it is, and what it changed; not whom it was about."),
    ]
}

fn movement(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let example: Value =
        json!({ "amount": { "minor_units": 500, "currency": "USD" }, "reason": "payment 4711" });
    Operation::post(path, id, summary)
        .details("Only where the studio holds the stakes.")
        .key(true)
        .body::<funds::MovementBody>(example)
        .answers::<funds::Moved>(201, "It is done.")
        .answers::<funds::Moved>(200, "It was done before, under this key.")
        .refuses([Kind::ProviderCustody, Kind::WrongCurrency, Kind::AmountOutOfRange])
}
