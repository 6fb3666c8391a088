//! Rewards that are taken back while the studio is being told of them: it hears of nothing that it must not give, or of
//! both, in their order.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_domain::grants::GrantState;
use matchpurse_operations::rewards::{Error, retry};
use matchpurse_store::dispatch::{self, DeliveryFilter, DeliveryState, Retried};
use matchpurse_testkit::{Dice, Reply, Studio};
use uuid::Uuid;

use crate::rewards::*;
use crate::stage::{Stage, endpoint, json};

const LONG_S: i64 = 6 * 86_400;

/// What a studio was told of each grant: the kinds in their order, repeats included.
fn told(studio: &Studio) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in studio.requests() {
        let body = json(&request);
        let grant = body["data"]["grant_id"].as_str().unwrap().to_owned();
        told.entry(grant).or_default().push(body["type"].as_str().unwrap().replace("reward.", ""));
    }
    told
}

fn told_of(studio: &Studio, grant: Uuid) -> Vec<String> {
    told(studio).remove(&grant.to_string()).unwrap_or_default()
}

async fn given(stage: &Stage) -> Result<Uuid> {
    give(stage, "arena", won("c", "ann", "r"), GrantState::Granted).await
}

#[tokio::test]
async fn what_was_taken_back_before_it_was_told_is_never_told() -> Result<()> {
    for order in ["", "ordered = true"] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, order)).await?;
        let grant = given(&stage).await?;
        take_back(&stage, grant).await?;
        dispatcher.settle().await?;
        assert_eq!(told_of(&studio, grant), ["reversed"]);
        assert_eq!(stage.states().await?, "delivered 1, withdrawn 1");
        assert_eq!(grant_state(&stage, grant).await?, "reversed");
        // It can be seen, has no attempts, and nobody can have it sent.
        let client = stage.store.client().await?;
        let filter = DeliveryFilter { state: Some(DeliveryState::Withdrawn), ..DeliveryFilter::default() };
        let seen = dispatch::deliveries(&client, &filter, 10).await?;
        let [line] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((line.kind.as_str(), line.attempts, &line.last), ("reward.granted", 0, &None));
        assert_eq!((line.finished_at, line.next_attempt_at), (Some(stage.now()), None));
        let (id, now) = (line.delivery_id, stage.now());
        let again = async |tx: &matchpurse_store::Tx<'_>| {
            Ok(dispatch::retry_in_tx(tx, id, "ann", "why not", now).await?)
        };
        assert_eq!(stage.in_tx(again).await?, Retried::TakenBack);
        assert_eq!(findings(&stage).await?, [""; 0]);
    }
    Ok(())
}

/// A studio that could not be reached has heard nothing, however often it was tried.
#[tokio::test]
async fn what_never_reached_the_studio_is_withdrawn() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    studio.take_down().await;
    let grant = given(&stage).await?;
    stage.live(&mut dispatcher, 60).await?;
    assert_eq!(stage.outcomes().await?, ["not_sent", "not_sent"]);
    take_back(&stage, grant).await?;
    studio.bring_up().await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(told_of(&studio, grant), ["reversed"]);
    assert_eq!(stage.states().await?, "delivered 1, withdrawn 1");
    assert_eq!(findings(&stage).await?, [""; 0]);
    Ok(())
}

/// What the studio may have heard is told until it surely has, and then what was taken back: never the other way round.
#[tokio::test]
async fn what_the_studio_may_have_heard_is_told_before_its_reversal() -> Result<()> {
    for (reply, outcome) in [
        (Reply::status(500).working(), "refused 500"),
        (Reply::hang(), "unknown"),
        (Reply::drop_connection(), "unknown"),
        (Reply::status(429), "throttled 429"),
    ] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        let fails = reply.clone();
        studio.behave(move |request, nth| {
            if json(request)["type"] == "reward.granted" && nth < 4 { fails.clone() } else { Reply::ok() }
        });
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
        let grant = given(&stage).await?;
        dispatcher.settle().await?;
        assert_eq!(stage.outcomes().await?, [outcome]);
        take_back(&stage, grant).await?;
        dispatcher.settle().await?;
        assert_eq!(told_of(&studio, grant), ["granted"], "the reversal waits");
        stage.live(&mut dispatcher, LONG_S).await?;
        assert_eq!(told_of(&studio, grant), ["granted", "granted", "granted", "granted", "reversed"]);
        assert_eq!(stage.states().await?, "delivered 2");
        assert_eq!(grant_state(&stage, grant).await?, "reversed");
        // It comes as soon as it may, not when the other one's next attempt would have been.
        assert!(stage.now() < Stage::begin().plus_seconds(2 * 3600), "{:?}", stage.now());
    }
    Ok(())
}

/// Taken back while the request is on its way.
#[tokio::test]
async fn what_is_being_told_is_told_before_its_reversal() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, nth| if nth == 1 { Reply::hang().working() } else { Reply::ok() });
    let settings = endpoint("game", &studio, "");
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let mut other = stage.dispatcher(&settings).await?;
    let grant = given(&stage).await?;
    dispatcher.turn().await?;
    studio.received(1).await?;
    take_back(&stage, grant).await?;
    other.settle().await?;
    assert_eq!(told_of(&studio, grant), ["granted"], "somebody is telling it");
    studio.behave(|_, _| Reply::ok());
    dispatcher.settle().await?;
    stage.live(&mut other, LONG_S).await?;
    assert_eq!(told_of(&studio, grant), ["granted", "granted", "reversed"]);
    assert_eq!(grant_state(&stage, grant).await?, "reversed");
    Ok(())
}

/// Where telling was given up, the reversal is the last word: nobody can have the grant told after it.
#[tokio::test]
async fn what_was_given_up_does_not_keep_its_reversal() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|request, _| match json(request)["type"].as_str() {
        Some("reward.granted") => Reply::status(500),
        _ => Reply::ok(),
    });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let grant = given(&stage).await?;
    dispatcher.settle().await?;
    take_back(&stage, grant).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    let heard = told_of(&studio, grant);
    assert_eq!((heard.len(), heard.last().map(String::as_str)), (11, Some("reversed")));
    assert_eq!(stage.states().await?, "delivered 1, given_up 1");
    let again = retry(&stage.store, grant, &author(), "k", stage.now()).await;
    assert!(matches!(again, Err(Error::NothingToRetry)), "{again:?}");
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(told_of(&studio, grant).len(), 11);
    Ok(())
}

/// Each endpoint by what it has heard.
#[tokio::test]
async fn one_endpoint_that_has_heard_of_it_does_not_make_another_hear_of_it() -> Result<()> {
    let stage = Stage::new().await?;
    let (up, down) = (Studio::start().await?, Studio::start().await?);
    let settings = [endpoint("up", &up, ""), endpoint("down", &down, "")].concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    down.take_down().await;
    let grant = given(&stage).await?;
    dispatcher.settle().await?;
    assert_eq!(grant_state(&stage, grant).await?, "delivering");
    take_back(&stage, grant).await?;
    down.bring_up().await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(told_of(&up, grant), ["granted", "reversed"]);
    assert_eq!(told_of(&down, grant), ["reversed"]);
    assert_eq!(findings(&stage).await?, [""; 0]);
    Ok(())
}

/// A dispatcher that dies before it has withdrawn what it claimed leaves no trace that would have it told.
#[tokio::test]
async fn a_dispatcher_that_dies_before_it_withdraws_does_no_harm() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = endpoint("game", &studio, "events = [\"reward.granted\"]");
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let grant = given(&stage).await?;
    take_back(&stage, grant).await?;
    studio.take_down().await;
    // Fanned out, and claimed by hand, as by one that dies then.
    let mut client = stage.store.client().await?;
    stage
        .database
        .connection()
        .await?
        .batch_execute("UPDATE endpoint SET disabled = 'operator', disabled_at = now()")
        .await?;
    dispatcher.settle().await?;
    let endpoint_id = stage.endpoint("game").await?.endpoint.id;
    let wanted = [dispatch::Wanted { endpoint: endpoint_id, most: 8, probe: false }];
    let claimed = dispatch::claim(&mut client, &wanted, stage.now(), stage.now().plus_seconds(60)).await?;
    assert!(matches!(claimed.as_slice(), [one] if one.taken_back), "{claimed:?}");
    let none = dispatch::claim(&mut client, &wanted, stage.now(), stage.now().plus_seconds(60)).await?;
    assert_eq!(none, [], "its lease holds");
    stage
        .database
        .connection()
        .await?
        .batch_execute("UPDATE endpoint SET disabled = NULL, disabled_at = NULL")
        .await?;
    studio.bring_up().await?;
    stage.advance(61);
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "withdrawn 1");
    assert!(!dispatch::withdraw(&mut client, &claimed[0], stage.now()).await?, "the dead one comes too late");
    assert_eq!((studio.requests().len(), stage.outcomes().await?), (0, vec![]));
    Ok(())
}

/// People take rewards back at any moment while two dispatchers tell a studio that fails now and then. Nothing is told
/// after it was told to be taken back, and what was not told is withdrawn.
#[tokio::test]
async fn whenever_it_is_taken_back_the_studio_is_told_in_order() -> Result<()> {
    const GRANTS: usize = 120;
    for (seed, order) in [(1, ""), (2, "ordered = true")] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        studio.behave(|request, nth| {
            let kind = request.webhook_id().bytes().map(usize::from).sum::<usize>();
            match (nth, kind % 4) {
                (1, 0) => Reply::status(500),
                (1, 1) => Reply::drop_connection().working(),
                _ => Reply::ok(),
            }
        });
        let settings = endpoint("game", &studio, order);
        let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
        let mut grants = Vec::new();
        for n in 0..GRANTS {
            let player = format!("p{n}");
            grants.push(give(&stage, "arena", won("c", &player, "r"), GrantState::Granted).await?);
        }
        let mut dice = Dice::new(seed);
        let taking = async {
            for grant in &grants {
                for _ in 0..dice.below(6) {
                    tokio::task::yield_now().await;
                }
                take_back(&stage, *grant).await?;
            }
            anyhow::Ok(())
        };
        let one_settles = async { Ok(one.settle().await?) };
        let other_settles = async { Ok(other.settle().await?) };
        tokio::try_join!(taking, one_settles, other_settles)?;
        stage.live(&mut one, LONG_S).await?;

        let told = told(&studio);
        let withdrawn = stage.texts("SELECT o.subject FROM delivery d JOIN outbox o USING (webhook_id) WHERE d.state = 'withdrawn'").await?;
        let mut unheard = 0;
        for grant in &grants {
            let heard = told.get(&grant.to_string()).cloned().unwrap_or_default();
            let from = heard.iter().position(|kind| kind == "reversed").expect("the reversal is told");
            assert!(heard[from..].iter().all(|kind| kind == "reversed"), "{heard:?}");
            let was_withdrawn = withdrawn.contains(&grant.to_string());
            assert_eq!(was_withdrawn, from == 0, "{heard:?}");
            unheard += usize::from(was_withdrawn);
        }
        assert!(!stage.states().await?.contains("waiting"));
        assert_eq!(findings(&stage).await?, [""; 0]);
        assert!(unheard > 0 && unheard < GRANTS, "{unheard} of {GRANTS}: nothing met");
    }
    Ok(())
}
