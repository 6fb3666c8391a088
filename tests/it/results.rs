//! A match ends by what the studio, or a match on a game server, tells of it, and its provider hears of it: real programs,
//! and a provider's API that answers as its documents say, fails, and forgets tokens.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use insta::assert_snapshot;
use matchpurse_testkit::{ProviderApi, Reply, Request};
use serde_json::{Value, json};

use crate::system::http::Answer;
use crate::system::provider::{TOKEN, provider, with_api};
use crate::system::service::Service;
use crate::system::sources::{Source, fixture};
use crate::system::{Plan, System};

/// What a killed dispatcher was telling is told again when its lease ends: early.
const DISPATCHER: &str = "request_timeout_ms = 5000\nlease_ms = 20000";

/// The match of the fixtures, and how it went.
const MATCH: &str = "/v1/matches/arena/600f369851f450dd3ecb0035";
const RESULT: &str =
    r#"{"groups": [{"group_id": "team_id_1", "score": 300}, {"group_id": "team_id_2", "score": 120}]}"#;

const ENDED: &str =
    "SELECT concat_ws(' ', status, coalesce(settlement, 'open'), pot, paid, refunded, fee) FROM match
                      WHERE source = 'arena'";
const HELD: &str = "CONFIRMED open 1000 0 0 0";
const WON: &str = "CLOSED payout 1000 1000 0 0";
const WINNERS: &str =
    "SELECT player_id FROM match_participant JOIN player USING (player_key) WHERE outcome = 'WIN'";
const REPORTED: &str = "SELECT state FROM result_report";

/// What the platform has been told, and which token it takes.
#[derive(Default)]
struct Platform {
    tokens: usize,
    /// What `finish` got, in this order: the number of its token, and the answer.
    told: Vec<(usize, u16)>,
}

impl Platform {
    /// Gives a token, and answers `finish` by these in turn, the last one for ever: 0 keeps the result and never says so, and 401
    /// means that the token has ended. Nothing is told with another token than the last one.
    fn answer(&mut self, request: &Request, answers: &[u16]) -> Reply {
        if request.path == "/token" {
            self.tokens += 1;
            let token = json!({ "access_token": format!("{TOKEN}-{}", self.tokens), "expires_in": 300 });
            return Reply::status(200).body(token.to_string());
        }
        // It repeats what it was told with, as some do.
        let authorization = request.header("authorization");
        let status = match answers.get(self.told.len()).or(answers.last()) {
            _ if request.path != "/api/game/v1/finish" => 404,
            _ if authorization != format!("Bearer {TOKEN}-{}", self.tokens) => 403,
            Some(status) => *status,
            None => 500,
        };
        self.told.push((self.tokens, status));
        match status {
            0 => Reply::hang().working(),
            200 => Reply::status(200).working(),
            status => Reply::status(status).body(format!("told with {authorization}")),
        }
    }
}

/// OkLetsPlay's API, which tells all requests of a game by one limit, and its source.
async fn platform(answers: &'static [u16]) -> Result<(ProviderApi, Arc<Mutex<Platform>>, Source)> {
    let api = provider("host").await?;
    let platform = Arc::new(Mutex::new(Platform::default()));
    let behind = Arc::clone(&platform);
    api.behave(move |request, _| {
        behind.lock().unwrap_or_else(PoisonError::into_inner).answer(request, answers)
    });
    let more = format!("options.token_url = \"{}/token\"\noptions.client_id = \"our-game\"", api.url());
    let source = with_api("okletsplay", "arena", &api, &more)?;
    Ok((api, platform, source))
}

fn json_of(answer: &Answer) -> Result<Value> {
    serde_json::from_str(&answer.body).with_context(|| format!("{answer:?}"))
}

#[tokio::test]
async fn a_told_result_settles_once_and_arrives_once_whatever_fails() -> Result<()> {
    // It has the result after the first attempt, of which nobody hears.
    let (api, platform, source) = platform(&[0, 503, 401, 409]).await?;
    let plan = Plan { sources: vec![source], dispatcher: DISPATCHER, ..Plan::default() };
    let mut system = System::start_with(plan).await?;
    ensure!(system.deliver("arena", &fixture("okletsplay", "PUT")?).await?.status == 200);
    system.comes_true("the stakes are held", ENDED, &[HELD]).await?;

    let path = format!("{MATCH}/result");
    let told = system.ask_api("POST", &path, RESULT).await?;
    ensure!(told.status == 201, "{told:?}");
    ensure!(system.lines(ENDED).await? == [WON] && system.lines(WINNERS).await? == ["user_id_1"]);
    // For a token, and with it.
    api.received(2).await?;
    system.kill9(Service::Dispatcher)?;
    ensure!(system.lines(REPORTED).await? == ["waiting"]);
    system.restart(Service::Dispatcher).await?;
    system.comes_true("the platform knows it", REPORTED, &["told"]).await?;
    {
        let platform = platform.lock().unwrap_or_else(PoisonError::into_inner);
        // The token goes with its process; the one that ended is got anew.
        ensure!(platform.told == [(1, 0), (2, 503), (2, 401), (3, 409)], "{:?}", platform.told);
    }
    ensure!(api.facts().len() == 1, "{:?}", api.facts());
    assert_snapshot!(api.facts().concat(), @r#"{"match_id":"600f369851f450dd3ecb0035","participants":[{"id":"user_id_1","score":300},{"id":"user_id_2","score":120}],"teams":[{"id":"team_id_1","score":300,"ranking":1},{"id":"team_id_2","score":120,"ranking":2}]}"#);

    // The same again, and another one.
    let moved = "SELECT (SELECT count(*) FROM transfer)::text || to_jsonb(r)::text FROM result_report r";
    let (before, requests) = (system.lines(moved).await?, api.requests().len());
    let again = system.ask_api("POST", &path, RESULT).await?;
    ensure!(again.status == 200, "{again:?}");
    let other = system.ask_api("POST", &path, &RESULT.replace("120", "301")).await?;
    ensure!(other.status == 409, "{other:?}");
    ensure!(json_of(&other)?["type"] == "urn:matchpurse:problem:result-decided");
    let read = system.ask_api("GET", &path, "").await?;
    ensure!(read.status == 200 && !read.body.contains(TOKEN), "{read:?}");
    let read = json_of(&read)?;
    ensure!(read["report"]["state"] == "told" && read["report"]["last_attempt"]["status"] == 409, "{read}");
    ensure!(system.lines(moved).await? == before && system.lines(ENDED).await? == [WON]);
    system.sound_and_silent().await?;
    system.stop().await?;
    ensure!(api.requests().len() == requests && api.beyond() == 0);
    Ok(())
}

fn linked_to(source: &str) -> String {
    let decided_by = json!({ "source": source, "match_id": "6502a8923d1c32e7d4d7f760" });
    json!({ "decided_by": decided_by, "team1": "team_id_2", "team2": "team_id_1" }).to_string()
}

#[tokio::test]
async fn a_final_decides_a_linked_match_only_while_its_source_is_trusted() -> Result<()> {
    let (api, platform, arena) = platform(&[200]).await?;
    let (mut servers, others) = (Source::of("dathost", "servers")?, Source::of("dathost", "others")?);
    servers.more = "decides_linked = true".to_owned();
    // The API lets it be linked; who decides has it taken back.
    let trust =
        |word: &str| vec![("MATCHPURSE_SOURCES__SERVERS__DECIDES_LINKED".to_owned(), word.to_owned())];
    let plan = Plan {
        sources: vec![arena, servers, others],
        variables: [(Service::MatchEscrow, trust("false"))].into(),
        ..Plan::default()
    };
    let mut system = System::start_with(plan).await?;
    ensure!(system.deliver("arena", &fixture("okletsplay", "PUT")?).await?.status == 200);
    system.comes_true("the stakes are held", ENDED, &[HELD]).await?;

    let path = format!("{MATCH}/links");
    let refused = system.ask_api("PUT", &path, &linked_to("others")).await?;
    ensure!(refused.status == 422, "{refused:?}");
    ensure!(json_of(&refused)?["type"] == "urn:matchpurse:problem:link-not-trusted");
    ensure!(system.ask_api("GET", &path, "").await?.status == 404);
    let linked = system.ask_api("PUT", &path, &linked_to("servers")).await?;
    ensure!(linked.status == 200 && json_of(&linked)?["state"] == "waiting", "{linked:?}");

    let last = fixture("dathost", "match_end")?;
    for source in ["others", "servers"] {
        ensure!(system.deliver(source, &last).await?.status == 200);
    }
    let finals = "SELECT source FROM stats_match WHERE finished AND counted ORDER BY source";
    system.comes_true("both finals count", finals, &["others", "servers"]).await?;
    system.settle().await?;
    let links = "SELECT state FROM match_link";
    ensure!(system.lines(links).await? == ["waiting"] && system.lines(ENDED).await? == [HELD]);
    ensure!(api.requests().is_empty());

    // 13 to 7 for the first team, which stands for the second side.
    system.vary(Service::MatchEscrow, trust("true"));
    system.roll(Service::MatchEscrow).await?;
    system.comes_true("the match is decided", links, &["decided"]).await?;
    ensure!(system.lines(ENDED).await? == [WON] && system.lines(WINNERS).await? == ["user_id_2"]);
    system.comes_true("the platform knows it", REPORTED, &["told"]).await?;
    assert_snapshot!(api.facts().concat(), @r#"{"match_id":"600f369851f450dd3ecb0035","participants":[{"id":"user_id_1","score":7},{"id":"user_id_2","score":13}],"teams":[{"id":"team_id_1","score":7,"ranking":2},{"id":"team_id_2","score":13,"ranking":1}]}"#);
    let told = platform.lock().unwrap_or_else(PoisonError::into_inner).told.clone();
    ensure!(told == [(1, 200)], "{told:?}");
    let read = json_of(&system.ask_api("GET", &format!("{MATCH}/result"), "").await?)?;
    ensure!(read["actor"] == "servers/6502a8923d1c32e7d4d7f760", "{read}");
    // What was told of it cannot be told otherwise.
    let other = system.ask_api("POST", &format!("{MATCH}/result"), RESULT).await?;
    ensure!(other.status == 409, "{other:?}");
    ensure!(system.deliver("servers", &last).await?.status == 200);
    system.settle().await?;
    ensure!(system.lines(ENDED).await? == [WON] && api.beyond() == 0);
    system.sound_and_silent().await?;
    system.stop().await
}
