//! What a provider told, as an operator sees and corrects it: all programs, from the webhook to the API.

use anyhow::{Result, ensure};
use insta::assert_snapshot;
use serde_json::Value;

use crate::system::System;
use crate::system::http::Answer;
use crate::system::sources::{Source, fixture};

const MATCH: &str = "/v1/matches/games/0d9f6f3a-5a0e-4b53-9f0e-6d3a1c2b7e10";

fn body(answer: &Answer, status: u16) -> Result<Value> {
    ensure!(answer.status == status, "{answer:?}");
    Ok(serde_json::from_str(&answer.body)?)
}

#[tokio::test]
async fn a_match_that_was_delivered_is_read_and_corrected() -> Result<()> {
    let mut system = System::start(vec![Source::of("lucra", "games")?]).await?;
    let completed = fixture("lucra", "RecreationalGameCompleted")?;
    ensure!(system.deliver("games", &completed).await?.status == 200);
    system.settle().await?;

    let told = body(&system.ask_api("GET", MATCH, "").await?, 200)?;
    let sums = |told: &Value| {
        let names = ["pot", "paid", "refunded", "fee"];
        let amounts = names.map(|name| format!(", {name} {}", told[name]["minor_units"]));
        format!("{}{}", told["status"], amounts.concat())
    };
    assert_snapshot!(sums(&told), @r#""CLOSED", pot 2000, paid 1800, refunded 0, fee 200"#);
    let story = body(&system.ask_api("GET", &format!("{MATCH}/timeline"), "").await?, 200)?;
    let lines = story["lines"].as_array().into_iter().flatten();
    // The workers are beside each other, so which of them was first is another one each time.
    let mut what: Vec<&str> = lines.filter_map(|line| line["what"].as_str()).collect();
    what.sort_unstable();
    assert_snapshot!(what.join(" "), @"event fee hold hold notice notice payout reward");

    let refund = r#"{"end": {"as": "refund"}, "reason": "the provider said so on the telephone"}"#;
    let corrected = system.ask_api("POST", &format!("{MATCH}/corrections"), refund).await?;
    ensure!(body(&corrected, 201)?["proposed_by"] == "tester", "{corrected:?}");
    let told = body(&system.ask_api("GET", MATCH, "").await?, 200)?;
    assert_snapshot!(sums(&told), @r#""CANCELED_OTHER", pot 2000, paid 0, refunded 2000, fee 0"#);
    // The provider says it again, and a person knows better.
    ensure!(system.deliver("games", &completed).await?.status == 200);
    system.settle().await?;
    assert_eq!(body(&system.ask_api("GET", MATCH, "").await?, 200)?["status"], told["status"]);
    let balance = body(&system.ask_api("GET", "/v1/ledger/trial-balance", "").await?, 200)?;
    ensure!(balance["balanced"] == true, "{balance}");
    system.stop().await
}
