//! What webhooks did not tell, the reconciler asks for: real programs, and providers' APIs that answer as their documents
//! say, fail, and forget tokens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use matchpurse_testkit::Reply;
use serde_json::{Value, json};

use crate::system::provider::{KEY, MATCH_TOKEN, TOKEN, provider, with_api};
use crate::system::service::Service;
use crate::system::sources::{Source, fixture};
use crate::system::{PATIENCE, Plan, System, until};

/// Everything is asked for as often as may be.
const IMPATIENT: &str =
    "look_every_ms = 200\nsilent_s = 1\noffers_every_s = 1\npull_every_s = 1\nrequest_timeout_ms = 5000";

async fn start(sources: Vec<Source>) -> Result<System> {
    System::start_with(Plan { sources, reconciler: IMPATIENT, ..Plan::default() }).await
}

#[tokio::test]
async fn a_match_whose_end_was_lost_is_fetched_and_counts_once() -> Result<()> {
    let (start_of, end) = (fixture("dathost", "round_end")?, fixture("dathost", "match_end")?);
    let api = provider("authorization").await?;
    let answers = Arc::new(AtomicBool::new(false));
    let (may, body) = (Arc::clone(&answers), end.body.clone());
    api.behave(move |request, _| {
        let known = request.path == "/api/0.1/cs2-matches/6502a8923d1c32e7d4d7f760";
        match (may.load(Ordering::SeqCst), known) {
            (false, _) => Reply::status(503),
            (true, true) => Reply::status(200).body(body.clone()),
            (true, false) => Reply::status(404),
        }
    });
    let mut source = with_api("dathost", "servers", &api, "")?;
    source.more = source.more.replace(KEY, &format!("studio@example.com:{KEY}"));
    let system = start(vec![source]).await?;
    ensure!(system.deliver("servers", &start_of).await?.status == 200);
    // The API is down, and nothing is made up meanwhile.
    let failed = "SELECT outcome FROM inquiry WHERE kind = 'match' AND failures > 1";
    system.comes_true("it was asked in vain", failed, &["later"]).await?;
    let ended = "SELECT finished::text || ' ' || counted::text || ' ' || rounds_played FROM stats_match";
    ensure!(system.lines(ended).await? == ["false false 5"]);

    answers.store(true, Ordering::SeqCst);
    system.comes_true("the end was fetched", ended, &["true true 20"]).await?;
    system.comes_true("nobody asks any more", "SELECT subject FROM inquiry", &[]).await?;
    let totals = "SELECT sum(matches)::text || ' ' || sum(kills) FROM player_totals WHERE season = 0";
    let before = system.lines(totals).await?;
    // The webhook was late, and not lost.
    ensure!(system.deliver("servers", &end).await?.status == 200);
    let both = "SELECT count(*)::text FROM archive";
    system.comes_true("what was delivered and fetched is one", both, &["2"]).await?;
    ensure!(system.lines(totals).await? == before && api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}

/// AdGem's API.
#[derive(Default)]
struct Wall {
    /// What it lists, by id.
    listed: Vec<&'static str>,
    /// So many of the next lists have nothing in them all the same.
    glitches: usize,
    /// How many first pages it has answered.
    lists: usize,
    /// How many tokens it has given, and how often the last one was shown: each is good for three requests.
    tokens: (usize, usize),
}

impl Wall {
    fn answer(&mut self, path: &str, authorization: &str) -> Reply {
        if path == "/v1/users/token" {
            self.tokens = (self.tokens.0 + 1, 0);
            let token = json!({ "access_token": format!("{TOKEN}-{}", self.tokens.0), "expires_in": 3600 });
            return Reply::status(201).body(token.to_string());
        }
        self.tokens.1 += 1;
        if self.tokens.1 > 3 || authorization != format!("Bearer {TOKEN}-{}", self.tokens.0) {
            return Reply::status(401);
        }
        let page: usize = path.rsplit('=').next().and_then(|page| page.parse().ok()).unwrap_or(1);
        let mut all = self.listed.clone();
        if page == 1 {
            self.lists += 1;
            if self.glitches > 0 {
                self.glitches -= 1;
                all.clear();
            }
        }
        // Pages of two.
        let here: Vec<Value> =
            all.iter().skip((page - 1) * 2).take(2).map(|id| json!({ "id": id, "campaign_id": 7 })).collect();
        let more = all.len() > page * 2;
        let pagination = json!({ "has_more_pages": more, "next_page": more.then_some(page + 1) });
        let list = json!({ "status": "success", "data": { "offers": here, "pagination": pagination } });
        Reply::status(200).body(list.to_string())
    }
}

#[tokio::test]
async fn the_list_of_offers_is_the_truth_of_its_moment_but_one_empty_list_is_not() -> Result<()> {
    let api = provider("authorization").await?;
    let wall = Arc::new(Mutex::new(Wall { listed: vec!["11", "12", "13"], ..Wall::default() }));
    let behind = Arc::clone(&wall);
    api.behave(move |request, _| {
        let mut wall = behind.lock().unwrap_or_else(PoisonError::into_inner);
        wall.answer(&request.path, request.header("authorization"))
    });
    let system = start(vec![with_api("adgem", "wall", &api, "")?]).await?;
    let active = "SELECT offer_id FROM offer WHERE state = 'active' ORDER BY offer_id";
    system.comes_true("all pages are read", active, &["11", "12", "13"]).await?;
    wall.lock().unwrap().listed = vec!["12", "13", "14"];
    system.comes_true("one went, one came", active, &["12", "13", "14"]).await?;

    // A list without anything in it: once is a mistake, twice in a row is the truth.
    let before = {
        let mut wall = wall.lock().unwrap();
        wall.glitches = 1;
        wall.lists
    };
    until("the list was empty once, and asked for again", PATIENCE, async || {
        let lists = wall.lock().unwrap().lists;
        Ok((lists < before + 4).then(|| format!("{lists} lists")))
    })
    .await?;
    let gone = "SELECT subject FROM archive WHERE provider_type = 'offer.removed'";
    ensure!(system.lines(gone).await? == ["11"] && system.lines(active).await? == ["12", "13", "14"]);
    wall.lock().unwrap().listed.clear();
    system.comes_true("nothing is there", active, &[]).await?;
    until("tokens are got anew", PATIENCE, async || {
        let (given, _) = wall.lock().unwrap().tokens;
        Ok((given < 3).then(|| format!("{given} were given")))
    })
    .await?;
    ensure!(api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}

#[tokio::test]
async fn what_is_answered_about_a_contradiction_is_evidence_and_settles_nothing() -> Result<()> {
    let api = provider("x-lucra-api-key").await?;
    let nested = fixture("lucra", "RecreationalGameCompleted_nested")?;
    let game: Value = serde_json::from_slice(&nested.body)?;
    let body = json!({ "matchup": game["matchup"] }).to_string();
    api.behave(move |request, _| match request.method.as_str() {
        "GET" => Reply::status(200).body(body.clone()),
        _ => Reply::status(200).working(),
    });
    let system = start(vec![with_api("lucra", "games", &api, "")?]).await?;
    // The game is locked, and its provider gives up completing it: only a person can go on from there.
    let failed = fixture("lucra", "RecreationalGameCompletionFailed")?.replace("true", "false");
    for name in ["RecreationalGameCreated", "RecreationalGameStarted"] {
        ensure!(system.deliver("games", &fixture("lucra", name)?).await?.status == 200);
        if name == "RecreationalGameCreated" {
            ensure!(system.deliver("games", &failed).await?.status == 200);
            let open = "SELECT kind FROM anomaly WHERE resolved_at IS NULL";
            system.comes_true("an anomaly is open", open, &["provider_failure"]).await?;
        }
    }
    let evidence = "SELECT detail -> 'fetched' -> 0 -> 'answer' -> 'matchup' ->> 'status' FROM anomaly
                     WHERE detail ? 'fetched'";
    system.comes_true("the answer stands beside it", evidence, &["CLOSED"]).await?;
    let settled = "SELECT status || ' ' || coalesce(settlement, 'open') FROM match";
    system.comes_true("the match is locked", settled, &["LOCKED open"]).await?;
    // Asked again and again, and still one answer.
    let asked_again = "SELECT (detail -> 'fetched' -> 0 ->> 'last_at' > detail -> 'fetched' -> 0 ->> 'at')::text
                         || ' ' || jsonb_array_length(detail -> 'fetched') FROM anomaly WHERE detail ? 'fetched'";
    system.comes_true("it was asked again", asked_again, &["true 1"]).await?;
    ensure!(system.lines(settled).await? == ["LOCKED open"]);

    // A person has looked at it: from now on what is answered counts.
    let id = system.lines("SELECT id::text FROM anomaly").await?.join("");
    let resolved = system
        .ask_api(
            "POST",
            &format!("/v1/anomalies/{id}/resolve"),
            r#"{"reason":"the provider says how it ended"}"#,
        )
        .await?;
    ensure!(resolved.status == 200, "{}", resolved.body);
    system.comes_true("it is settled", settled, &["CLOSED payout"]).await?;
    ensure!(api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}

#[tokio::test]
async fn matches_that_are_pulled_become_what_pushed_ones_do() -> Result<()> {
    let api = provider("authorization").await?;
    let pushed = fixture("okletsplay", "PUT")?;
    let stub = String::from_utf8(pushed.body.clone())?;
    api.behave(move |request, _| {
        if request.path.starts_with("/token") {
            let token = json!({ "access_token": TOKEN, "expires_in": 300 });
            return Reply::status(200).body(token.to_string());
        }
        if request.header("authorization") != format!("Bearer {TOKEN}") {
            return Reply::status(401);
        }
        Reply::status(200).body(format!("[{stub}]"))
    });
    let mut source = Source::of("okletsplay", "arena")?;
    source.keys.clear();
    source.settings.options.clear();
    source.more = format!(
        "keys.api = [\"{KEY}\"]\noptions.pull_url = \"{0}/matches\"\noptions.token_url = \"{0}/token\"\n\
         options.client_id = \"game\"",
        api.url()
    );
    let system = start(vec![source]).await?;
    let matches = "SELECT count(*)::text FROM match";
    system.comes_true("the match is there", matches, &["1"]).await?;
    let again = "SELECT (events > 2)::text FROM inquiry";
    system.comes_true("it was asked for again", again, &["true"]).await?;
    ensure!(system.lines("SELECT count(*)::text FROM archive").await? == ["1"]);
    // Nobody can push to it.
    let answer = system.deliver("arena", &pushed).await;
    ensure!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 401));
    ensure!(api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}

/// Where matches are asked for by player, nobody would ask for the first one of a player whom nobody knows.
#[tokio::test]
async fn who_begins_to_play_has_the_first_match_pulled() -> Result<()> {
    let api = provider("authorization").await?;
    let stub = String::from_utf8(fixture("okletsplay", "PUT")?.body)?;
    api.behave(move |request, _| {
        if request.path == "/token" {
            let token = json!({ "access_token": TOKEN, "expires_in": 300 });
            return Reply::status(200).body(token.to_string());
        }
        if request.header("authorization") != format!("Bearer {TOKEN}") {
            return Reply::status(401);
        }
        match request.path.as_str() {
            "/api/game/v1/token-info"
                if request.body == json!({ "token": MATCH_TOKEN }).to_string().as_bytes() =>
            {
                let info = json!({
                    "match_id": "600f369851f450dd3ecb0035", "user_id": "user_id_1", "match_status": "STARTED",
                });
                Reply::status(200).body(info.to_string())
            }
            "/matches/user_id_1" => Reply::status(200).body(stub.clone()),
            "/matches/user_id_2" => Reply::status(204),
            _ => Reply::status(404),
        }
    });
    let mut source = Source::of("okletsplay", "arena")?;
    source.keys.clear();
    source.settings.options.clear();
    source.more = format!(
        "keys.api = [\"{KEY}\"]\noptions.pull_url = \"{0}/matches/{{user_id}}\"\noptions.token_url = \"{0}/token\"\n\
         options.api_url = \"{0}\"\noptions.client_id = \"game\"",
        api.url()
    );
    // Who waited for the next turn would be seen to wait, and the provider's limit is far away.
    let reconciler = "look_every_ms = 200\npull_every_s = 20\nrequest_timeout_ms = 5000";
    // Nor is a secret in a log that says everything.
    let all = vec![("MATCHPURSE_TELEMETRY__LOG_FILTER".to_owned(), "trace".to_owned())];
    let variables = BTreeMap::from([(Service::Api, all.clone()), (Service::Reconciler, all)]);
    let system =
        System::start_with(Plan { sources: vec![source], reconciler, variables, ..Plan::default() }).await?;
    let check = async |token: &str| -> Result<(u16, Value)> {
        let body = json!({ "source": "arena", "match_token": token }).to_string();
        let answer = system.ask_api("POST", "/v1/match-tokens/check", &body).await?;
        Ok((answer.status, serde_json::from_str(&answer.body)?))
    };
    ensure!(check("of nobody").await?.0 == 404);
    ensure!(system.lines("SELECT subject FROM inquiry").await?.is_empty(), "somebody is asked about");
    let (status, told) = check(MATCH_TOKEN).await?;
    ensure!(status == 200 && told["user_id"] == "user_id_1" && told["known"] == false, "{status} {told}");
    let matches = "SELECT match_id || ' ' || status FROM match";
    system.comes_true("the match is there", matches, &["600f369851f450dd3ecb0035 CONFIRMED"]).await?;
    // From here on both players are asked about, because they are in it.
    let both = "SELECT subject FROM inquiry WHERE answered_at IS NOT NULL ORDER BY subject";
    system.comes_true("both are asked about", both, &["user_id_1", "user_id_2"]).await?;
    let (status, told) = check(MATCH_TOKEN).await?;
    ensure!(status == 200 && told["known"] == true, "{status} {told}");
    ensure!(api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}
