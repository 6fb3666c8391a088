//! Deposits, withdrawals, and what players have.

use anyhow::Result;
use futures_util::future::try_join_all;
use insta::assert_snapshot;
use matchpurse_domain::event::MatchStatus;
use serde_json::Value;

use crate::events::snapshot;
use crate::harness::{ANN, Api, deposit, request};
use crate::script::Script;

const TEN: &str = r#"{"amount": {"minor_units": 1000, "currency": "USD"}, "reason": "payment 17"}"#;
const SIX: &str = r#"{"amount": {"minor_units": 600, "currency": "USD"}, "reason": "case 4"}"#;

#[tokio::test]
async fn money_comes_and_goes_once_a_key() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    for line in [
        &format!("ann POST /v1/players/ours/a/deposits key=d1 {TEN}"),
        // Who repeats a request, and in which words, does not make it another one.
        &format!("bob POST /v1/players/ours/a/deposits key=d1 {}", TEN.replace("payment 17", "again")),
        &format!("ann POST /v1/players/ours/a/deposits key=d1 {SIX}"),
        &format!("ann POST /v1/players/ours/b/deposits key=d1 {TEN}"),
        &format!("ann POST /v1/players/ours/a/withdrawals key=d1 {TEN}"),
        &format!("ann POST /v1/players/ours/a/withdrawals key=w1 {SIX}"),
        &format!("ann POST /v1/players/ours/a/withdrawals key=w2 {SIX}"),
        // The same key again, when there is enough.
        &format!("ann POST /v1/players/ours/a/deposits key=d2 {TEN}"),
        &format!("ann POST /v1/players/ours/a/withdrawals key=w2 {SIX}"),
        &format!("ann POST /v1/players/theirs/a/deposits key=d3 {TEN}"),
        &format!("ann POST /v1/players/coins/a/deposits key=d3 {TEN}"),
        &format!("ann POST /v1/players/ours/a/deposits key=d3 {}", TEN.replace("USD", "dollars")),
        &format!("ann POST /v1/players/ours/a/deposits key=d3 {}", TEN.replace("1000", "0")),
        &format!("ann POST /v1/players/ours/a/deposits key=d3 {}", TEN.replace("1000", "1000000000001")),
        &format!("ann POST /v1/players/nobody/a/deposits key=d3 {TEN}"),
        // An account of a player of whom no provider has told yet.
        "ann GET /v1/players/ours/a",
        "ann GET /v1/players/ours/b",
        "ann GET /v1/players/nobody/b",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn an_amount_has_its_currency_and_an_answer_its_order_on_the_wire() -> Result<()> {
    let api = Api::start().await?;
    let answer = api.send(&deposit("/v1/players/ours/a/deposits", "d1", 1000)).await?;
    let (before_at, _) = answer.body.split_once(r#","at":"#).unwrap();
    assert_snapshot!(before_at, @r#"{"operation":{"id":"e76b65db-368c-548d-8039-d510873d28d8","kind":"deposit","source":"ours","player_id":"a","amount":{"minor_units":1000,"currency":"USD"},"actor":"ann","reason":"payment 17""#);
    api.stop().await
}

#[tokio::test]
async fn what_a_player_has_is_known_at_any_moment() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    api.deposit("a", 1500).await?;
    api.deposit("b", 1000).await?;
    let account = api.account("a").await?;
    let entries = script.say(&format!("ann GET /v1/ledger/accounts/{account}/entries")).await?;
    let deposited = entries["items"][0]["recorded_at"].as_str().unwrap().to_owned();
    api.apply(&[snapshot("ours", MatchStatus::Confirmed, None)]).await?;
    let entries = script.say(&format!("ann GET /v1/ledger/accounts/{account}/entries")).await?;
    let held = entries["items"][0]["recorded_at"].as_str().unwrap().to_owned();
    script.say("ann GET /v1/players/ours/a").await?;
    api.apply(&[snapshot("ours", MatchStatus::Closed, Some("g1"))]).await?;
    script.say("ann GET /v1/players/ours/a").await?;
    script.say("ann GET /v1/players/ours/b").await?;
    script.say(&format!("ann GET /v1/players/ours/a?at={deposited}")).await?;
    script.say(&format!("ann GET /v1/players/ours/a?at={held}")).await?;
    script.say("ann GET /v1/players/ours/a?at=2020-01-01T00:00:00%2B01:00").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn twenty_equal_deposits_at_once_move_money_once() -> Result<()> {
    let api = Api::start().await?;
    let request = deposit("/v1/players/ours/a/deposits", "the same", 1000);
    // A space is no visible character.
    assert_eq!(api.send(&request).await?.status, 400);
    let request = deposit("/v1/players/ours/a/deposits", "the-same", 1000);
    let answers = try_join_all((0..20).map(|_| api.send(&request))).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 19], vec![201]].concat());
    let bodies: Vec<&str> = answers.iter().map(|answer| answer.body.as_str()).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(available(&api).await?, 1000);
    api.stop().await
}

#[tokio::test]
async fn twenty_withdrawals_at_once_never_overdraw() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1000).await?;
    let requests: Vec<_> =
        (0..20).map(|n| deposit("/v1/players/ours/a/withdrawals", &format!("w{n}"), 150)).collect();
    let answers = try_join_all(requests.iter().map(|request| api.send(request))).await?;
    let done = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(done, 6, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let problem: Value = serde_json::from_str(&refused.body)?;
        assert_eq!(problem["type"], "urn:matchpurse:problem:insufficient-funds", "{problem}");
        let balance = problem["balance"]["minor_units"].as_i64().unwrap();
        assert!((0..150).contains(&balance), "{problem}");
    }
    assert_eq!(available(&api).await?, 100);
    api.stop().await
}

/// What the player a has.
async fn available(api: &Api) -> Result<i64> {
    let answer = api.send(&request(ANN, "GET", "/v1/players/ours/a", "")).await?;
    let player: Value = serde_json::from_str(&answer.body)?;
    Ok(player["balances"][0]["available"]["minor_units"].as_i64().unwrap())
}
