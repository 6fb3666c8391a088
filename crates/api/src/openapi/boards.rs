use serde_json::json;

use super::operation::{Operation, Text};
use crate::leaderboards::{exclusions, view};
use crate::problems::Kind;

const EXCLUSION: &str = "/v1/leaderboards/{board}/exclusions/{source}/{player}";

pub(super) fn operations() -> Vec<Operation> {
    let season = "The season's name; the present one where none is said.";
    vec![
        Operation::get(
            "/v1/leaderboards",
            "listLeaderboards",
            "The boards with their seasons, by their names",
        )
        .lists::<view::BoardView>("Boards."),
        Operation::get("/v1/leaderboards/{board}", "getLeaderboard", "A board's players from the top")
            .query("season", Text::Any, season)
            .lists_as::<view::Top>("A page of the board."),
        Operation::get(
            "/v1/leaderboards/{board}/around/{source}/{player}",
            "getLeaderboardAround",
            "The players around one",
        )
        .query("season", Text::Any, season)
        .query("span", Text::UpTo(50, 5), "How many on each side.")
        .answers::<view::Around>(200, "In the board's order.")
        .refuses([Kind::NotOnBoard]),
        Operation::get(
            "/v1/leaderboards/{board}/players/{source}/{player}",
            "getLeaderboardRank",
            "A player's exact rank",
        )
        .query("season", Text::Any, season)
        .answers::<view::Ranked>(200, "The rank.")
        .refuses([Kind::NotOnBoard]),
        Operation::get(
            "/v1/leaderboards/{board}/exclusions",
            "listExclusions",
            "Who was taken off a board, and why, the newest first",
        )
        .lists::<exclusions::Exclusion>("Who is off it."),
        Operation::put(EXCLUSION, "excludePlayer", "Takes a player off a board")
            .body::<exclusions::ReasonBody>(json!({ "reason": "ticket 4711" }))
            .answers::<exclusions::Decided>(200, "As it is now."),
        Operation::delete(EXCLUSION, "readmitPlayer", "Lets a player back on a board")
            .body::<exclusions::ReasonBody>(json!({ "reason": "ticket 4711" }))
            .answers::<exclusions::Decided>(200, "As it is now."),
    ]
}
