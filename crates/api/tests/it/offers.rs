//! Offers: which there are, who may see them, who has started them.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::Event;
use matchpurse_domain::event::{OfferChange, OfferChanged, Payload, PlayerStanding, Standing};
use matchpurse_domain::time::Timestamp;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_testkit::event;
use matchpurse_worker_kit::Effects as _;
use serde_json::{Value, json};

use crate::harness::{ANN, Api, READER, SETTINGS, WRITER, request};
use crate::script::Script;

/// The token of a game's own servers.
pub(crate) const GAME: &str = "a-game-server-may-only-play-01234567";

/// The tests' settings, with a game server's token and more of `[api]`.
pub(crate) fn settings(api: &str) -> String {
    let token = format!("[api.tokens.game]\nsecret = \"{GAME}\"\nscopes = [\"play\"]\n[api.tokens.bob]");
    let settings = SETTINGS.replace("[api.tokens.bob]", &token);
    settings.replace("[api]\n", &format!("[api]\n{api}\n"))
}

/// Something that the provider of `theirs` says of an offer, at a second since 1970.
pub(crate) fn said(offer: &str, change: OfferChange, at: i64) -> Event {
    event(
        "theirs",
        true,
        Payload::OfferChanged(OfferChanged {
            offer_id: offer.to_owned(),
            change,
            changed_at: Timestamp::from_seconds(at),
            app_id: Some("1".to_owned()),
            campaign_id: None,
            data: format!("{{\"offerId\":\"{offer}\",\"payout\":1.10,\"at\":{at}}}"),
        }),
    )
}

/// A ban or its end.
pub(crate) fn judged(player: &str, standing: Standing, at: i64) -> Event {
    let changed_at = Timestamp::from_seconds(at);
    let payload = PlayerStanding { player_id: player.into(), standing, changed_at, reason: None };
    event("theirs", true, Payload::PlayerStanding(payload))
}

/// Applies events as `offer-removal` does.
pub(crate) async fn apply(api: &Api, events: &[Event]) -> Result<()> {
    let store = api.database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    OfferRemoval.apply_in_tx(&tx, events, Timestamp::from_seconds(1_790_000_000)).await?;
    Ok(tx.commit().await?)
}

async fn with_offers() -> Result<Api> {
    use OfferChange::{Created, Removed, Updated};
    let api = Api::start_with(&settings("")).await?;
    apply(&api, &[said("1234567890123456789", Created, 10), said("2", Created, 10)]).await?;
    apply(&api, &[said("3", Removed, 20), said("4", Updated, 5)]).await?;
    Ok(api)
}

#[tokio::test]
async fn a_player_asks_starts_and_may_go_on_after_the_removal() -> Result<()> {
    let api = with_offers().await?;
    let mut script = Script::new(&api);
    let ask = r#"reader POST /v1/offers/theirs/eligible {"player": "early", "offer_ids": ["1234567890123456789", "2", "3", "4", "5"]}"#;
    script.say(ask).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/2/starts/early")).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/2/starts/early")).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/3/starts/early")).await?;
    script.say("ann PUT /v1/offers/theirs/5/starts/early").await?;
    apply(&api, &[said("2", OfferChange::Removed, 30), judged("bad", Standing::Banned, 30)]).await?;
    script.say(ask).await?;
    script.say(&ask.replace("early", "late")).await?;
    script.say(&ask.replace("early", "bad")).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/2/starts/early")).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/2/starts/late")).await?;
    script.say(&format!("{GAME} PUT /v1/offers/theirs/4/starts/bad")).await?;
    script.say(r#"ann DELETE /v1/offers/theirs/2/starts/early {"reason": " "}"#).await?;
    script
        .say(r#"ann DELETE /v1/offers/theirs/2/starts/early {"reason": "the game server's mistake"}"#)
        .await?;
    script
        .say(r#"ann DELETE /v1/offers/theirs/2/starts/early {"reason": "the game server's mistake"}"#)
        .await?;
    script.say(ask).await?;
    apply(&api, &[said("2", OfferChange::Created, 40), judged("bad", Standing::Good, 40)]).await?;
    script.say(&ask.replace("early", "bad")).await?;
    assert_snapshot!(script.text());
    let kept = "SELECT concat_ws(' ', offer_id, player_id, actor, reason) FROM offer_start_withdrawal JOIN player USING (player_key)";
    assert_eq!(api.database.texts(kept).await?, ["2 early ann the game server's mistake"]);
    api.stop().await
}

#[tokio::test]
async fn offers_are_listed_page_by_page_and_shown_with_all_that_was_said() -> Result<()> {
    let api = with_offers().await?;
    let get = async |path: &str| -> Result<Value> {
        let answer = api.send(&request(READER, "GET", path, "")).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    };
    let ids = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["offer_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ["1234567890123456789", "2", "3", "4"];
    let page = get("/v1/offers/theirs").await?;
    assert_eq!(ids(&page), all);
    assert_eq!(page["next"], Value::Null);
    let (mut seen, mut path) = (Vec::new(), "/v1/offers/theirs?limit=1".to_owned());
    loop {
        let page = get(&path).await?;
        assert!(page["as_of"].as_str().unwrap().ends_with("-0"));
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/offers/theirs?limit=1&cursor={next}");
    }
    assert_eq!(seen, all);
    assert_eq!(ids(&get("/v1/offers/theirs?state=removed").await?), ["3"]);
    assert_eq!(ids(&get("/v1/offers/theirs?state=active").await?), ["1234567890123456789", "2", "4"]);
    assert_eq!(ids(&get("/v1/offers/ours").await?), Vec::<String>::new());

    let one = api.send(&request(READER, "GET", "/v1/offers/theirs/1234567890123456789", "")).await?;
    // Byte for byte: 1.10 is not 1.1 to everybody.
    assert!(
        one.body.contains(r#""description":{"offerId":"1234567890123456789","payout":1.10,"at":10}"#),
        "{}",
        one.body
    );
    let one: Value = serde_json::from_str(&one.body)?;
    assert_eq!(
        (&one["state"], &one["state_at"], &one["app_id"], &one["campaign_id"]),
        (&json!("active"), &json!("1970-01-01T00:00:10.000000Z"), &json!("1"), &Value::Null)
    );
    let described = get("/v1/offers/theirs/4").await?;
    assert_eq!((&described["state"], &described["state_at"]), (&json!("active"), &Value::Null));

    let mut script = Script::new(&api);
    for line in [
        "reader GET /v1/offers/theirs/5",
        "reader GET /v1/offers/nothing/5",
        "reader GET /v1/offers/nothing",
        "reader GET /v1/offers/theirs?state=open",
        "reader GET /v1/offers/theirs?cursor=MQ",
        "reader GET /v1/offers/theirs?limit=0",
        "reader POST /v1/offers/theirs/3",
        "reader GET /v1/offers/theirs/eligible/x",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn a_question_that_is_none_is_refused_with_the_field() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    let mut script = Script::new(&api);
    for body in [
        r#"{"player": "p", "offer_ids": [1234567890123456789]}"#,
        r#"{"player": "p", "offer_ids": ["1", ""]}"#,
        r#"{"player": "p", "offer_ids": ["\u0000"]}"#,
        r#"{"player": "", "offer_ids": []}"#,
        r#"{"player": "p"}"#,
        r#"{"player": "p", "offer_ids": [], "when": "now"}"#,
        r#"{"player": "p", "offer_ids": []}"#,
    ] {
        script.say(&format!("reader POST /v1/offers/theirs/eligible {body}")).await?;
    }
    script.say(r#"reader POST /v1/offers/nothing/eligible {"player": "p", "offer_ids": []}"#).await?;
    assert_snapshot!(script.text());
    let ask = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| (1_000_000_000_000_000_000 + n).to_string()).collect();
        request(
            READER,
            "POST",
            "/v1/offers/theirs/eligible",
            &json!({"player": "p", "offer_ids": ids}).to_string(),
        )
    };
    assert_eq!(api.send(&ask(501)).await?.status, 422);
    let most = api.send(&ask(500)).await?;
    assert_eq!(most.status, 200);
    let most: Value = serde_json::from_str(&most.body)?;
    assert_eq!(most["offers"].as_array().unwrap().len(), 500);
    api.stop().await
}

#[tokio::test]
async fn a_game_servers_token_records_starts_and_nothing_else() -> Result<()> {
    let api = with_offers().await?;
    let ask = r#"{"player": "p", "offer_ids": ["2"]}"#;
    let mut table = String::new();
    for (method, path, body) in [
        ("GET", "/v1/offers/theirs", ""),
        ("GET", "/v1/offers/theirs/2", ""),
        ("POST", "/v1/offers/theirs/eligible", ask),
        ("PUT", "/v1/offers/theirs/2/starts/p", ""),
        ("DELETE", "/v1/offers/theirs/2/starts/x", r#"{"reason": "r"}"#),
        ("PUT", "/v1/offers/theirs/2", ""),
        ("POST", "/v1/players/ours/x/deposits", "{}"),
        ("POST", "/v1/corrections/x/approve", ""),
    ] {
        table.push_str(&format!("{method:6} {path:30}"));
        for secret in ["a-guess-of-whoever-thinks-it-helps", READER, GAME, WRITER, ANN] {
            table.push_str(&format!(" {}", api.send(&request(secret, method, path, body)).await?.status));
        }
        table.push('\n');
    }
    assert_snapshot!(format!("{:37} bad read play oper both\n{table}", ""));
    api.stop().await
}

#[tokio::test]
async fn many_questions_at_once_get_each_their_own_answer_and_see_what_was_committed() -> Result<()> {
    let api = with_offers().await?;
    for round in 0..5 {
        let offer = format!("round {round}");
        apply(&api, &[said(&offer, OfferChange::Created, 10)]).await?;
        let path = format!("/v1/offers/theirs/round%20{round}/starts/even");
        assert_eq!(api.send(&request(ANN, "PUT", &path, "")).await?.status, 201);
        apply(&api, &[said(&offer, OfferChange::Removed, 20)]).await?;
        // All of them are asked after the removal.
        let asking = (0..40).map(|n| {
            let (player, api) = (if n % 2 == 0 { "even".to_owned() } else { format!("odd {n}") }, &api);
            let ask = json!({"player": player, "offer_ids": vec![offer.clone(); n % 7 + 1]}).to_string();
            async move {
                let answer = api.send(&request(READER, "POST", "/v1/offers/theirs/eligible", &ask)).await?;
                let answer: Value = serde_json::from_str(&answer.body)?;
                let offers = answer["offers"].as_array().unwrap();
                assert_eq!((offers.len(), &answer["player_id"]), (n % 7 + 1, &json!(player)));
                let expected = if n % 2 == 0 { "started" } else { "removed" };
                assert!(offers.iter().all(|offer| offer["reason"] == expected), "{answer}");
                anyhow::Ok(())
            }
        });
        futures_util::future::try_join_all(asking).await?;
    }
    api.stop().await
}

#[tokio::test]
async fn without_a_database_a_question_is_to_be_asked_again() -> Result<()> {
    let api = with_offers().await?;
    let ask = request(READER, "POST", "/v1/offers/theirs/eligible", r#"{"player": "p", "offer_ids": ["2"]}"#);
    api.database.cut_off().await?;
    let answer = api.send(&ask).await?;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(api.send(&request(READER, "GET", "/v1/offers/theirs/stream", "")).await?.status, 503);
    api.database.restore().await?;
    assert_eq!(api.send(&ask).await?.status, 200);
    api.stop().await
}
