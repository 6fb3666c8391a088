//! Matches and their stories.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::{MatchKind, MatchStatus};

use crate::events::{of_kind, snapshot};
use crate::harness::{Api, READER, request};
use crate::script::Script;

#[tokio::test]
async fn a_match_is_shown_with_its_money() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/matches/theirs/m1").await?;
    api.apply(&[snapshot("theirs", MatchStatus::Open, None)]).await?;
    script.say("reader GET /v1/matches/theirs/m1").await?;
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    script.say("reader GET /v1/matches/theirs/m1").await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    script.say("reader GET /v1/matches/theirs/m1").await?;
    script.say("reader GET /v1/matches/theirs/m1?kind=recreational").await?;
    script.say("reader GET /v1/matches/theirs/m1?kind=tournament").await?;
    script.say("reader GET /v1/matches/nobody/m1").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn several_matches_of_one_id_are_told_apart_by_their_kind() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[
        snapshot("theirs", MatchStatus::Confirmed, None),
        of_kind(MatchKind::FreeToPlay, "theirs", MatchStatus::Confirmed, None),
    ])
    .await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/matches/theirs/m1").await?;
    script.say("reader GET /v1/matches/theirs/m1?kind=free_to_play").await?;
    script
        .say(
            r#"ann POST /v1/matches/theirs/m1/corrections key=c1 {"end": {"as": "refund"}, "reason": "why"}"#,
        )
        .await?;
    script
        .say(r#"ann POST /v1/matches/theirs/m1/corrections?kind=free_to_play key=c1 {"end": {"as": "refund"}, "reason": "why"}"#)
        .await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn a_story_has_what_came_what_moved_and_who_corrected_it() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    let mut script = Script::new(&api);
    script
        .say(r#"ann POST /v1/matches/theirs/m1/corrections key=c1 {"end": {"as": "refund"}, "reason": "b was cheated"}"#)
        .await?;
    script.say("reader GET /v1/matches/theirs/m1/timeline").await?;
    script.say("reader GET /v1/matches/theirs/m2/timeline").await?;
    script.say("reader GET /v1/matches/nobody/m2/timeline").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn an_id_may_have_any_character_that_a_provider_may_send() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    let body = r#"{"amount": {"minor_units": 1000, "currency": "USD"}, "reason": "payment 17"}"#;
    script.say(&format!("ann POST /v1/players/ours/a%2Fb%20%C3%A4%3F%25/deposits key=d1 {body}")).await?;
    script.say("reader GET /v1/players/ours/a%2Fb%20%C3%A4%3F%25").await?;
    // What no provider's id has, the database is never asked for.
    let long = "x".repeat(201);
    for bad in ["%00", "a%0Ab", long.as_str()] {
        script.say(&format!("reader GET /v1/players/ours/{bad}")).await?;
        script.say(&format!("reader GET /v1/matches/ours/{bad}/timeline")).await?;
    }
    script.say("reader GET /v1/players/OURS/a").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

/// A story in pages is the whole story, also where many lines were written in one moment.
#[tokio::test]
async fn a_story_is_read_page_by_page() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[snapshot("theirs", MatchStatus::Open, None)]).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    let page = async |query: &str| -> Result<serde_json::Value> {
        let path = format!("/v1/matches/theirs/m1/timeline?{query}");
        let answer = api.send(&request(READER, "GET", &path, "")).await?;
        anyhow::ensure!(answer.status == 200, "{query}: {answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    };
    let whole = page("limit=200").await?;
    assert_eq!(whole["next"], serde_json::Value::Null);
    let whole = whole["lines"].as_array().unwrap();
    assert!(whole.len() > 8, "{whole:?}");
    for limit in [1, 2, 3, whole.len()] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let part = page(&format!("limit={limit}{cursor}")).await?;
            let lines = part["lines"].as_array().unwrap();
            assert!(lines.len() <= limit && !lines.is_empty());
            seen.extend(lines.clone());
            let Some(next) = part["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&seen, whole, "by {limit}");
    }
    api.stop().await
}
