//! Providers are told when the studio has given what was won: once, surely, and never too fast.

use std::collections::BTreeSet;

use anyhow::Result;
use matchpurse_dispatcher::{Dispatcher, check_callbacks};
use matchpurse_domain::grants::GrantState;
use matchpurse_operations::rewards::{Error, release, retry};
use matchpurse_settings::Settings;
use matchpurse_store::redemptions::{CallFilter, CallState, calls as list, of_grant};
use matchpurse_testkit::{Dice, ProviderApi, Reply, Studio};
use serde_json::json;

use crate::rewards::*;
use crate::stage::{Stage, endpoint, json};

const LONG_S: i64 = 6 * 86_400;

/// A stage with a studio that answers, and a provider that wants to be told of the source `arena`.
struct Play {
    stage: Stage,
    studio: Studio,
    api: ProviderApi,
    dispatcher: Dispatcher,
    settings: String,
}

impl Play {
    async fn new() -> Result<Self> {
        let stage = Stage::new().await?;
        let (studio, api) = (Studio::start().await?, provider(&stage).await?);
        let settings = [endpoint("game", &studio, ""), told_source("arena", &api)].concat();
        let dispatcher = stage.dispatcher(&settings).await?;
        Ok(Self { stage, studio, api, dispatcher, settings })
    }

    /// Rewards of as many players, all of them given by the studio.
    async fn give_many(&self, count: usize) -> Result<()> {
        for n in 0..count {
            let player = format!("p{n}");
            give(&self.stage, "arena", won("c", &player, "r"), GrantState::Granted).await?;
        }
        Ok(())
    }

    async fn assert_sound(&self) -> Result<()> {
        assert_eq!(findings(&self.stage).await?, [""; 0]);
        assert_eq!(self.api.beyond(), 0, "more than the provider takes");
        Ok(())
    }
}

#[tokio::test]
async fn the_provider_is_told_once_when_the_studio_has_given_the_reward() -> Result<()> {
    let mut play = Play::new().await?;
    play.studio.behave(|_, nth| if nth == 1 { Reply::status(500) } else { Reply::ok() });
    let grant = give(&play.stage, "arena", won("c1", "ann", "r"), GrantState::Granted).await?;
    play.dispatcher.settle().await?;
    assert_eq!((play.api.requests().len(), calls(&play.stage).await?), (0, vec![]), "not given yet");
    play.stage.live(&mut play.dispatcher, 60).await?;
    assert_eq!(grant_state(&play.stage, grant).await?, "fulfilled");

    let requests = play.api.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/api/rest/user_redeemed_tenant_reward")
    );
    assert_eq!(
        (request.header("x-lucra-api-key"), request.header("content-type")),
        (KEY, "application/json")
    );
    let body = json(request);
    assert_eq!(body["event"], "UserRewardRedeemed");
    assert_eq!((&body["matchupId"], &body["userId"]), (&json!("c1"), &json!("ann")));
    let redeemed_at = body["redeemedAt"].as_str().unwrap();
    assert!(redeemed_at.starts_with("2026-09-21T14:13:") && redeemed_at.ends_with('Z'), "{redeemed_at}");
    assert_eq!(calls(&play.stage).await?, ["c1/ann told"]);

    play.stage.advance(LONG_S);
    play.dispatcher.settle().await?;
    assert_eq!(play.api.requests().len(), 1);
    let line = of_grant(&play.stage.store.client().await?, grant).await?.unwrap();
    assert_eq!((line.state, line.attempts, line.last_status), (CallState::Told, 1, Some(200)));
    assert_eq!(
        (line.contest_id.as_str(), line.player_id.as_str(), line.grant_id),
        ("c1", "ann", Some(grant))
    );
    play.assert_sound().await
}

#[tokio::test]
async fn a_source_that_does_not_ask_for_it_tells_nobody() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let api = provider(&stage).await?;
    let settings = [endpoint("game", &studio, ""), told_source("other", &api)].concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let grant = give(&stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    dispatcher.settle().await?;
    assert_eq!(grant_state(&stage, grant).await?, "fulfilled");
    assert_eq!((api.requests().len(), calls(&stage).await?), (0, vec![]));
    Ok(())
}

#[tokio::test]
async fn a_source_that_lacks_something_stops_the_start() {
    let check = |lines: &str| {
        let text = format!(
            "database.url = \"postgres://db/app\"\n[sources.arena]\nprovider = \"lucra\"\ncurrency = \"USD\"\n\
             custody = \"provider\"\n{lines}"
        );
        check_callbacks(&Settings::parse_str(&text).unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(check(""), Ok(()));
    assert_eq!(check("keys.api = [\"k\"]\noptions.api_url = \"https://api.example/\""), Ok(()));
    let refused = |lines: &str| check(lines).unwrap_err();
    assert_eq!(
        refused("options.api_url = \"https://api.example\""),
        "`sources.arena`: option `api_url` is set, but there is no key to call with: set `keys.api`"
    );
    assert_eq!(
        refused("keys.api = [\"k\"]"),
        "`sources.arena`: option `api_url`: it is not set, so `keys.api` is of no use"
    );
    for url in
        ["http://api.example", "api.example", "https://api.example?key=1", "https://me@api.example", ""]
    {
        let told = refused(&format!("keys.api = [\"k\"]\noptions.api_url = \"{url}\""));
        assert!(told.starts_with("`sources.arena`: option `api_url`: it must"), "{url}: {told}");
    }
    let two = refused("keys.api = [\"a\", \"b\"]\noptions.api_url = \"https://api.example\"");
    assert!(two.contains("`keys.api` holds no usable key: there is more than one"), "{two}");
    let unsendable = refused("keys.api = [\"a\\nb\"]\noptions.api_url = \"https://api.example\"");
    assert!(
        unsendable.contains("cannot be sent in a header") && !unsendable.contains("a\nb"),
        "{unsendable}"
    );
}

/// A player's rewards of one contest are one call, made when all that the studio gives is given.
#[tokio::test]
async fn a_player_with_several_rewards_is_told_of_when_the_last_is_given() -> Result<()> {
    let mut play = Play::new().await?;
    play.studio.behave(|request, nth| {
        let late = json(request)["data"]["reward_ref"] == "late";
        if late && nth < 3 { Reply::status(500) } else { Reply::ok() }
    });
    for reference in ["soon", "late"] {
        give(&play.stage, "arena", won("c", "ann", reference), GrantState::Granted).await?;
    }
    give(&play.stage, "arena", won("c", "ann", "money"), GrantState::Recorded).await?;
    give(&play.stage, "arena", won("c", "bob", "money"), GrantState::Recorded).await?;
    give(&play.stage, "arena", won("d", "ann", "soon"), GrantState::Granted).await?;
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann held", "d/ann told"]);
    play.assert_sound().await?;
    let given_at = play.stage.now();
    play.stage.live(&mut play.dispatcher, 600).await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann told", "d/ann told"]);
    assert_eq!((play.api.requests().len(), play.api.facts().len()), (2, 2));
    let grant = play.stage.texts("SELECT grant_id::text FROM reward_grant WHERE reward_ref = 'late'").await?;
    let line = of_grant(&play.stage.store.client().await?, grant[0].parse()?).await?.unwrap();
    assert!(line.redeemed_at > given_at, "the last one counts");
    play.assert_sound().await
}

/// Both of a player's rewards at the same moment, in two dispatchers, many times: always exactly one call.
#[tokio::test]
async fn of_two_that_are_given_at_once_one_is_the_last() -> Result<()> {
    const PLAYERS: usize = 60;
    let mut play = Play::new().await?;
    let mut other = play.stage.dispatcher(&play.settings).await?;
    for n in 0..PLAYERS {
        let player = format!("p{n}");
        for reference in ["a", "b", "c"] {
            give(&play.stage, "arena", won("c", &player, reference), GrantState::Granted).await?;
        }
    }
    tokio::try_join!(play.dispatcher.settle(), other.settle())?;
    tokio::try_join!(play.dispatcher.settle(), other.settle())?;
    let states =
        play.stage.texts("SELECT state || ' ' || count(*) FROM redemption_call GROUP BY state").await?;
    assert_eq!(states, [format!("told {PLAYERS}")]);
    assert_eq!((play.api.requests().len(), play.api.facts().len()), (PLAYERS, PLAYERS));
    play.assert_sound().await
}

/// What is held for review keeps the call waiting, and both ends of a review let it go.
#[tokio::test]
async fn what_is_held_keeps_the_call_waiting_until_it_is_released_or_taken_back() -> Result<()> {
    let mut play = Play::new().await?;
    let mut held = Vec::new();
    for player in ["ann", "bob"] {
        give(&play.stage, "arena", won("c", player, "r"), GrantState::Granted).await?;
        held.push(give(&play.stage, "arena", won("c", player, "held"), GrantState::NeedsReview).await?);
    }
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann held", "c/bob held"]);
    play.assert_sound().await?;
    play.stage.advance(5);
    release(&play.stage.store, held[0], &author(), play.stage.now()).await?;
    take_back(&play.stage, held[1]).await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann held", "c/bob waiting"]);
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann told", "c/bob told"]);
    play.assert_sound().await
}

/// Whatever was given is taken back before the provider knows: there is nothing to tell. What it knows stays known.
#[tokio::test]
async fn what_is_taken_back_is_not_told_any_more() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|_, _| Reply::status(500));
    let grant = give(&play.stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    let other = give(&play.stage, "arena", won("c", "ann", "held"), GrantState::NeedsReview).await?;
    let told = give(&play.stage, "arena", won("d", "ann", "r"), GrantState::Granted).await?;
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann held", "d/ann waiting"]);
    take_back(&play.stage, grant).await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann withdrawn", "d/ann waiting"]);
    play.api.behave(|_, _| Reply::status(200).working());
    live_calls(&play.stage, &mut play.dispatcher, LONG_S).await?;
    take_back(&play.stage, told).await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann withdrawn", "d/ann told"]);
    // What is released later is another reason to tell.
    release(&play.stage.store, other, &author(), play.stage.now()).await?;
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann told", "d/ann told"]);
    play.assert_sound().await
}

/// A call whose answer is on its way when the reward is taken back: a success is a fact, a failure ends it.
#[tokio::test]
async fn a_call_that_is_under_way_while_its_reward_is_taken_back() -> Result<()> {
    for (reply, left) in [(Reply::hang(), "c/ann withdrawn"), (Reply::hang().working(), "c/ann withdrawn")] {
        let mut play = Play::new().await?;
        play.api.behave(move |_, _| reply.clone());
        let grant = give(&play.stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
        while play.dispatcher.turn().await?.called == 0 {
            play.dispatcher.next_ended().await;
        }
        play.api.received(1).await?;
        take_back(&play.stage, grant).await?;
        play.dispatcher.settle().await?;
        play.stage.advance(LONG_S);
        play.dispatcher.settle().await?;
        assert_eq!(calls(&play.stage).await?, [left]);
        assert_eq!(play.api.requests().len(), 1, "nothing is left to be told");
    }
    Ok(())
}

/// It fails, hangs, closes, and answers 500 after doing the work, for a while and in any order: every fact is taken once.
#[tokio::test]
async fn a_provider_that_fails_in_every_way_knows_everything_in_the_end() -> Result<()> {
    const PLAYERS: usize = 24;
    let mut play = Play::new().await?;
    play.api.behave(|request, nth| {
        let kind = request.body.iter().map(|byte| usize::from(*byte)).sum::<usize>() + nth;
        match (nth, kind % 6) {
            (6.., _) => Reply::status(200).working(),
            (_, 0) => Reply::hang(),
            (_, 1) => Reply::hang().working(),
            (_, 2) => Reply::status(500).working(),
            (_, 3) => Reply::drop_connection(),
            (_, 4) => Reply::status(302).header("location", "https://elsewhere.example/"),
            _ => Reply::status(408),
        }
    });
    play.give_many(PLAYERS).await?;
    live_calls(&play.stage, &mut play.dispatcher, LONG_S).await?;
    assert_eq!(calls(&play.stage).await?.iter().filter(|call| call.ends_with(" told")).count(), PLAYERS);
    let facts: BTreeSet<String> = play.api.facts().into_iter().collect();
    assert_eq!(facts.len(), PLAYERS);
    let sent: BTreeSet<Vec<u8>> = play.api.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(sent.len(), PLAYERS, "every attempt of a call says the same");
    assert!(play.api.requests().len() > PLAYERS * 5);
    play.assert_sound().await
}

/// 429 is about the key: nobody calls with it before the time that the provider asked for, not even for another call.
#[tokio::test]
async fn a_provider_that_wants_a_pause_gets_it_from_everybody() -> Result<()> {
    let mut play = Play::new().await?;
    let mut other = play.stage.dispatcher(&play.settings).await?;
    play.api.behave(|_, _| Reply::status(429).header("retry-after", "300"));
    play.give_many(1).await?;
    play.dispatcher.settle().await?;
    assert_eq!(play.api.requests().len(), 1);
    play.api.behave(|_, _| Reply::status(200).working());
    give(&play.stage, "arena", won("other", "bob", "r"), GrantState::Granted).await?;
    for _ in 0..29 {
        play.stage.advance(10);
        tokio::try_join!(play.dispatcher.settle(), other.settle())?;
        assert_eq!(play.api.requests().len(), 1, "at {:?}", play.stage.now());
    }
    play.stage.advance(11);
    tokio::try_join!(play.dispatcher.settle(), other.settle())?;
    assert_eq!(
        (play.api.requests().len(), calls(&play.stage).await?),
        (3, vec!["c/p0 told".to_owned(), "other/bob told".to_owned()])
    );
    play.assert_sound().await
}

/// 401 is about the key and not about the reward: nothing is called with it for a while, nothing is refused or given up by
/// it, and when somebody has set the key right all is told.
#[tokio::test]
async fn a_key_that_the_provider_does_not_take_costs_no_call() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|_, _| Reply::status(401).body(format!("no key {KEY}, by the way")));
    play.give_many(30).await?;
    play.dispatcher.settle().await?;
    let first = play.api.requests().len();
    assert!((1..=8).contains(&first), "{first} calls at once");
    play.stage.advance(299);
    play.dispatcher.settle().await?;
    assert_eq!(play.api.requests().len(), first, "the key is left alone");
    // For twice as long as the whole schedule takes.
    let end = play.stage.now().plus_seconds(2 * LONG_S);
    while play.stage.now() < end {
        play.stage.advance(3_600);
        play.dispatcher.settle().await?;
    }
    let states = play.stage.texts(
        "SELECT state || ' ' || attempts || ' ' || count(*) FROM redemption_call GROUP BY state, attempts",
    );
    assert_eq!(states.await?, ["waiting 0 30"]);
    let words =
        "SELECT DISTINCT last_outcome || ' ' || last_status || ' ' || last_detail FROM redemption_call
                  WHERE last_outcome IS NOT NULL";
    assert_eq!(play.stage.texts(words).await?, ["key_refused 401 no key [key], by the way"]);
    play.api.behave(|_, _| Reply::status(200).working());
    play.stage.advance(300);
    live_calls(&play.stage, &mut play.dispatcher, LONG_S).await?;
    assert_eq!(play.api.facts().len(), 30);
    play.assert_sound().await
}

/// 403 may be about the key or about the call. One that is refused for ever holds the others up, but does not stop them, and
/// ends in sight.
#[tokio::test]
async fn a_call_that_is_forbidden_does_not_keep_the_others_back_for_ever() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|request, _| match json(request)["userId"].as_str() {
        Some("p7") => Reply::status(403),
        _ => Reply::status(200).working(),
    });
    play.give_many(30).await?;
    live_calls(&play.stage, &mut play.dispatcher, 2 * LONG_S).await?;
    let states = play.stage.texts(
        "SELECT state || ' ' || attempts || ' ' || count(*) FROM redemption_call GROUP BY state, attempts",
    );
    assert_eq!(states.await?, ["given_up 10 1", "told 1 29"]);
    play.assert_sound().await
}

/// Refused is refused: it is kept and seen, and an operator makes it again when the reason is gone.
#[tokio::test]
async fn what_the_provider_refuses_waits_for_a_person() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|_, _| Reply::status(404).body("no such matchup"));
    let grant = give(&play.stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    live_calls(&play.stage, &mut play.dispatcher, LONG_S).await?;
    play.stage.advance(LONG_S);
    play.dispatcher.settle().await?;
    assert_eq!((calls(&play.stage).await?, play.api.requests().len()), (vec!["c/ann refused".to_owned()], 1));
    let client = play.stage.store.client().await?;
    let filter = CallFilter { state: Some(CallState::Refused), source: Some("arena") };
    let seen = list(&client, filter, 10).await?;
    let [line] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        (line.last_status, line.last_detail.as_str(), line.next_attempt_at),
        (Some(404), "no such matchup", None)
    );
    assert_eq!(line.grant_id, Some(grant));

    play.api.behave(|_, _| Reply::status(200).working());
    let now = play.stage.now();
    let done = retry(&play.stage.store, grant, &author(), "again", now).await?;
    assert!(!done.repeated);
    play.dispatcher.settle().await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann told"]);
    assert!(retry(&play.stage.store, grant, &author(), "again", now).await?.repeated);
    let nothing = retry(&play.stage.store, grant, &author(), "once more", now).await;
    assert!(matches!(nothing, Err(Error::NothingToRetry)), "{nothing:?}");
    play.assert_sound().await
}

/// A provider that is away for good: the schedule ends, and what is left waits for a person, who begins it anew.
#[tokio::test]
async fn a_call_is_given_up_in_sight_and_begun_anew_by_a_person() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.take_down().await;
    let grant = give(&play.stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    live_calls(&play.stage, &mut play.dispatcher, LONG_S).await?;
    assert_eq!(calls(&play.stage).await?, ["c/ann given_up"]);
    let line = of_grant(&play.stage.store.client().await?, grant).await?.unwrap();
    assert_eq!((line.attempts, line.last.map(|(outcome, _)| outcome.as_str())), (10, Some("not_sent")));
    play.api.bring_up().await?;
    retry(&play.stage.store, grant, &author(), "it is back", play.stage.now()).await?;
    play.dispatcher.settle().await?;
    assert_eq!((calls(&play.stage).await?, play.api.requests().len()), (vec!["c/ann told".to_owned()], 1));
    play.assert_sound().await
}

/// Killed between the answer and the note of it: told again when the lease ends, the same fact.
#[tokio::test]
async fn a_killed_dispatchers_call_is_made_again() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|_, nth| if nth == 1 { Reply::hang().working() } else { Reply::status(200).working() });
    give(&play.stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    while play.dispatcher.turn().await?.called == 0 {
        play.dispatcher.next_ended().await;
    }
    play.api.received(1).await?;
    let Play { stage, studio: _studio, api, dispatcher, settings } = play;
    drop(dispatcher);
    let mut next = stage.dispatcher(&settings).await?;
    next.settle().await?;
    assert_eq!(api.requests().len(), 1, "the lease holds");
    stage.advance(61);
    next.settle().await?;
    assert_eq!((api.requests().len(), api.facts().len()), (2, 1));
    assert_eq!(calls(&stage).await?, ["c/ann told"]);
    Ok(())
}

/// Killed at any moment, many times, while studio and provider are told: every fact is taken, and the limit holds.
#[tokio::test]
async fn dispatchers_that_die_all_the_time_tell_everything_and_never_too_fast() -> Result<()> {
    const ROUNDS: usize = 60;
    let Play { stage, studio, api, dispatcher, settings } = Play::new().await?;
    drop(dispatcher);
    api.behave(|_, nth| match nth % 3 {
        1 => Reply::status(500).working(),
        2 => Reply::drop_connection(),
        _ => Reply::status(200).working(),
    });
    let mut dice = Dice::new(11);
    for round in 0..ROUNDS {
        for n in 0..3 {
            let player = format!("p{round}-{n}");
            give(&stage, "arena", won("c", &player, "r"), GrantState::Granted).await?;
        }
        let mut dispatcher = stage.dispatcher(&settings).await?;
        let polls = dice.below(500);
        let mut settling = Box::pin(dispatcher.settle());
        for _ in 0..polls {
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(settling.as_mut().poll(context)));
            if polled.await.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(settling);
        drop(dispatcher);
        stage.advance(i64::try_from(dice.below(4))?);
    }
    let mut last = stage.dispatcher(&settings).await?;
    stage.advance(100);
    stage.live(&mut last, LONG_S).await?;
    live_calls(&stage, &mut last, LONG_S).await?;
    let states = stage.texts("SELECT state || ' ' || count(*) FROM redemption_call GROUP BY state").await?;
    assert_eq!(states, [format!("told {}", ROUNDS * 3)]);
    assert_eq!((api.facts().len(), studio.work().len()), (ROUNDS * 3, ROUNDS * 3));
    assert_eq!((api.beyond(), findings(&stage).await?), (0, vec![]));
    Ok(())
}

/// Two dispatchers and two sources with one key are under one limit, whatever each of them has to do.
#[tokio::test]
async fn all_who_use_a_key_share_its_limit() -> Result<()> {
    const PLAYERS: usize = 160;
    let stage = Stage::new().await?;
    let (studio, api) = (Studio::start().await?, provider(&stage).await?);
    let settings =
        [endpoint("game", &studio, ""), told_source("arena", &api), told_source("lounge", &api)].concat();
    let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
    for n in 0..PLAYERS {
        let player = format!("p{n}");
        give(&stage, "arena", won("c", &player, "r"), GrantState::Granted).await?;
        give(&stage, "lounge", won("d", &player, "r"), GrantState::Granted).await?;
    }
    let began = stage.now();
    tokio::try_join!(one.settle(), other.settle())?;
    assert_eq!(api.requests().len(), CALLS, "as many as may be, and no more");
    while api.facts().len() < PLAYERS * 2 {
        stage.advance(1);
        tokio::try_join!(one.settle(), other.settle())?;
        assert_eq!(api.beyond(), 0);
        assert!(stage.now() < began.plus_seconds(60), "{} of {}", api.facts().len(), PLAYERS * 2);
    }
    // 320 calls, 100 in a window with what clocks may be apart: the last ones begin after three of them.
    assert_eq!(stage.now(), began.plus_seconds(3 * (WINDOW_S + matchpurse_store::calls::CLOCKS_APART_S)));
    assert_eq!((api.requests().len(), findings(&stage).await?), (PLAYERS * 2, vec![]));
    Ok(())
}

/// One provider that hangs holds its own calls, and the studio is told all the same.
#[tokio::test]
async fn a_provider_that_hangs_delays_no_notice() -> Result<()> {
    let mut play = Play::new().await?;
    play.api.behave(|_, _| Reply::hang());
    play.give_many(20).await?;
    let mut begun = 0;
    while begun < 20 {
        begun += play.dispatcher.turn().await?.begun;
        tokio::task::yield_now().await;
    }
    play.studio.received(20).await?;
    assert!(play.api.requests().len() <= 8, "as many at once as to one endpoint");
    Ok(())
}
