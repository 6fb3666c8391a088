//! Endpoints: added, changed, stopped, tried, and their secrets never seen twice.

use anyhow::Result;
use futures_util::future::try_join_all;
use insta::assert_snapshot;
use matchpurse_domain::webhook::{SigningKey, verify};
use matchpurse_testkit::Reply;
use serde_json::Value;

use crate::backend::{Backend, earned, settled};
use crate::harness::{ANN, Api, READER, request};
use crate::script::Script;

const GIVEN: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW: &str = r#"{"name": "game", "url": "https://game.example/hook?token=hush", "reason": "goes live"}"#;

#[tokio::test]
async fn an_endpoint_lives_and_everything_is_recorded() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    for line in [
        &format!("ann POST /v1/endpoints key=e1 {NEW}"),
        // No repeat shows the secret.
        &format!("bob POST /v1/endpoints key=e1 {NEW}"),
        &format!("ann POST /v1/endpoints key=e1 {}", NEW.replace("hush", "other")),
        &format!("ann POST /v1/endpoints key=e2 {NEW}"),
        "reader GET /v1/endpoints/game",
        r#"ann PATCH /v1/endpoints/game {"events": ["reward.*", "match.settled"], "sources": ["ours"], "ordered": true, "status_url": "https://game.example/has/{webhook_id}", "reason": "less noise"}"#,
        r#"ann PATCH /v1/endpoints/game {"ordered": true, "reason": "it is so already"}"#,
        r#"ann PATCH /v1/endpoints/game {"url": "https://game.example/hook?token=new", "status_url": null, "reason": "a new token"}"#,
        r#"ann POST /v1/endpoints/game/disable {"reason": "they move"}"#,
        r#"ann POST /v1/endpoints/game/disable {"reason": "twice"}"#,
        r#"ann POST /v1/endpoints/game/test key=t1 {"reason": "does it work?"}"#,
        "reader GET /v1/endpoints?state=disabled",
        "reader GET /v1/endpoints?state=enabled",
        r#"bob POST /v1/endpoints/game/enable {"reason": "they have moved"}"#,
        "ann DELETE /v1/endpoints/game",
        "ann DELETE /v1/endpoints/game?reason=shut%20down",
        "ann DELETE /v1/endpoints/game?reason=twice",
        r#"ann POST /v1/endpoints/game/enable {"reason": "it is gone"}"#,
        "reader GET /v1/endpoints",
        "reader GET /v1/endpoints?state=removed",
        "reader GET /v1/endpoints/game",
        &format!("ann POST /v1/endpoints key=e3 {NEW}"),
    ] {
        script.say(line).await?;
    }
    let text = script.text();
    // Once, in the answer to what made it.
    assert_eq!(text.matches("whsec_").count(), 1, "{text}");
    assert!(!text.replace(NEW, "").replace("token=other", "").replace("token=new", "").contains("token="));
    assert_snapshot!(settled(&text));
    assert_eq!(api.database.texts("SELECT secret FROM endpoint_secret").await?, [""; 0]);
    api.stop().await
}

#[tokio::test]
async fn secrets_are_rotated_and_never_shown() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    let own = NEW.replace(r#""reason""#, &format!(r#""secrets": [{{"given": "{GIVEN}"}}], "reason""#));
    let added = script.say(&format!("ann POST /v1/endpoints key=e1 {own}")).await?;
    let old = added["secrets"][0]["id"].as_str().unwrap().to_owned();
    let path = "/v1/endpoints/game/secrets";
    let set = script
        .say(&format!(
            r#"ann PUT {path} {{"secrets": [{{"keep": "{old}"}}, "new"], "reason": "once a year"}}"#
        ))
        .await?;
    let new = set["secrets"][1]["id"].as_str().unwrap().to_owned();
    for line in [
        &format!(r#"ann PUT {path} {{"secrets": [{{"keep": "{new}"}}], "reason": "they have it"}}"#),
        &format!(r#"ann PUT {path} {{"secrets": [{{"keep": "{new}"}}], "reason": "it is so already"}}"#),
        &format!(r#"ann PUT {path} {{"secrets": [{{"keep": "{old}"}}], "reason": "it is gone"}}"#),
        &format!(r#"ann PUT {path} {{"secrets": [], "reason": "none"}}"#),
        &format!(
            r#"ann PUT {path} {{"secrets": ["new", "new", "new", "new", "new", "new"], "reason": "many"}}"#
        ),
        &format!(
            r#"ann PUT {path} {{"secrets": ["new", {{"given": "whsec_short"}}], "reason": "no secret"}}"#
        ),
        &format!(r#"ann PUT {path} {{"secrets": [{{"given": "hunter2"}}], "reason": "no secret"}}"#),
        &format!(r#"ann PUT {path} {{"secrets": ["old"], "reason": "r"}}"#),
        &format!(r#"ann PUT {path} {{"secrets": ["new"]}}"#),
        &format!("ann GET {path}"),
        r#"ann PUT /v1/endpoints/nobody/secrets {"secrets": ["new"], "reason": "r"}"#,
        "reader GET /v1/endpoints/game",
    ] {
        script.say(line).await?;
    }
    let stored = api.database.texts("SELECT secret FROM endpoint_secret").await?;
    assert_eq!(Some(stored[0].as_str()), set["secrets"][1]["secret"].as_str());
    assert_snapshot!(settled(&script.text()));
    api.stop().await
}

/// What operators may have requests sent to: nothing inside, however it is written.
#[tokio::test]
async fn a_url_that_leads_inside_is_refused() -> Result<()> {
    let api = Api::start().await?;
    let mut told = Vec::new();
    for (field, url) in [
        ("url", "http://127.0.0.1:5432/"),
        ("url", "http://2130706433/"),
        ("url", "http://localhost/"),
        ("url", "https://[::ffff:10.0.0.1]/"),
        ("url", "http://169.254.169.254/latest/meta-data/"),
        ("url", "file:///etc/passwd"),
        ("url", "https://user:secret@game.example/"),
        ("url", "https://game.example/#x"),
        ("url", ""),
        ("status_url", "http://10.0.0.1/{webhook_id}"),
        ("status_url", "https://game.example/has"),
    ] {
        let body = match field {
            "url" => format!(r#"{{"name": "game", "url": "{url}", "reason": "r"}}"#),
            _ => format!(
                r#"{{"name": "game", "url": "https://game.example/", "status_url": "{url}", "reason": "r"}}"#
            ),
        };
        let mut asked = request(ANN, "POST", "/v1/endpoints", &body);
        asked.headers.push(("idempotency-key".to_owned(), b"k".to_vec()));
        let answer = api.send(&asked).await?;
        let problem: Value = serde_json::from_str(&answer.body)?;
        assert_eq!(answer.status, 422, "{url}: {problem}");
        let kind = problem["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        told.push(format!("{url} {kind} {} {}", problem["field"], problem["detail"].as_str().unwrap()));
    }
    assert_snapshot!(told.join("\n"));
    // Nor by a change.
    let mut script = Script::new(&api);
    script.say(&format!("ann POST /v1/endpoints key=e1 {NEW}")).await?;
    let moved = script.say(r#"ann PATCH /v1/endpoints/game {"url": "http://[::1]/", "reason": "r"}"#).await?;
    assert_eq!(moved["type"], "urn:matchpurse:problem:private-target");
    assert_eq!(
        api.database.texts("SELECT url FROM endpoint").await?,
        ["https://game.example/hook?token=hush"]
    );
    api.stop().await
}

#[tokio::test]
async fn a_body_that_is_not_understood_changes_nothing() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    let with = |members: &str| NEW.replace(r#""reason""#, &format!(r#"{members}, "reason""#));
    for line in [
        &format!("ann POST /v1/endpoints {NEW}"),
        &format!("reader POST /v1/endpoints key=e1 {NEW}"),
        &format!("ann POST /v1/endpoints key=e1 {}", NEW.replace("goes live", " ")),
        &format!("ann POST /v1/endpoints key=e1 {}", NEW.replace("game\"", "Game\"")),
        &format!("ann POST /v1/endpoints key=e1 {}", with(r#""events": ["reward"], "allow_private": true"#)),
        &format!("ann POST /v1/endpoints key=e1 {}", with(r#""events": ["*.granted"]"#)),
        &format!("ann POST /v1/endpoints key=e1 {}", with(r#""sources": ["nobody"]"#)),
        &format!("ann POST /v1/endpoints key=e1 {}", with(r#""secrets": [{"keep": "0123456789abcdef"}]"#)),
        &format!("ann POST /v1/endpoints key=e1 {}", with(r#""secrets": []"#)),
        &format!("ann PUT /v1/endpoints key=e1 {NEW}"),
        r#"ann PATCH /v1/endpoints/game {"ordered": true, "reason": "there is none"}"#,
        r#"ann PATCH /v1/endpoints/GAME {"ordered": true, "reason": "no name"}"#,
        r#"ann PATCH /v1/endpoints/game {"reason": "nothing to do"}"#,
        r#"ann PATCH /v1/endpoints/game {"name": "other", "reason": "r"}"#,
        r#"ann PATCH /v1/endpoints/game {"events": null, "reason": "r"}"#,
        r#"ann POST /v1/endpoints/game/enable {"reason": "r"}"#,
        r#"ann POST /v1/endpoints/game/test {"reason": "r"}"#,
        r#"ann POST /v1/endpoints/game/test key=t1 {"reason": "r"}"#,
        "reader DELETE /v1/endpoints/game?reason=r",
        "ann DELETE /v1/endpoints/game?why=r",
        "ann GET /v1/endpoints?state=paused",
        "ann GET /v1/endpoints/game",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    assert_eq!(api.database.texts("SELECT name FROM endpoint").await?, [""; 0]);
    assert_eq!(api.database.texts("SELECT kind FROM dispatch_operation").await?, [""; 0]);
    api.stop().await
}

/// The configuration's are changed there. To stop and to try them is everybody's business.
#[tokio::test]
async fn an_endpoint_of_the_configuration_is_stopped_and_not_changed() -> Result<()> {
    let configured = format!(
        "[endpoints.game]\nurl = \"https://game.example/hook?token=hush\"\nsecrets = [\"{GIVEN}\"]\nevents = [\"match.*\"]"
    );
    let backend = Backend::start(&configured).await?;
    backend.dispatcher().await?;
    let mut script = Script::new(&backend.api);
    for line in [
        "reader GET /v1/endpoints/game",
        r#"ann PATCH /v1/endpoints/game {"ordered": true, "reason": "r"}"#,
        r#"ann PUT /v1/endpoints/game/secrets {"secrets": ["new"], "reason": "r"}"#,
        "ann DELETE /v1/endpoints/game?reason=r",
        &format!("ann POST /v1/endpoints key=e1 {NEW}"),
        r#"ann POST /v1/endpoints/game/disable {"reason": "they move"}"#,
        r#"ann POST /v1/endpoints/game/enable {"reason": "they have moved"}"#,
        r#"ann POST /v1/endpoints/game/test key=t1 {"reason": "does it work?"}"#,
        "reader GET /v1/endpoints/game",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    backend.api.stop().await
}

#[tokio::test]
async fn a_test_goes_to_its_endpoint_alone_and_is_signed() -> Result<()> {
    let backend = Backend::start("").await?;
    backend.studio.behave(|_, nth| if nth == 1 { Reply::status(503) } else { Reply::ok() });
    let mut script = Script::new(&backend.api);
    let added = script
        .say(&format!(
            "ann POST /v1/endpoints key=e1 {}",
            backend.endpoint("game", r#", "events": ["match.*"], "sources": ["ours"]"#)
        ))
        .await?;
    script.say(&format!("ann POST /v1/endpoints key=e1 {}", backend.endpoint("other", ""))).await?;
    let mut script = Script::new(&backend.api);
    let tested = script.say(r#"ann POST /v1/endpoints/game/test key=t1 {"reason": "goes live"}"#).await?;
    script.say(r#"bob POST /v1/endpoints/game/test key=t1 {"reason": "me too"}"#).await?;
    script.say(r#"ann POST /v1/deliveries/1/retry key=t1 {"reason": "there is none yet"}"#).await?;
    let mut dispatcher = backend.dispatcher().await?;
    dispatcher.settle().await?;
    let deliveries = tested["deliveries"].as_str().unwrap();
    let seen = script.say(&format!("reader GET {deliveries}")).await?;
    let id = seen["items"][0]["id"].as_str().unwrap();
    script
        .say(&format!(r#"ann POST /v1/deliveries/{id}/retry key=t1 {{"reason": "another request"}}"#))
        .await?;
    script.say(&format!(r#"ann POST /v1/deliveries/{id}/retry key=r1 {{"reason": "it is up"}}"#)).await?;
    dispatcher.settle().await?;
    script.say(&format!("reader GET /v1/deliveries/{id}")).await?;
    script.say("reader GET /v1/endpoints/game").await?;
    script.say("reader GET /v1/endpoints/other").await?;
    assert_snapshot!(settled(&script.text()));

    let sent = backend.studio.requests();
    assert_eq!(sent.len(), 2);
    let key = SigningKey::parse(added["secrets"][0]["secret"].as_str().unwrap())?;
    for one in &sent {
        assert_eq!(one.webhook_id(), tested["webhook_id"].as_str().unwrap());
        assert_eq!(one.path, "/hook?token=hush");
        let (at, signature) = (one.header("webhook-timestamp"), one.header("webhook-signature"));
        verify(std::slice::from_ref(&key), one.webhook_id(), at, signature, &one.body, at.parse()?)?;
    }
    backend.api.stop().await
}

/// An endpoint of the API gets into a private network by nothing but the configuration, whenever it was made.
#[tokio::test]
async fn what_the_configuration_does_not_allow_any_more_is_not_sent() -> Result<()> {
    let backend = Backend::start("").await?;
    let mut script = Script::new(&backend.api);
    script.say(&format!("ann POST /v1/endpoints key=e1 {}", backend.endpoint("game", ""))).await?;
    backend.apply(&[earned("c1", "ann", 100)]).await?;
    backend.strict_dispatcher().await?.settle().await?;
    let seen = script.say("reader GET /v1/deliveries").await?;
    let last = &seen["items"][0]["last_attempt"];
    assert_eq!(last["outcome"], "not_sent");
    assert!(last["detail"].as_str().unwrap().contains("127.0.0.1 is not an address of the public internet"));
    assert!(backend.studio.requests().is_empty());
    let health = script.say("reader GET /v1/endpoints/game").await?["health"].clone();
    assert_eq!((&health["failures"], &health["waiting"]), (&1.into(), &1.into()), "{health}");
    assert_eq!(health["oldest_waiting_at"], seen["items"][0]["created_at"]);
    backend.api.stop().await
}

#[tokio::test]
async fn endpoints_are_read_page_by_page() -> Result<()> {
    let api = Api::start().await?;
    let names = ["a", "a-b", "a_b", "ab", "b1", "z"];
    for name in names {
        let body = NEW.replace("\"game\"", &format!("{name:?}"));
        let mut script = Script::new(&api);
        script.say(&format!("ann POST /v1/endpoints key=e1 {body}")).await?;
    }
    let mut path = "/v1/endpoints?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page: Value = serde_json::from_str(&api.send(&request(READER, "GET", &path, "")).await?.body)?;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/endpoints?limit=2&cursor={next}");
    }
    assert_eq!(seen, names);
    api.stop().await
}

#[tokio::test]
async fn twenty_equal_endpoints_at_once_are_one_with_one_secret() -> Result<()> {
    let api = Api::start().await?;
    let mut asked = request(ANN, "POST", "/v1/endpoints", NEW);
    asked.headers.push(("idempotency-key".to_owned(), b"e1".to_vec()));
    let answers = try_join_all((0..20).map(|_| api.send(&asked))).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 19], vec![201]].concat(), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.body.contains("whsec_")).count(), 1);
    let secrets = api.database.texts("SELECT secret FROM endpoint_secret").await?;
    assert!(answers.iter().any(|answer| answer.body.contains(&secrets[0])) && secrets.len() == 1);
    api.stop().await
}
