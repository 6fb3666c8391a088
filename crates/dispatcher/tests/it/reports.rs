//! A match's provider is told of the result that the studio told: surely, with a token, and never too fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use matchpurse_dispatcher::{Dispatcher, check_callbacks};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::erasures::{self, begin, finish};
use matchpurse_operations::results::{Author, GroupScore, PlayerScore, Request, Told, accept};
use matchpurse_settings::Settings;
use matchpurse_store::erasure::Begun;
use matchpurse_store::escrow::MatchKey;
use matchpurse_store::links::Identity;
use matchpurse_store::match_results::{Report, ReportState, of_match};
use matchpurse_testkit::{ProviderApi, Reply};
use serde_json::json;

use crate::stage::{Stage, json, source};

const SECRET: &str = "a-client-secret-of-this-test";
/// What the adapter of the tests' provider says of itself.
const CALLS: usize = 60;
const WINDOW_S: i64 = 60;
/// How long a token of the tests' provider lives.
const TOKEN_LIVES_S: i64 = 300;

/// A stage with a provider that gives tokens, each with a number of its own, and wants to be told of results of the source
/// `arena`.
struct Play {
    stage: Stage,
    api: ProviderApi,
    dispatcher: Dispatcher,
    settings: String,
}

/// Gives tokens `t1-…`, `t2-…`, and answers everything else as told.
fn behave(
    api: &ProviderApi,
    answer: impl Fn(&matchpurse_testkit::Request, usize) -> Reply + Send + Sync + 'static,
) {
    let given = Arc::new(AtomicUsize::new(0));
    api.behave(move |request, nth| {
        if request.path != "/token" {
            return answer(request, nth);
        }
        let token = format!("t{}-0123456789abcdef", given.fetch_add(1, Ordering::SeqCst) + 1);
        Reply::status(200).body(json!({ "access_token": token, "expires_in": TOKEN_LIVES_S }).to_string())
    });
}

impl Play {
    async fn new() -> Result<Self> {
        let stage = Stage::new().await?;
        // One key, one limit: whatever is asked for.
        let api = ProviderApi::start("host", CALLS, WINDOW_S, stage.clock()).await?;
        behave(&api, |_, _| Reply::status(200).working());
        let url = api.url();
        let settings = format!(
            "[sources.arena]\nprovider = \"okletsplay\"\ncurrency = \"USD\"\ncustody = \"provider\"\n\
             keys.api = [\"{SECRET}\"]\noptions.api_url = \"{url}\"\noptions.token_url = \"{url}/token\"\n\
             options.client_id = \"our-game\"\noptions.any_client = true\n"
        );
        let dispatcher = stage.dispatcher(&settings).await?;
        Ok(Self { stage, api, dispatcher, settings })
    }

    /// A match between a and b that nobody stakes anything in, and its result.
    async fn decide(&self, match_id: &str) -> Result<()> {
        let key = key(match_id);
        let owner = self.stage.database.connection().await?;
        let sql = "INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps,
                                      tie_policy, first_event_id, last_event_id)
                   VALUES ($1, 'arena', 'platform', $2, 'CONFIRMED', 20, 'provider', 'USD', 0, 'refund_full', $1, $1)
                   RETURNING match_no";
        let number: i64 = owner.query_one(sql, &[&key.uuid(), &match_id]).await?.get(0);
        for (player, group) in [("player-a", "red"), ("player-b", "blue")] {
            let player_key = PlayerId::from(player).key(&key.source);
            let sql = "INSERT INTO player (player_key, source, player_id) VALUES ($1, 'arena', $2)
                       ON CONFLICT DO NOTHING";
            owner.execute(sql, &[&player_key, &player]).await?;
            let sql = "INSERT INTO match_participant (match_no, player_key, group_id) VALUES ($1, $2, $3)";
            owner.execute(sql, &[&number, &player_key, &group]).await?;
        }
        self.tell(match_id).await
    }

    /// Its result, again or for the first time.
    async fn tell(&self, match_id: &str) -> Result<()> {
        let key = key(match_id);
        let group =
            |(id, score, forfeit): (&str, i64, bool)| GroupScore { group_id: id.to_owned(), score, forfeit };
        let request = Request {
            source: key.source,
            match_id: match_id.to_owned(),
            kind: None,
            result: Told {
                groups: [("red", 300, false), ("blue", 70_000, true)].map(group).to_vec(),
                players: vec![PlayerScore { player_id: "player-b".to_owned(), score: 7 }],
            },
            report: true,
        };
        let author = Author { actor: "back-end".to_owned(), idempotency_key: match_id.to_owned() };
        accept(&self.stage.store, &request, &author, self.stage.now()).await?;
        Ok(())
    }

    async fn report(&self, match_id: &str) -> Result<Report> {
        let client = self.stage.store.client().await?;
        let decided = of_match(&client, &key(match_id)).await?.context("no result")?;
        decided.report.context("no report")
    }

    /// `state attempts last-outcome status` of every report, with how many are like that.
    async fn reports(&self) -> Result<String> {
        let sql = "SELECT concat_ws(' ', state, attempts, last_outcome, last_status, 'x' || count(*)) FROM result_report
                    GROUP BY state, attempts, last_outcome, last_status ORDER BY 1";
        Ok(self.stage.texts(sql).await?.join(", "))
    }

    /// The tokens that results were told with, in order.
    fn told_with(&self) -> Vec<String> {
        let requests = self.api.requests();
        let finished = requests.iter().filter(|request| request.path != "/token");
        finished.map(|request| request.header("authorization")[7..9].to_owned()).collect()
    }

    fn tokens(&self) -> usize {
        self.api.requests().iter().filter(|request| request.path == "/token").count()
    }

    /// Lets time pass from one report to the next until none waits, or none is made within so many seconds.
    async fn live(&mut self, seconds: i64) -> Result<()> {
        let end = self.stage.now().plus_seconds(seconds);
        loop {
            self.dispatcher.settle().await?;
            let sql = "SELECT (extract(epoch FROM greatest(min(next_attempt_at),
                                 (SELECT min(free_at) FROM call_slot))) * 1000000)::bigint::text
                         FROM result_report WHERE state = 'waiting' HAVING count(*) > 0";
            let due = self.stage.texts(sql).await?;
            let Some(due) = due.first() else { return Ok(()) };
            let due = Timestamp::from_micros(due.parse()?);
            if due > end {
                self.stage.set(end);
                return Ok(());
            }
            assert!(due > self.stage.now(), "a report is due and was not made");
            self.stage.set(due);
        }
    }
}

fn key(match_id: &str) -> MatchKey {
    MatchKey { source: source("arena"), kind: MatchKind::Platform, match_id: match_id.to_owned() }
}

#[tokio::test]
async fn a_result_is_told_once_and_a_token_is_used_while_it_lives() -> Result<()> {
    let mut play = Play::new().await?;
    play.decide("m1").await?;
    play.dispatcher.settle().await?;
    let requests = play.api.requests();
    let [token, told] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/token"));
    assert_eq!((told.method.as_str(), told.path.as_str()), ("POST", "/api/game/v1/finish"));
    assert_eq!(
        json(told),
        json!({
            "match_id": "m1",
            "participants": [{ "id": "player-a", "score": 300 }, { "id": "player-b", "score": 7 }],
            "teams": [
                { "id": "blue", "score": 70_000, "ranking": 2, "forfeit": true },
                { "id": "red", "score": 300, "ranking": 1 },
            ],
        })
    );
    assert_eq!(play.reports().await?, "told 1 delivered 200 x1");
    play.decide("m2").await?;
    play.dispatcher.settle().await?;
    play.stage.advance(TOKEN_LIVES_S);
    play.decide("m3").await?;
    play.dispatcher.settle().await?;
    assert_eq!((play.told_with(), play.tokens()), (["t1", "t1", "t2"].map(str::to_owned).to_vec(), 2));
    play.stage.advance(86_400);
    play.dispatcher.settle().await?;
    assert_eq!(play.api.requests().len(), 5, "nothing is told twice");
    assert_eq!(play.reports().await?, "told 1 delivered 200 x3");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_got_anew_once() -> Result<()> {
    let mut play = Play::new().await?;
    behave(&play.api, |request, _| {
        Reply::status(if request.header("authorization").contains("t1-") { 401 } else { 200 })
    });
    play.decide("m1").await?;
    play.dispatcher.settle().await?;
    assert_eq!((play.told_with(), play.tokens()), (["t1", "t2"].map(str::to_owned).to_vec(), 2));
    assert_eq!(play.reports().await?, "told 1 delivered 200 x1");

    // None is taken: it is left alone for a while, nothing is lost, and nothing of the token is kept.
    behave(&play.api, |request, _| {
        Reply::status(401).body(format!("not {}", request.header("authorization")))
    });
    play.decide("m2").await?;
    play.dispatcher.settle().await?;
    assert_eq!(play.told_with().len(), 4);
    let report = play.report("m2").await?;
    assert_eq!((report.state, report.attempts, report.last_status), (ReportState::Waiting, 0, Some(401)));
    assert_eq!(report.last_detail, "not Bearer [key]");
    behave(&play.api, |_, _| Reply::status(204));
    play.live(600).await?;
    assert_eq!(play.report("m2").await?.state, ReportState::Told);

    // Who refuses the secret may say which one that was.
    play.stage.advance(TOKEN_LIVES_S);
    play.api.behave(|_, _| Reply::status(401).body(format!("no client with {SECRET}")));
    play.decide("m3").await?;
    play.dispatcher.settle().await?;
    let report = play.report("m3").await?;
    assert_eq!((report.state, report.attempts), (ReportState::Waiting, 0));
    assert_eq!(report.last_detail, "no client with [key]");
    Ok(())
}

#[tokio::test]
async fn what_the_provider_does_not_want_is_left_in_sight_and_what_it_has_is_done() -> Result<()> {
    let mut play = Play::new().await?;
    behave(&play.api, |request, _| match json(request)["match_id"].as_str().unwrap() {
        "bad" => Reply::status(422).body("no such team"),
        "known" => Reply::status(409).body("finished already"),
        other => panic!("{other}"),
    });
    play.decide("bad").await?;
    play.decide("known").await?;
    play.live(7 * 86_400).await?;
    let bad = play.report("bad").await?;
    assert_eq!((bad.state, bad.attempts, bad.last_status), (ReportState::Refused, 1, Some(422)));
    assert_eq!(bad.last_detail, "no such team");
    assert_eq!(play.report("known").await?.state, ReportState::Told);
    assert_eq!(play.told_with().len(), 2);

    // Whoever tells the same result again has it reported once more, where that has not succeeded.
    behave(&play.api, |_, _| Reply::status(200));
    play.tell("bad").await?;
    play.tell("known").await?;
    play.dispatcher.settle().await?;
    assert_eq!(play.report("bad").await?.state, ReportState::Told);
    assert_eq!(play.told_with().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_away_costs_nothing_but_delay_and_is_given_up_in_the_end() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.take_down().await;
    play.decide("m1").await?;
    play.live(3_600).await?;
    assert_eq!(play.report("m1").await?.state, ReportState::Waiting);
    play.api.bring_up().await?;
    behave(&play.api, |_, nth| Reply::status([500, 429, 200][(nth - 1).min(2)]));
    play.live(86_400).await?;
    assert_eq!(play.report("m1").await?.state, ReportState::Told);
    behave(&play.api, |_, _| Reply::status(503));
    play.decide("m2").await?;
    play.live(7 * 86_400).await?;
    let report = play.report("m2").await?;
    assert_eq!((report.state, report.attempts, report.last_status), (ReportState::GivenUp, 10, Some(503)));
    Ok(())
}

#[tokio::test]
async fn several_dispatchers_tell_everything_once_and_never_beyond_the_limit() -> Result<()> {
    const MATCHES: usize = 150;
    let mut play = Play::new().await?;
    let mut other = play.stage.dispatcher(&play.settings).await?;
    for n in 0..MATCHES {
        play.decide(&format!("m{n}")).await?;
    }
    tokio::try_join!(play.dispatcher.settle(), other.settle())?;
    play.live(3_600).await?;
    assert_eq!(play.reports().await?, format!("told 1 delivered 200 x{MATCHES}"));
    assert_eq!(play.told_with().len(), MATCHES);
    assert_eq!(play.api.beyond(), 0, "more than the provider takes");
    Ok(())
}

#[tokio::test]
async fn a_dispatcher_that_died_is_replaced_when_its_lease_ends() -> Result<()> {
    let mut play = Play::new().await?;
    behave(&play.api, |_, nth| if nth == 1 { Reply::hang() } else { Reply::status(200) });
    play.decide("m1").await?;
    let mut dead = play.stage.patient_dispatcher(&play.settings).await?;
    dead.turn().await?;
    play.api.received(2).await?;
    drop(dead);
    play.dispatcher.settle().await?;
    assert_eq!(play.report("m1").await?.state, ReportState::Waiting, "it is another's");
    play.live(86_400).await?;
    assert_eq!(play.reports().await?, "told 1 delivered 200 x1");
    Ok(())
}

#[tokio::test]
async fn who_is_erased_is_told_of_to_nobody_any_more() -> Result<()> {
    let mut play = Play::new().await?;
    behave(&play.api, |_, _| Reply::status(500).body("player-a is unknown"));
    play.decide("m1").await?;
    play.dispatcher.settle().await?;
    assert_eq!(play.report("m1").await?.last_detail, "player-a is unknown");
    let identity = Identity { source: source("arena"), player_id: PlayerId::from("player-a") };
    let author = erasures::Author {
        actor: "ann".to_owned(),
        reason: "a request".to_owned(),
        idempotency_key: "e1".to_owned(),
    };
    let begun = begin(&play.stage.store, &identity, &author, false).await?;
    let Begun::Begun(erasure) = begun else { panic!("{begun:?}") };
    finish(&play.stage.store, erasure.id, &mut || {}).await?;
    let report = play.report("m1").await?;
    assert_eq!((report.state, report.last_detail.as_str()), (ReportState::Withdrawn, ""));
    let requests = play.api.requests().len();
    play.live(86_400).await?;
    assert_eq!(play.api.requests().len(), requests);
    Ok(())
}

#[tokio::test]
async fn a_source_that_lacks_something_stops_the_start() {
    let check = |lines: &str| {
        let text = format!(
            "database.url = \"postgres://db/app\"\n[sources.arena]\nprovider = \"okletsplay\"\ncurrency = \"USD\"\n\
             custody = \"provider\"\n{lines}"
        );
        check_callbacks(&Settings::parse_str(&text).unwrap()).map_err(|error| error.to_string())
    };
    let ours = "options.token_url = \"https://id.example/token\"\noptions.client_id = \"us\"\n";
    let url = "options.api_url = \"https://api.example\"\n";
    assert_eq!(check("options.any_client = true"), Ok(()));
    assert_eq!(check(&format!("{ours}{url}keys.api = [\"k\"]")), Ok(()));
    assert_eq!(
        check(&format!("{ours}{url}")).unwrap_err(),
        "`sources.arena`: option `api_url` is set, but there is no key to call with: set `keys.api`"
    );
    assert!(check(&format!("{url}keys.api = [\"k\"]")).unwrap_err().contains("`token_url`"));
}
