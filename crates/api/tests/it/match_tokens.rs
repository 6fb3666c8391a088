//! Whose match tokens are: a provider's API that answers, fails, goes away and forgets tokens.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use insta::assert_snapshot;
use matchpurse_api::Application;
use matchpurse_domain::event::{MatchKind, MatchStatus};
use matchpurse_settings::ConfigFiles;
use matchpurse_store::now;
use matchpurse_testkit::{Database, ProviderApi, Reply};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::events::of_kind;
use crate::harness::{ANN, Api, SETTINGS, WRITER, on, request, shown};
use crate::http::{Answer, Request};
use crate::script::Script;

const PATH: &str = "/v1/match-tokens/check";

/// What must never be seen again.
const KEY: &str = "planted-key-of-a-provider";
const ACCESS: &str = "planted-access-token";
const MATCH_TOKEN: &str = "planted-match-token";

/// Two sources of the provider: `arena` has its players' matches asked for one by one, `told` has them pushed.
fn sources(api: &ProviderApi, key: &str) -> String {
    let common = format!(
        "provider = \"okletsplay\"\ncurrency = \"USD\"\ncustody = \"provider\"\nfee_bps = 1000\nkeys.api = [\"{key}\"]\n\
         options.api_url = \"{0}\"\noptions.token_url = \"{0}/token\"\noptions.client_id = \"game\"\n",
        api.url()
    );
    format!(
        "[sources.arena]\n{common}options.pull_url = \"{}/matches/{{user_id}}\"\n[sources.told]\n{common}",
        api.url()
    )
}

/// The provider's API, which takes so many calls of a key in a minute.
async fn provider(calls: usize) -> Result<ProviderApi> {
    // Whose calls they are stands in the form of some and behind the token of others: all are counted together.
    let api = ProviderApi::start("no-header-of-it", calls, 60, now).await?;
    api.behave(|request, _| granted(&request.path).unwrap_or_else(|| told(&request.body)));
    Ok(api)
}

/// The answer to a request for a token, if this is one.
fn granted(path: &str) -> Option<Reply> {
    let token = json!({ "access_token": ACCESS, "expires_in": 300 });
    (path == "/token").then(|| Reply::status(200).body(token.to_string()))
}

/// The answer of token-info.
fn told(body: &[u8]) -> Reply {
    if *body != *json!({ "token": MATCH_TOKEN }).to_string().as_bytes() {
        return Reply::status(404);
    }
    let info = json!({
        "match_id": "m1", "user_id": "a", "match_status": "STARTED", "submissions_total": 3, "submissions_left": 2,
    });
    Reply::status(200).body(info.to_string())
}

fn check(secret: &str, source: &str, match_token: &str) -> Request {
    let body = json!({ "source": source, "match_token": match_token });
    request(secret, "POST", PATH, &body.to_string())
}

/// The status with the problem's name.
fn outcome(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let problem = body["type"].as_str().unwrap_or_default();
    format!("{} {}", answer.status, problem.trim_start_matches("urn:matchpurse:problem:"))
        .trim_end()
        .to_owned()
}

async fn asked(api: &Api, source: &str, match_token: &str) -> Result<Answer> {
    let answer = api.send(&check(ANN, source, match_token)).await?;
    for secret in [KEY, ACCESS, MATCH_TOKEN] {
        assert!(!answer.body.contains(secret), "{answer:?}");
    }
    Ok(answer)
}

/// No table has anything of a secret.
async fn nothing_is_kept(database: &Database) -> Result<()> {
    let tables = "SELECT format('SELECT %L || t::text FROM %I AS t', relname || ': ', relname) FROM pg_class
                   WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace";
    for table in database.texts(tables).await? {
        for row in database.texts(&table).await? {
            assert!(![KEY, ACCESS, MATCH_TOKEN].iter().any(|secret| row.contains(secret)), "{row}");
        }
    }
    Ok(())
}

const NOTED: &str = "SELECT source || ' ' || kind || ' ' || subject || ' ' || (due_at <= now())::text || ' '
                         || (wanted_until BETWEEN now() + interval '5 minutes' AND now() + interval '10 minutes')::text
                       FROM inquiry";

#[tokio::test]
async fn a_token_says_who_plays_and_the_player_is_asked_about_at_once() -> Result<()> {
    let provider = provider(60).await?;
    let api = Api::start_with(&format!("{SETTINGS}\n{}", sources(&provider, KEY))).await?;
    let mut script = Script::new(&api);
    let good = format!(r#"{{"source": "arena", "match_token": "{MATCH_TOKEN}"}}"#);
    for line in [
        format!("reader POST {PATH} {good}"),
        format!("writer POST {PATH} {}", good.replace("arena", "told")),
        format!("ann POST {PATH} {}", good.replace(MATCH_TOKEN, "another")),
        format!("ann POST {PATH} {}", good.replace(MATCH_TOKEN, "")),
        format!("ann POST {PATH} {}", good.replace("arena", "theirs")),
        format!("ann POST {PATH} {}", good.replace("arena", "nobody")),
        format!("ann POST {PATH} {}", good.replace('}', r#", "more": 1}"#)),
    ] {
        script.say(&line).await?;
    }
    assert_eq!(api.database.texts(NOTED).await?, [""; 0], "pushed matches are not asked for");
    script.say(&format!("ann POST {PATH} {good}")).await?;
    assert_eq!(api.database.texts(NOTED).await?, ["arena players_matches a true true"]);

    api.database.connection().await?.batch_execute("DELETE FROM inquiry").await?;
    api.apply(&[of_kind(MatchKind::Platform, "arena", MatchStatus::Confirmed, None)]).await?;
    script.say(&format!("ann POST {PATH} {good}")).await?;
    assert_eq!(api.database.texts(NOTED).await?, [""; 0], "the match is known, and so is the player");
    assert_snapshot!(script.text());

    // What is wrong with a body is said without anything of it.
    let odd = [
        format!("\"{MATCH_TOKEN}\""),
        format!(r#"{{"source": "{MATCH_TOKEN}", "match_token": "x"}}"#),
        format!(r#"{{"source": ["{MATCH_TOKEN}"], "match_token": "x"}}"#),
        format!(r#"{{"source": "arena", "match_token": ["{MATCH_TOKEN}"]}}"#),
        format!(r#"{{"source": "arena", "token": "{MATCH_TOKEN}"}}"#),
        format!(r#"{{"source": "arena", "match_token": "{MATCH_TOKEN}", "{MATCH_TOKEN}": 1}}"#),
        format!(r#"{{"source": "arena", "match_token": "{MATCH_TOKEN}"#),
        json!({ "source": "arena", "match_token": MATCH_TOKEN.repeat(1000) }).to_string(),
    ];
    for body in odd {
        let answer = api.send(&request(ANN, "POST", PATH, &body)).await?;
        assert!(matches!(answer.status, 400 | 422) && !answer.body.contains(MATCH_TOKEN), "{answer:?}");
    }
    assert_eq!(provider.beyond(), 0);
    nothing_is_kept(&api.database).await?;
    api.stop().await
}

#[tokio::test]
async fn what_is_wrong_at_the_provider_is_said_and_passes() -> Result<()> {
    let provider = provider(60).await?;
    let api = Api::start_with(&format!("{SETTINGS}\n{}", sources(&provider, KEY))).await?;
    let check = async || anyhow::Ok(outcome(&asked(&api, "arena", MATCH_TOKEN).await?));

    // It gives no token for our key.
    provider.behave(|_, _| Reply::status(401));
    assert_eq!(check().await?, "502 provider-unusable");
    // It gives tokens, and takes none.
    provider.behave(|request, _| granted(&request.path).unwrap_or_else(|| Reply::status(401)));
    assert_eq!(check().await?, "502 provider-unusable");
    let unreadable = |body: &'static str| {
        provider.behave(move |request, _| {
            granted(&request.path).unwrap_or_else(|| Reply::status(200).body(body))
        });
    };
    unreadable("<html>planted-match-token");
    assert_eq!(check().await?, "502 provider-unusable");
    unreadable(r#"{"match_id": "m1", "user_id": "", "match_status": "STARTED"}"#);
    assert_eq!(check().await?, "502 provider-unusable");
    provider.behave(|request, _| granted(&request.path).unwrap_or_else(|| Reply::status(503)));
    assert_eq!(check().await?, "503 provider-away");
    provider.take_down().await;
    let answer = asked(&api, "arena", MATCH_TOKEN).await?;
    assert_eq!((outcome(&answer).as_str(), answer.header("retry-after")), ("503 provider-away", Some("5")));
    assert_eq!(api.database.texts(NOTED).await?, [""; 0]);

    // It is back, and the token that we have has ended meanwhile: another one is got.
    provider.bring_up().await?;
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    provider.behave(move |request, _| {
        if request.path == "/token" {
            let nth = count.fetch_add(1, Ordering::SeqCst) + 1;
            let token = json!({ "access_token": format!("{ACCESS}-{nth}"), "expires_in": 300 });
            return Reply::status(200).body(token.to_string());
        }
        let last = format!("Bearer {ACCESS}-{}", count.load(Ordering::SeqCst));
        if request.header("authorization") == last { told(&request.body) } else { Reply::status(401) }
    });
    assert_eq!(check().await?, "200");
    assert_eq!(check().await?, "200");
    assert_eq!(given.load(Ordering::SeqCst), 1);
    // All tokens that were given have ended.
    given.fetch_add(1, Ordering::SeqCst);
    assert_eq!(check().await?, "200");
    assert_eq!(given.load(Ordering::SeqCst), 3);

    // It wants to be left alone, and is.
    provider.behave(|_, _| Reply::status(429).header("retry-after", "77"));
    let answer = asked(&api, "arena", MATCH_TOKEN).await?;
    assert_eq!((outcome(&answer).as_str(), answer.header("retry-after")), ("503 provider-away", Some("77")));
    let before = provider.requests().len();
    assert_eq!(check().await?, "503 provider-away");
    assert_eq!((provider.requests().len(), provider.beyond()), (before, 0));
    nothing_is_kept(&api.database).await?;
    api.stop().await
}

#[tokio::test]
async fn what_the_provider_takes_is_kept_to_by_all_apis_together() -> Result<()> {
    let provider = provider(60).await?;
    let text = format!("{SETTINGS}\n{}", sources(&provider, KEY));
    let api = Api::start_with(&text).await?;
    // A second replica on the same database.
    let settings = matchpurse_settings::Settings::parse_str(&on(&api.database.url(), &text))?;
    let application = Application::build(&settings).await?;
    let (second, stop) = (application.address().to_string(), CancellationToken::new());
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));

    let answers = try_join_all((0..80).map(|n| {
        let (api, second) = (&api, &second);
        async move {
            let request = check(ANN, "told", MATCH_TOKEN);
            if n % 2 == 0 { api.send(&request).await } else { request.send(second).await }
        }
    }))
    .await?;
    let mut outcomes: Vec<String> = answers.iter().map(outcome).collect();
    outcomes.sort();
    outcomes.dedup();
    assert_eq!(outcomes, ["200", "503 provider-away"]);
    assert!(provider.requests().len() <= 60 && provider.beyond() == 0);
    stop.cancel();
    running.await??;
    api.stop().await
}

/// A configuration file that goes with the test.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[tokio::test]
async fn a_key_is_exchanged_while_it_serves() -> Result<()> {
    let provider = provider(60).await?;
    let shown_keys = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown_keys);
    provider.behave(move |request, _| {
        if request.path == "/token" {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let key = form.split('&').find_map(|part| part.strip_prefix("client_secret=").map(str::to_owned));
            seen.lock().unwrap().extend(key);
        }
        granted(&request.path).unwrap_or_else(|| told(&request.body))
    });
    let database = Database::create().await?;
    let text = |key: &str| on(&database.url(), &format!("{SETTINGS}\n{}", sources(&provider, key)));
    let path = std::env::temp_dir().join(format!("matchpurse-api-token-keys-{}.toml", std::process::id()));
    let config = File(path);
    // At first nobody checks tokens.
    let keyless = text(KEY).replace(&format!("keys.api = [\"{KEY}\"]\n"), "");
    let without = |line: &&str| !line.starts_with("options.") && !line.starts_with("keys.");
    std::fs::write(&config.0, text(KEY).lines().filter(without).collect::<Vec<_>>().join("\n"))?;
    let mut files = ConfigFiles::new(Some(&config.0), std::iter::empty());
    let application = Application::build(&files.load()?).await?.with_reload(files, Duration::from_millis(5));
    let (address, admin) = (application.address().to_string(), application.admin_address().context("none")?);
    let (admin, stop) = (admin.to_string(), CancellationToken::new());
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));
    let ask = async || anyhow::Ok(outcome(&check(WRITER, "arena", MATCH_TOKEN).send(&address).await?));
    let metric = async |line: &str| shown(&admin, line).await;
    let last_key = || shown_keys.lock().unwrap().last().cloned().unwrap_or_default();
    assert_eq!(ask().await?, "422 no-match-tokens");
    std::fs::write(&config.0, text("first-key"))?;
    metric("matchpurse_config_reloads_total{outcome=\"taken\"} 1").await?;
    assert_eq!((ask().await?.as_str(), last_key().as_str()), ("200", "first-key"));
    // What cannot be used changes nothing.
    std::fs::write(&config.0, text("first-key").replace("[\"first-key\"]", "[\"one\", \"two\"]"))?;
    metric("matchpurse_config_good 0").await?;
    assert_eq!((ask().await?.as_str(), last_key().as_str()), ("200", "first-key"));
    std::fs::write(&config.0, text("second-key"))?;
    metric("matchpurse_config_good 1").await?;
    assert_eq!((ask().await?.as_str(), last_key().as_str()), ("200", "second-key"));
    std::fs::write(&config.0, keyless)?;
    metric("matchpurse_config_reloads_total{outcome=\"taken\"} 3").await?;
    assert_eq!(ask().await?, "422 no-match-tokens");
    stop.cancel();
    Ok(running.await??)
}
