//! Corrections, by one person and by two.

use anyhow::Result;
use futures_util::future::try_join_all;
use insta::assert_snapshot;
use matchpurse_domain::event::MatchStatus;

use crate::events::snapshot;
use crate::harness::{ANN, Api, SETTINGS, request};
use crate::script::Script;

const REFUND: &str = r#"{"end": {"as": "refund"}, "reason": "b was cheated"}"#;

/// An API with a match that a won.
async fn with_a_won_match(settings: &str) -> Result<Api> {
    let api = Api::start_with(settings).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    Ok(api)
}

#[tokio::test]
async fn one_person_corrects() -> Result<()> {
    let api = with_a_won_match(SETTINGS).await?;
    let mut script = Script::new(&api);
    for line in [
        // A look needs neither a key nor a reason, and changes nothing.
        r#"ann POST /v1/matches/theirs/m1/corrections {"end": {"as": "winners", "groups": ["g2"]}, "dry_run": true}"#,
        "ann GET /v1/corrections",
        &format!("ann POST /v1/matches/theirs/m1/corrections key=c1 {REFUND}"),
        // The same again, and in other words.
        &format!("bob POST /v1/matches/theirs/m1/corrections key=c1 {REFUND}"),
        r#"ann POST /v1/matches/theirs/m1/corrections key=c1 {"end": {"as": "tie"}, "reason": "b was cheated"}"#,
        &format!("ann POST /v1/matches/theirs/m1/corrections key=c2 {REFUND}"),
        r#"ann POST /v1/matches/theirs/m1/corrections key=c2 {"end": {"as": "payouts", "payouts": [{"player_id": "a", "minor_units": 500}, {"player_id": "b", "minor_units": 1500}]}, "reason": "agreed"}"#,
        "reader GET /v1/matches/theirs/m1",
        "reader GET /v1/corrections?state=applied",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn two_persons_correct() -> Result<()> {
    let api = with_a_won_match(&format!("[operations]\ncorrection_approvals = 2\n{SETTINGS}")).await?;
    let mut script = Script::new(&api);
    let path = "/v1/matches/theirs/m1/corrections";
    let first = script.say(&format!("ann POST {path} key=c1 {REFUND}")).await?;
    let first = first["id"].as_str().unwrap().to_owned();
    for line in [
        &format!("ann POST {path} key=c1 {REFUND}"),
        &format!("ann POST {path} key=c2 {REFUND}"),
        &format!("ann POST /v1/corrections/{first}/approve"),
        &format!("reader POST /v1/corrections/{first}/approve"),
        &format!(r#"bob POST /v1/corrections/{first}/reject {{"reason": " "}}"#),
        &format!(r#"bob POST /v1/corrections/{first}/reject {{"reason": "there is no proof"}}"#),
        &format!("bob POST /v1/corrections/{first}/approve"),
        &format!("ann POST {path} key=c1 {REFUND}"),
    ] {
        script.say(line).await?;
    }
    let second = script.say(&format!("ann POST {path} key=c2 {REFUND}")).await?;
    let second = second["id"].as_str().unwrap().to_owned();
    script.say("reader GET /v1/corrections?state=proposed").await?;
    script.say(&format!("bob POST /v1/corrections/{second}/approve")).await?;
    script.say(&format!("bob POST /v1/corrections/{second}/approve")).await?;
    script.say(&format!("reader GET /v1/corrections/{second}")).await?;
    script.say("reader GET /v1/matches/theirs/m1").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn a_proposal_about_a_match_that_has_changed_must_be_made_anew() -> Result<()> {
    let api = Api::start_with(&format!("[operations]\ncorrection_approvals = 2\n{SETTINGS}")).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    let mut script = Script::new(&api);
    let made = script.say(&format!("ann POST /v1/matches/theirs/m1/corrections key=c1 {REFUND}")).await?;
    api.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"))]).await?;
    script.say(&format!("bob POST /v1/corrections/{}/approve", made["id"].as_str().unwrap())).await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn what_cannot_be_an_end_is_refused_with_the_reason() -> Result<()> {
    let api = with_a_won_match(SETTINGS).await?;
    api.deposit("a", 1000).await?;
    api.deposit("b", 1000).await?;
    api.apply(&[snapshot("ours", MatchStatus::Closed, Some("g1"))]).await?;
    let mut script = Script::new(&api);
    let withdrawal = r#"{"amount": {"minor_units": 1500, "currency": "USD"}, "reason": "bought something"}"#;
    script.say(&format!("ann POST /v1/players/ours/a/withdrawals key=w1 {withdrawal}")).await?;
    for (source, end) in [
        ("theirs", r#"{"as": "winners", "groups": ["g3"]}"#),
        ("theirs", r#"{"as": "winners", "groups": []}"#),
        ("theirs", r#"{"as": "payouts", "payouts": [{"player_id": "c", "minor_units": 1}]}"#),
        ("theirs", r#"{"as": "payouts", "payouts": [{"player_id": "a", "minor_units": -1}]}"#),
        (
            "theirs",
            r#"{"as": "payouts", "payouts": [{"player_id": "a", "minor_units": 1}, {"player_id": "a", "minor_units": 2}]}"#,
        ),
        ("theirs", r#"{"as": "winners", "groups": ["g1"]}"#),
        ("theirs", r#"{"as": "event", "event_id": "00000000-0000-0000-0000-000000000001"}"#),
        ("ours", r#"{"as": "payouts", "payouts": [{"player_id": "a", "minor_units": 2001}]}"#),
        // a has spent what b would get.
        ("ours", r#"{"as": "winners", "groups": ["g2"]}"#),
        ("theirs", r#"{"as": "lost"}"#),
        ("theirs", r#"{"as": "refund", "groups": ["g1"]}"#),
    ] {
        let path = format!("/v1/matches/{source}/m1/corrections");
        script.say(&format!(r#"ann POST {path} key=c1 {{"end": {end}, "reason": "a test"}}"#)).await?;
    }
    script.say(&format!("ann POST /v1/matches/theirs/m2/corrections key=c1 {REFUND}")).await?;
    script.say(&format!("ann POST /v1/matches/nobody/m1/corrections key=c1 {REFUND}")).await?;
    script.say("ann GET /v1/corrections").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn twenty_equal_corrections_at_once_are_one() -> Result<()> {
    let api = with_a_won_match(SETTINGS).await?;
    let mut asked = request(ANN, "POST", "/v1/matches/theirs/m1/corrections", REFUND);
    asked.headers.push(("idempotency-key".to_owned(), b"c1".to_vec()));
    let answers = try_join_all((0..20).map(|_| api.send(&asked))).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 19], vec![201]].concat(), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    let generations = api.database.texts("SELECT generation::text FROM match").await?;
    assert_eq!(generations, ["1"]);
    api.stop().await
}
