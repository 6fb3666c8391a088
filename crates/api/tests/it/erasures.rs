//! A player is erased on request, once, and only when nothing is open.

use anyhow::Result;
use serde_json::json;

use crate::console_studio::Browser;
use crate::harness::{ANN, Api, READER, request};
use crate::http::{Answer, Request};

const PATH: &str = "/v1/players/ours/anna-4711/erasure";
const WHY: &str = r#"{"reason": "anna-4711 asked for it"}"#;

fn erasure(who: &str, key: &str, body: &str) -> Request {
    let mut request = request(who, "POST", PATH, body);
    request.headers.push(("idempotency-key".to_owned(), key.as_bytes().to_vec()));
    request
}

fn body(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn a_player_is_erased_when_nothing_is_open() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("anna-4711", 1000).await?;

    let answer = api.send(&erasure(READER, "k", WHY)).await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = api.send(&request(ANN, "POST", PATH, WHY)).await?;
    assert_eq!(
        (answer.status, body(&answer)["type"].as_str()),
        (400, Some("urn:matchpurse:problem:idempotency-key-missing"))
    );
    let answer = api.send(&erasure(ANN, "k", r#"{"reason": " "}"#)).await?;
    assert_eq!(answer.status, 422, "{answer:?}");

    // What the studio holds for her is hers.
    for dry_run in [WHY.to_owned(), WHY.replace('}', r#", "dry_run": true}"#)] {
        let answer = api.send(&erasure(ANN, "k", &dry_run)).await?;
        let told = body(&answer);
        assert_eq!(
            (answer.status, told["type"].as_str()),
            (409, Some("urn:matchpurse:problem:erasure-open"))
        );
        let balance = json!([{ "what": "balance", "about": "USD", "amount": { "minor_units": 1000, "currency": "USD" } }]);
        assert_eq!(told["open"], balance);
    }
    let paid = r#"{"amount": {"minor_units": 1000, "currency": "USD"}, "reason": "paid out"}"#;
    let mut withdrawal = request(ANN, "POST", "/v1/players/ours/anna-4711/withdrawals", paid);
    withdrawal.headers.push(("idempotency-key".to_owned(), b"w".to_vec()));
    assert_eq!(api.send(&withdrawal).await?.status, 201);

    let answer = api.send(&erasure(ANN, "k", &WHY.replace('}', r#", "dry_run": true}"#))).await?;
    let told = body(&answer);
    assert_eq!(
        (answer.status, &told["state"], &told["changed"]["account"]),
        (200, &json!("dry_run"), &json!(1))
    );
    assert_eq!(api.database.texts("SELECT player_id FROM player").await?, ["anna-4711"]);
    assert_eq!(api.database.texts("SELECT reason FROM erasure").await?, [""; 0]);

    let answer = api.send(&erasure(ANN, "k", WHY)).await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    let begun = body(&answer);
    let pseudonym = begun["pseudonym"].as_str().unwrap();
    assert_eq!(begun["reason"], format!("{pseudonym} asked for it"));
    let place = format!("/v1/erasures/{}", begun["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(place.as_str()));
    // Somebody goes on with it by itself.
    while api.database.texts("SELECT state FROM erasure").await? != ["finished"] {
        tokio::task::yield_now().await;
    }
    let answer = api.send(&request(READER, "GET", &place, "")).await?;
    let finished = body(&answer);
    assert_eq!((&finished["state"], &finished["came_back"]), (&json!("finished"), &json!(false)));
    assert!(!answer.body.contains("anna"), "{answer:?}");
    assert_eq!(api.database.texts("SELECT subject FROM operation GROUP BY 1").await?, [pseudonym]);

    // Asked for once more it is the same one, and under another key there is nothing to do.
    let answer = api.send(&erasure(ANN, "k", WHY)).await?;
    assert_eq!((answer.status, &body(&answer)["id"]), (200, &begun["id"]));
    let answer = api.send(&erasure(ANN, "k2", WHY)).await?;
    assert_eq!((answer.status, &body(&answer)["changed"]), (202, &json!({})));
    assert_eq!(api.send(&request(READER, "GET", "/v1/players/ours/anna-4711", "")).await?.status, 404);
    let unknown = "/v1/erasures/00000000-0000-0000-0000-000000000000";
    assert_eq!(api.send(&request(READER, "GET", unknown, "")).await?.status, 404);
    api.stop().await
}

#[tokio::test]
async fn a_page_erases_only_whom_somebody_has_named_by_hand() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("bert-0815", 500).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let (page, form) = ("/console/players/ours/bert-0815", "/console/players/ours/bert-0815/erase");
    let players = "SELECT player_id FROM player";
    for (named, told) in [("bert", "as it stands on the page"), ("bert-0815", "balance USD")] {
        let fields = [("reason", "he asked for it"), ("confirm", named)];
        let refused = ann.act(page, form, &fields).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        assert_eq!(api.database.texts(players).await?, ["bert-0815"]);
    }
    let paid = r#"{"amount": {"minor_units": 500, "currency": "USD"}, "reason": "paid out"}"#;
    let mut withdrawal = request(ANN, "POST", "/v1/players/ours/bert-0815/withdrawals", paid);
    withdrawal.headers.push(("idempotency-key".to_owned(), b"w".to_vec()));
    assert_eq!(api.send(&withdrawal).await?.status, 201);
    let fields = [("reason", "he asked for it"), ("confirm", "bert-0815")];
    let after = ann.act(page, form, &fields).await?;
    assert!(after.contains("The player is erased"), "{after}");
    let named = api.database.texts(players).await?;
    assert!(named.iter().all(|player| player.starts_with('~')), "{named:?}");
    let reader = Browser::log_in(&api, READER).await?;
    api.deposit("carl", 500).await?;
    assert!(!reader.page("/console/players/ours/carl").await?.contains("/erase"));
    api.stop().await
}
