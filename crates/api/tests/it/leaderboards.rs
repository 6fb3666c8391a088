//! Leaderboards and ratings, of matches that were really applied.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::{Event, MatchStatus, Payload};
use matchpurse_domain::time::Timestamp;
use matchpurse_player_stats::boards::Boards;
use matchpurse_settings::Settings;
use matchpurse_store::now;
use serde_json::Value;

use crate::events::snapshot;
use crate::harness::{ANN, Api, READER, SETTINGS, WRITER, on, request};
use crate::script::Script;

const BOARDS: &str = r#"
[leaderboards.net]
metric = "net"
currency = "USD"
sources = ["theirs"]
[leaderboards.skill]
metric = "skill"
game = "theirs"
min_matches = 2
[leaderboards.kills]
metric = "kills"
season = "month"
"#;

struct Stage {
    api: Api,
    boards: Boards,
}

impl Stage {
    async fn start() -> Result<Self> {
        let text = format!("{SETTINGS}{BOARDS}");
        let api = Api::start_with(&text).await?;
        let settings = Settings::parse_str(&on(&api.database.url(), &text))?;
        let boards = Boards::new(api.database.store().await?, &settings, now);
        boards.bring(&settings).await?;
        boards.settle().await?;
        Ok(Self { api, boards })
    }

    /// Everybody wins as often as the number says, each time against `last`.
    async fn play(&self, wins: &[(&str, usize)]) -> Result<()> {
        let mut events = Vec::new();
        for (player, wins) in wins {
            events.extend((0..*wins).map(|n| won(&format!("{player}-{n}"), player, n)));
        }
        self.api.apply(&events).await?;
        Ok(self.boards.settle().await?)
    }
}

/// A match that the player wins against `last`: 10.00 staked, 18.00 paid.
fn won(match_id: &str, player: &str, second: usize) -> Event {
    let mut event = snapshot("theirs", MatchStatus::Closed, Some("g1"));
    let Payload::MatchSnapshot(snapshot) = &mut event.payload else { unreachable!() };
    snapshot.match_id = match_id.to_owned();
    snapshot.groups[0].players[0].player_id = player.into();
    snapshot.groups[1].players[0].player_id = "last".into();
    let mut event = matchpurse_testkit::event("theirs", true, event.payload);
    event.occurred_at = Some(Timestamp::from_seconds(1_789_990_000 + i64::try_from(second).unwrap()));
    event
}

#[tokio::test]
async fn a_board_is_read_from_the_top_around_a_player_and_by_rank() -> Result<()> {
    let stage = Stage::start().await?;
    stage.play(&[("a", 3), ("b", 2), ("c", 1), ("d", 2)]).await?;
    let mut script = Script::new(&stage.api);
    for path in [
        "/v1/leaderboards/net?limit=2",
        "/v1/leaderboards/net/around/theirs/c?span=1",
        "/v1/leaderboards/net/players/theirs/d",
        "/v1/leaderboards/skill/players/theirs/c?season=all",
        "/v1/leaderboards/skill/around/theirs/c",
        "/v1/players/theirs/c/ratings",
        // What is not there, or not understood.
        "/v1/leaderboards/none",
        "/v1/leaderboards/None",
        "/v1/leaderboards/net/players/theirs/nobody",
        "/v1/leaderboards/net/players/Theirs/a",
        "/v1/leaderboards/net?season=2026",
        "/v1/leaderboards/net?limit=0",
        "/v1/leaderboards/net?cursor=AAAA",
        "/v1/leaderboards/net/around/theirs/c?span=51",
        "/v1/players/theirs/nobody/ratings",
        "/v1/players/ghosts/a/ratings",
    ] {
        script.say(&format!("reader GET {path}")).await?;
    }
    assert_snapshot!(script.text());
    stage.api.stop().await
}

#[tokio::test]
async fn boards_are_listed_with_their_definitions_and_seasons() -> Result<()> {
    let stage = Stage::start().await?;
    stage.play(&[("a", 1)]).await?;
    let answer = stage.api.send(&request(READER, "GET", "/v1/leaderboards", "")).await?;
    let list: Value = serde_json::from_str(&answer.body)?;
    let items = list["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kills", "net", "skill"]);
    assert_eq!(items[1]["seasons"][0]["name"], "all");
    assert_eq!(items[1]["seasons"][0]["players"], 2);
    assert_eq!(items[1]["currency"], "USD");
    assert_eq!(items[2]["seasons"][0]["players"], 0, "nobody has two matches");
    assert_eq!(items[0]["seasons"].as_array().unwrap().len(), 0);
    let answer = stage.api.send(&request(READER, "GET", "/v1/leaderboards/kills?season=2025-12", "")).await?;
    let empty: Value = serde_json::from_str(&answer.body)?;
    assert_eq!(empty["season"]["since"], "2025-12-01T00:00:00.000000Z");
    assert_eq!(empty["season"]["until"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(empty["items"].as_array().unwrap().len(), 0);
    stage.api.stop().await
}

#[tokio::test]
async fn a_board_is_read_page_by_page_with_ranks_that_go_on() -> Result<()> {
    let stage = Stage::start().await?;
    let names: Vec<String> = (0..7).map(|n| format!("p{n}")).collect();
    let wins: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    stage.play(&wins).await?;
    let mut path = "/v1/leaderboards/net?limit=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = stage.api.send(&request(READER, "GET", &path, "")).await?;
        let page: Value = serde_json::from_str(&answer.body)?;
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["rank"], seen.len() + 1);
            seen.push(item["player_id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/leaderboards/net?limit=3&cursor={next}");
    }
    assert_eq!(seen.last().map(String::as_str), Some("last"));
    seen.sort_unstable();
    assert_eq!(seen, ["last", "p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    stage.api.stop().await
}

#[tokio::test]
async fn an_operator_takes_a_player_off_and_lets_the_player_back() -> Result<()> {
    let stage = Stage::start().await?;
    stage.play(&[("a", 2), ("b", 1)]).await?;
    let mut script = Script::new(&stage.api);
    let path = "/v1/leaderboards/net/exclusions";
    for line in [
        format!(r#"reader PUT {path}/theirs/a {{"reason": "cheats"}}"#),
        format!(r#"ann PUT {path}/theirs/a {{"reason": " "}}"#),
        format!(r#"ann PUT {path}/theirs/nobody {{"reason": "cheats"}}"#),
        r#"ann PUT /v1/leaderboards/none/exclusions/theirs/a {"reason": "cheats"}"#.to_owned(),
        format!(r#"ann PUT {path}/theirs/a {{"reason": "cheats"}}"#),
        format!(r#"bob PUT {path}/theirs/a {{"reason": "I say so too"}}"#),
        format!("reader GET {path}"),
        "reader GET /v1/leaderboards/net/players/theirs/a".to_owned(),
        "reader GET /v1/leaderboards/net/around/theirs/a".to_owned(),
        format!(r#"bob DELETE {path}/theirs/a {{"reason": "it was somebody else"}}"#),
        format!(r#"bob DELETE {path}/theirs/a {{"reason": "again"}}"#),
        format!("reader GET {path}"),
        format!("ann POST {path}/theirs/a"),
    ] {
        script.say(&line).await?;
    }
    stage.boards.settle().await?;
    script.say("reader GET /v1/leaderboards/net/players/theirs/a").await?;
    assert_snapshot!(script.text());
    stage.api.stop().await
}

#[tokio::test]
async fn every_resource_of_boards_asks_for_its_scope() -> Result<()> {
    let api = Api::start().await?;
    for (method, path) in [
        ("GET", "/v1/leaderboards"),
        ("GET", "/v1/leaderboards/x"),
        ("GET", "/v1/leaderboards/x/around/ours/x"),
        ("GET", "/v1/leaderboards/x/players/ours/x"),
        ("GET", "/v1/leaderboards/x/exclusions"),
        ("PUT", "/v1/leaderboards/x/exclusions/ours/x"),
        ("DELETE", "/v1/leaderboards/x/exclusions/ours/x"),
        ("GET", "/v1/players/ours/x/ratings"),
    ] {
        let (right, wrong) = if method == "GET" { (READER, WRITER) } else { (WRITER, READER) };
        assert_eq!(api.send(&request(wrong, method, path, "")).await?.status, 403, "{method} {path}");
        let done = api.send(&request(right, method, path, "")).await?.status;
        assert!(matches!(done, 200 | 404 | 415), "{method} {path}: {done}");
        assert_eq!(api.send(&request("nobody", method, path, "")).await?.status, 401, "{method} {path}");
    }
    // Boards exist when the worker has brought them in.
    assert_eq!(
        api.send(&request(ANN, "GET", "/v1/leaderboards", "")).await?.body,
        r#"{"items":[],"next":null}"#
    );
    api.stop().await
}
