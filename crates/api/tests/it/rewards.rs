//! Rewards, seen and decided about.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_testkit::Reply;
use serde_json::Value;

use crate::backend::{Backend, earned, settled, won};
use crate::harness::{ANN, READER, request};
use crate::script::Script;

/// Ann has two rewards and a third that is held by her limit; Bob's is held for what came along.
async fn with_rewards() -> Result<Backend> {
    let backend = Backend::start("").await?;
    for event in [
        earned("c1", "ann", 150),
        won("c2", "ann", r#"{"sku": 7.10}"#),
        earned("c3", "ann", 200),
        won("c4", "bob", r#"["drink"]"#),
    ] {
        backend.apply(&[event]).await?;
    }
    Ok(backend)
}

#[tokio::test]
async fn rewards_are_listed_by_what_is_asked_for() -> Result<()> {
    let backend = with_rewards().await?;
    let mut script = Script::new(&backend.api);
    for query in [
        "",
        "?state=needs_review",
        "?source=wall&player=ann&state=granted",
        "?source=wall&contest=c4",
        "?source=wall&player=nobody",
        "?source=other",
        "?state=open",
        "?player=ann",
        "?contest=c4",
        "?source=Wall",
        "?source=wall&player=%00",
        "?cursor=AAAA",
        "?grant=1",
    ] {
        script.say(&format!("reader GET /v1/rewards{query}")).await?;
    }
    assert_snapshot!(script.text());
    backend.api.stop().await
}

#[tokio::test]
async fn rewards_are_read_page_by_page() -> Result<()> {
    let backend = Backend::start("").await?;
    // One transaction: all of one moment.
    let events: Vec<_> = (0..7).map(|n| earned(&format!("c{n}"), &format!("p{n}"), 100)).collect();
    backend.apply(&events).await?;
    let mut path = "/v1/rewards?limit=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = backend.api.send(&request(READER, "GET", &path, "")).await?;
        let page: Value = serde_json::from_str(&answer.body)?;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["contest"]["id"].as_str().unwrap().to_owned()));
        // What comes meanwhile is not on a later page.
        backend.apply(&[earned(&format!("later{}", seen.len()), "p", 1)]).await?;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/rewards?limit=3&cursor={next}");
    }
    seen.sort_unstable();
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
    backend.api.stop().await
}

#[tokio::test]
async fn people_decide_about_rewards_once() -> Result<()> {
    let backend = with_rewards().await?;
    let (ann, bob) = (backend.grants("ann").await?, backend.grants("bob").await?);
    let [given, _, limited] = ann.as_slice() else { panic!("{ann:?}") };
    let mut script = Script::new(&backend.api);
    for line in [
        format!(r#"ann POST /v1/rewards/{limited}/release {{"reason": "case 17"}}"#),
        // It is done once in the reward's life, so who asks again learns by whom.
        format!(r#"bob POST /v1/rewards/{limited}/release {{"reason": "me too"}}"#),
        format!(r#"ann POST /v1/rewards/{given}/release {{"reason": "it is given"}}"#),
        format!(r#"ann POST /v1/rewards/{}/reverse {{"reason": "no such drink"}}"#, bob[0]),
        format!(r#"bob POST /v1/rewards/{}/reverse {{"reason": "again"}}"#, bob[0]),
        format!(r#"ann POST /v1/rewards/{}/release {{"reason": "too late"}}"#, bob[0]),
        format!(r#"ann POST /v1/rewards/{given}/retry key=r1 {{"reason": "nobody wants it"}}"#),
        format!("reader GET /v1/rewards/{limited}"),
        "reader GET /v1/rewards?state=needs_review".to_owned(),
    ] {
        script.say(&line).await?;
    }
    assert_snapshot!(script.text());
    backend.api.stop().await
}

#[tokio::test]
async fn a_decision_that_is_not_understood_is_none() -> Result<()> {
    let backend = with_rewards().await?;
    let held = backend.grants("bob").await?.remove(0);
    let nobody = "00000000-0000-0000-0000-000000000000";
    let mut script = Script::new(&backend.api);
    for line in [
        format!(r#"reader POST /v1/rewards/{held}/release {{"reason": "r"}}"#),
        format!(r#"ann POST /v1/rewards/{held}/release {{"reason": " "}}"#),
        format!(r#"ann POST /v1/rewards/{held}/release {{}}"#),
        format!(r#"ann POST /v1/rewards/{held}/release {{"reason": "r", "amount": 5}}"#),
        format!(r#"ann POST /v1/rewards/{held}/retry {{"reason": "r"}}"#),
        format!("ann POST /v1/rewards/{held}/release"),
        format!("ann GET /v1/rewards/{held}/release"),
        format!("ann DELETE /v1/rewards/{held}"),
        format!(r#"ann POST /v1/rewards/{nobody}/release {{"reason": "r"}}"#),
        format!(r#"ann POST /v1/rewards/{nobody}/reverse {{"reason": "r"}}"#),
        format!(r#"ann POST /v1/rewards/{nobody}/retry key=k {{"reason": "r"}}"#),
        format!("ann GET /v1/rewards/{nobody}"),
        "ann GET /v1/rewards/17".to_owned(),
        format!("ann GET /v1/rewards/{held}?at=now"),
    ] {
        script.say(&line).await?;
    }
    assert_snapshot!(script.text());
    assert_eq!(backend.api.database.texts("SELECT kind FROM operation").await?, [""; 0]);
    backend.api.stop().await
}

/// The whole way: the studio refuses, an operator looks, and has it told again.
#[tokio::test]
async fn a_reward_is_seen_with_all_that_the_studio_was_told() -> Result<()> {
    let backend = Backend::start("").await?;
    backend.studio.behave(|_, nth| if nth == 1 { Reply::status(500).body("no coins") } else { Reply::ok() });
    let mut script = Script::new(&backend.api);
    let endpoint = backend.endpoint("game", "");
    script.say(&format!("ann POST /v1/endpoints key=e1 {endpoint}")).await?;
    let mut script = Script::new(&backend.api);
    backend.apply(&[won("c1", "ann", r#"{"sku": 7.10, "n": 1.50}"#)]).await?;
    backend.apply(&[earned("c2", "ann", 150)]).await?;
    let ann = backend.grants("ann").await?;
    let [drink, points] = ann.as_slice() else { panic!("{ann:?}") };
    script.say(&format!("reader GET /v1/rewards/{drink}")).await?;
    let mut dispatcher = backend.dispatcher().await?;
    dispatcher.settle().await?;
    script.say(&format!("reader GET /v1/rewards/{drink}")).await?;
    let retry = |who: &str, grant: &str| {
        format!(r#"{who} POST /v1/rewards/{grant}/retry key=r1 {{"reason": "they have coins again"}}"#)
    };
    script.say(&retry("ann", drink)).await?;
    dispatcher.settle().await?;
    script.say(&retry("bob", drink)).await?;
    script.say(&retry("ann", points)).await?;
    script.say(&format!("reader GET /v1/rewards/{drink}")).await?;
    assert_snapshot!(settled(&script.text()));
    // The same notice under the same id, and what came along to the digit.
    let sent = backend.studio.requests();
    let first = sent.iter().filter(|one| String::from_utf8_lossy(&one.body).contains("sku"));
    let ids: Vec<&str> = first.clone().map(|one| one.webhook_id()).collect();
    assert_eq!(ids, [ids[0]; 2]);
    let whole = backend.api.send(&request(ANN, "GET", &format!("/v1/rewards/{drink}"), "")).await?;
    assert!(whole.body.contains(r#""payload":{"n": 1.50, "sku": 7.10}"#), "{}", whole.body);
    backend.api.stop().await
}

/// What a studio has given is taken back by its own word; that it was told so is seen.
#[tokio::test]
async fn a_reward_that_was_given_is_taken_back() -> Result<()> {
    let backend = Backend::start("").await?;
    let mut script = Script::new(&backend.api);
    let endpoint = backend.endpoint("game", r#", "events": ["reward.*"]"#);
    script.say(&format!("ann POST /v1/endpoints key=e1 {endpoint}")).await?;
    backend.apply(&[earned("c1", "ann", 150)]).await?;
    let mut dispatcher = backend.dispatcher().await?;
    dispatcher.settle().await?;
    let grant = backend.grants("ann").await?.remove(0);
    let state = async || {
        let answer = backend.api.send(&request(READER, "GET", &format!("/v1/rewards/{grant}"), "")).await?;
        anyhow::Ok(serde_json::from_str::<Value>(&answer.body)?["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state().await?, "fulfilled");
    let done =
        script.say(&format!(r#"ann POST /v1/rewards/{grant}/reverse {{"reason": "a chargeback"}}"#)).await?;
    assert_eq!(done["reward"]["state"], "reversed");
    dispatcher.settle().await?;
    let kinds: Vec<String> = backend
        .studio
        .requests()
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["reward.granted", "reward.reversed"]);
    backend.api.stop().await
}

/// Whether the provider knows, and why not: its answer may be about our key and not about the reward.
#[tokio::test]
async fn a_reward_says_what_the_provider_knows_of_it() -> Result<()> {
    let backend = Backend::start("").await?;
    backend.apply(&[won("c1", "ann", r#"{"sku": 1}"#)]).await?;
    let path = format!("/v1/rewards/{}", backend.grants("ann").await?.remove(0));
    let call = async || {
        let answer = backend.api.send(&request(READER, "GET", &path, "")).await?;
        anyhow::Ok(serde_json::from_str::<Value>(&answer.body)?["provider_call"].clone())
    };
    assert_eq!(call().await?, Value::Null);
    let sql = "INSERT INTO redemption_call (contest_key, player_key, source, state, redeemed_at, next_attempt_at, attempts,
                                            last_at, last_outcome, last_status, last_detail, created_at)
               SELECT contest_key, player_key, source, 'waiting', '2026-09-21T14:13:20Z', '2026-09-21T14:18:21Z', 2,
                      '2026-09-21T14:13:21Z', 'key_refused', 401, 'no such key', now() FROM reward_grant";
    backend.api.database.connection().await?.batch_execute(sql).await?;
    let expected = serde_json::json!({
        "state": "waiting",
        "redeemed_at": "2026-09-21T14:13:20.000000Z",
        "scheduled_attempts": 2,
        "next_attempt_at": "2026-09-21T14:18:21.000000Z",
        "last_attempt": {
            "at": "2026-09-21T14:13:21.000000Z", "outcome": "key_refused", "status": 401, "detail": "no such key",
        },
    });
    assert_eq!(call().await?, expected);
    backend.api.stop().await
}

/// An endpoint goes before it has got a reward: that is seen, and a retry has the next one told.
#[tokio::test]
async fn what_a_removed_endpoint_had_not_got_is_handed_on() -> Result<()> {
    let backend = Backend::start("").await?;
    backend.studio.behave(|_, _| Reply::status(500));
    let mut script = Script::new(&backend.api);
    let endpoint = backend.endpoint("old", r#", "events": ["reward.*"]"#);
    script.say(&format!("ann POST /v1/endpoints key=e1 {endpoint}")).await?;
    backend.apply(&[earned("c1", "ann", 150)]).await?;
    backend.dispatcher().await?.settle().await?;
    script.say("ann DELETE /v1/endpoints/old?reason=moved").await?;
    backend.dispatcher().await?.settle().await?;
    let grant = backend.grants("ann").await?.remove(0);
    let seen = script.say(&format!("reader GET /v1/rewards/{grant}")).await?;
    let delivery = &seen["notices"][0]["deliveries"][0];
    assert_eq!((&seen["state"], &delivery["state"]), (&"failed".into(), &"given_up".into()));
    assert_eq!(delivery["because"], "endpoint_removed");
    let retry = |key: &str| format!(r#"ann POST /v1/rewards/{grant}/retry key={key} {{"reason": "moved"}}"#);
    assert_eq!(script.say(&retry("r1")).await?["status"], 409, "nobody wants it");
    backend.studio.behave(|_, _| Reply::ok());
    let endpoint = backend.endpoint("new", r#", "events": ["reward.*"]"#);
    script.say(&format!("ann POST /v1/endpoints key=e2 {endpoint}")).await?;
    script.say(&retry("r2")).await?;
    backend.dispatcher().await?.settle().await?;
    let seen = script.say(&format!("reader GET /v1/rewards/{grant}")).await?;
    assert_eq!(seen["state"], "fulfilled");
    let number = delivery["id"].as_str().unwrap();
    let again = script
        .say(&format!(r#"ann POST /v1/deliveries/{number}/retry key=d1 {{"reason": "again"}}"#))
        .await?;
    assert_eq!((&again["status"], &again["reason"]), (&409.into(), &"handed-on".into()));
    backend.api.stop().await
}
