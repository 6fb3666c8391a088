//! The ledger itself.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::MatchStatus;
use serde_json::Value;

use crate::events::snapshot;
use crate::harness::{Api, READER, request};
use crate::script::Script;

#[tokio::test]
async fn all_accounts_together_are_zero_at_any_moment() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/ledger/trial-balance").await?;
    api.deposit("a", 1500).await?;
    api.deposit("b", 1000).await?;
    api.apply(&[snapshot("ours", MatchStatus::Confirmed, None)]).await?;
    let account = api.account("a").await?;
    let entries = script.say(&format!("reader GET /v1/ledger/accounts/{account}/entries")).await?;
    let held = entries["items"][0]["recorded_at"].as_str().unwrap().to_owned();
    api.apply(&[
        snapshot("ours", MatchStatus::Closed, Some("g1")),
        snapshot("theirs", MatchStatus::Closed, Some("g1")),
    ])
    .await?;
    script.say("reader GET /v1/ledger/trial-balance").await?;
    script.say(&format!("reader GET /v1/ledger/trial-balance?at={held}")).await?;
    script.say("reader GET /v1/ledger/trial-balance?at=2020-01-01T00:00:00Z").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn an_account_says_whose_it_is_and_what_it_held() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 1500).await?;
    api.deposit("b", 1000).await?;
    api.apply(&[snapshot("ours", MatchStatus::Closed, Some("g1"))]).await?;
    let mut script = Script::new(&api);
    let accounts = api.database.texts("SELECT id::text FROM account").await?;
    for account in &accounts {
        script.say(&format!("reader GET /v1/ledger/accounts/{account}")).await?;
    }
    script.say(&format!("reader GET /v1/ledger/accounts/{}?at=2020-01-01T00:00:00Z", accounts[0])).await?;
    for bad in ["999", "0", "-1", "x", "99999999999999999999"] {
        script.say(&format!("reader GET /v1/ledger/accounts/{bad}")).await?;
    }
    script.say("reader GET /v1/ledger/accounts/999/entries").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn a_statement_is_read_page_by_page() -> Result<()> {
    let api = Api::start().await?;
    for amount in 1..=7 {
        api.deposit("a", amount).await?;
    }
    let mut script = Script::new(&api);
    let statement = format!("/v1/ledger/accounts/{}/entries?limit=3", api.account("a").await?);
    let mut path = statement.clone();
    let mut amounts = Vec::new();
    let first = script.say(&format!("reader GET {path}")).await?["next"].as_str().unwrap().to_owned();
    loop {
        let page = get(&api, &path).await?;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        amounts.extend(items.iter().map(|item| item["amount"]["minor_units"].as_i64().unwrap()));
        // What comes meanwhile is not on a later page.
        api.deposit("a", 100 + i64::try_from(amounts.len())?).await?;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{statement}&cursor={next}");
    }
    assert_eq!(amounts, [7, 6, 5, 4, 3, 2, 1]);
    // A cursor is its own list's.
    for path in
        [format!("/v1/ledger/accounts/99/entries?cursor={first}"), format!("/v1/corrections?cursor={first}")]
    {
        let refused = get(&api, &path).await?;
        assert_eq!((&refused["status"], &refused["field"]), (&400.into(), &"cursor".into()), "{refused}");
    }
    assert_snapshot!(script.text());
    api.stop().await
}

async fn get(api: &Api, path: &str) -> Result<Value> {
    Ok(serde_json::from_str(&api.send(&request(READER, "GET", path, "")).await?.body)?)
}
