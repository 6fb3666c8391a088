//! Endpoints that are removed: nothing waits for them for ever, and no reward is lost with them.

use anyhow::Result;
use matchpurse_dispatcher::Dispatcher;
use matchpurse_domain::grants::GrantState;
use matchpurse_domain::webhook::EndpointName;
use matchpurse_operations::deliveries;
use matchpurse_operations::rewards::{Error, retry};
use matchpurse_store::dispatch::{self, Because, DeliveryFilter, DeliveryState};
use matchpurse_testkit::{ProviderApi, Reply, Studio};
use uuid::Uuid;

use crate::rewards::*;
use crate::stage::{Stage, endpoint, json, notice};

const DAY_S: i64 = 86_400;

/// Lets the dispatcher look once more for what is left.
async fn look(stage: &Stage, dispatcher: &mut Dispatcher) -> Result<()> {
    stage.advance(2);
    Ok(dispatcher.settle().await?)
}

async fn given(stage: &Stage, player: &str) -> Result<Uuid> {
    give(stage, "arena", won("c", player, "r"), GrantState::Granted).await
}

fn heard(studio: &Studio) -> Vec<String> {
    studio.requests().iter().map(|request| json(request)["type"].as_str().unwrap().to_owned()).collect()
}

/// What waits for an endpoint that leaves the configuration, in a line or not, is given up; the rewards fail in sight.
#[tokio::test]
async fn what_waits_for_a_removed_endpoint_is_given_up_and_its_rewards_fail() -> Result<()> {
    for order in ["", "ordered = true"] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        let settings = endpoint("game", &studio, order);
        let mut dispatcher = stage.dispatcher(&settings).await?;
        studio.behave(|_, _| Reply::status(500));
        let grant = given(&stage, "ann").await?;
        stage.tell(&[notice("match.held", "m", 0), notice("match.settled", "m", 1)]).await?;
        dispatcher.settle().await?;
        assert_eq!(grant_state(&stage, grant).await?, "delivering");
        drop(dispatcher);

        let mut without = stage.dispatcher("").await?;
        look(&stage, &mut without).await?;
        assert_eq!(stage.states().await?, "given_up 3");
        assert_eq!(grant_state(&stage, grant).await?, "failed");
        let client = stage.store.client().await?;
        let seen = dispatch::deliveries(&client, &DeliveryFilter::default(), 10).await?;
        assert!(seen.iter().all(|line| line.because == Some(Because::EndpointRemoved)), "{seen:?}");
        assert!(seen.iter().all(|line| line.finished_at == Some(stage.now())), "{seen:?}");
        let attempts = seen.iter().map(|line| line.attempts).sum::<i32>();
        assert_eq!(attempts, if order.is_empty() { 3 } else { 2 }, "it was not tried any more");
        // Whatever time passes, it stays in sight.
        stage.advance(100 * DAY_S);
        without.settle().await?;
        assert_eq!(stage.states().await?, "given_up 3");
        assert_eq!(findings(&stage).await?, [""; 0]);
    }
    Ok(())
}

/// It left by mistake: what it had not got is for it again, in its order.
#[tokio::test]
async fn an_endpoint_that_comes_back_gets_what_it_had_not_got() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = endpoint("game", &studio, "ordered = true");
    let mut dispatcher = stage.dispatcher(&settings).await?;
    studio.take_down().await;
    let grant = given(&stage, "ann").await?;
    let told: Vec<_> = (0..5).map(|n| notice("match.held", "m", n)).collect();
    stage.tell(&told).await?;
    dispatcher.settle().await?;
    drop(dispatcher);
    let mut without = stage.dispatcher("").await?;
    look(&stage, &mut without).await?;
    assert_eq!(
        (stage.states().await?, grant_state(&stage, grant).await?),
        ("given_up 6".into(), "failed".into())
    );

    studio.bring_up().await?;
    let mut again = stage.dispatcher(&settings).await?;
    assert_eq!(grant_state(&stage, grant).await?, "delivering");
    assert_eq!(stage.states().await?, "behind 4, waiting 2");
    again.settle().await?;
    assert_eq!(stage.states().await?, "delivered 6");
    assert_eq!(grant_state(&stage, grant).await?, "fulfilled");
    let order: Vec<i64> =
        studio.requests().iter().filter_map(|request| json(request)["data"]["n"].as_i64()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
    Ok(())
}

/// A studio moves to another server under another name.
#[tokio::test]
async fn a_retry_hands_on_to_the_endpoints_that_are_there() -> Result<()> {
    let stage = Stage::new().await?;
    let (old, new, api) = (Studio::start().await?, Studio::start().await?, provider(&stage).await?);
    let source = told_source("arena", &api);
    let mut dispatcher = stage.dispatcher(&[endpoint("old", &old, ""), source.clone()].concat()).await?;
    old.behave(|_, _| Reply::status(500));
    let (ann, bob) = (given(&stage, "ann").await?, given(&stage, "bob").await?);
    dispatcher.settle().await?;
    drop(dispatcher);
    let matches_only = endpoint("new", &new, "events = [\"match.*\"]");
    let mut dispatcher = stage.dispatcher(&[matches_only, source.clone()].concat()).await?;
    look(&stage, &mut dispatcher).await?;

    let nobody = retry(&stage.store, ann, &author(), "k1", stage.now()).await;
    assert!(matches!(nobody, Err(Error::Unwanted)), "{nobody:?}");
    assert_eq!(stage.states().await?, "given_up 2");
    let all = endpoint("new", &new, "ordered = true");
    let mut dispatcher = stage.dispatcher(&[all, source].concat()).await?;
    assert!(!retry(&stage.store, ann, &author(), "k1", stage.now()).await?.repeated);
    assert!(retry(&stage.store, ann, &author(), "k1", stage.now()).await?.repeated);
    look(&stage, &mut dispatcher).await?;
    assert_eq!((heard(&new), heard(&old).len()), (vec!["reward.granted".to_owned()], 2));
    assert_eq!(new.requests()[0].webhook_id(), old.requests()[0].webhook_id(), "it is the same notice");
    assert_eq!(grant_state(&stage, ann).await?, "fulfilled");
    assert_eq!(calls(&stage).await?, ["c/ann told"]);

    // By its number, too; and only once.
    let client = stage.store.client().await?;
    let filter = DeliveryFilter { state: Some(DeliveryState::GivenUp), ..DeliveryFilter::default() };
    let left = dispatch::deliveries(&client, &filter, 10).await?;
    let [left] = left.as_slice() else { panic!("{left:?}") };
    let again = async |key: &str| {
        deliveries::retry(&stage.store, left.delivery_id, &author(), key, stage.now()).await
    };
    again("one").await?;
    let twice = again("two").await;
    assert!(matches!(twice, Err(deliveries::Error::HandedOn)), "{twice:?}");
    look(&stage, &mut dispatcher).await?;
    assert_eq!(grant_state(&stage, bob).await?, "fulfilled");
    assert_eq!(stage.states().await?, "delivered 2, withdrawn 2");
    let twice = again("three").await;
    assert!(matches!(twice, Err(deliveries::Error::HandedOn)), "{twice:?}");
    let did = "SELECT detail::text FROM dispatch_operation WHERE kind = 'delivery_retried'";
    assert_eq!(stage.texts(did).await?, [r#"{"handed_to": ["new"]}"#; 2]);
    assert_eq!((findings(&stage).await?, api.beyond()), (vec![], 0));
    // What was handed on goes with the history.
    stage.advance(100 * DAY_S);
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "");
    Ok(())
}

/// Two endpoints wanted it and one has it. Nobody but a person can say that this is enough.
#[tokio::test]
async fn what_another_endpoint_has_is_given_when_a_person_says_so() -> Result<()> {
    let stage = Stage::new().await?;
    let (one, other) = (Studio::start().await?, Studio::start().await?);
    let api: ProviderApi = provider(&stage).await?;
    let source = told_source("arena", &api);
    let both = [endpoint("one", &one, ""), endpoint("other", &other, ""), source.clone()].concat();
    let mut dispatcher = stage.dispatcher(&both).await?;
    other.take_down().await;
    let grant = given(&stage, "ann").await?;
    dispatcher.settle().await?;
    drop(dispatcher);
    let mut dispatcher = stage.dispatcher(&[endpoint("one", &one, ""), source].concat()).await?;
    look(&stage, &mut dispatcher).await?;
    assert_eq!((grant_state(&stage, grant).await?, api.requests().len()), ("failed".to_owned(), 0));
    retry(&stage.store, grant, &author(), "enough", stage.now()).await?;
    look(&stage, &mut dispatcher).await?;
    assert_eq!(grant_state(&stage, grant).await?, "fulfilled");
    assert_eq!((heard(&one).len(), api.requests().len()), (1, 1));
    assert_eq!(findings(&stage).await?, [""; 0]);
    Ok(())
}

/// It is removed through the API while it is being sent to: what arrives has arrived.
#[tokio::test]
async fn what_is_being_sent_to_an_endpoint_that_is_removed_ends_as_it_ends() -> Result<()> {
    for (delivered, state, left) in [(true, "fulfilled", "delivered 1"), (false, "failed", "given_up 1")] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
        let as_by_api = "UPDATE endpoint SET origin = 'api', allow_private = false";
        stage.database.connection().await?.batch_execute(as_by_api).await?;
        // By hand, as if the request were under way.
        let stopped = "UPDATE endpoint SET disabled = 'operator', disabled_at = now()";
        stage.database.connection().await?.batch_execute(stopped).await?;
        let grant = given(&stage, "ann").await?;
        dispatcher.settle().await?;
        let mut client = stage.store.client().await?;
        let id = stage.endpoint("game").await?.endpoint.id;
        let wanted = [dispatch::Wanted { endpoint: id, most: 8, probe: false }];
        let claimed =
            dispatch::claim(&mut client, &wanted, stage.now(), stage.now().plus_seconds(60)).await?;
        let (name, now) = (EndpointName::parse("game")?, stage.now());
        stage.in_tx(async |tx| Ok(dispatch::remove_in_tx(tx, &name, "ann", "old", now).await?)).await?;
        look(&stage, &mut dispatcher).await?;
        assert_eq!(stage.states().await?, "waiting 1", "it is under way");
        let (outcome, next) = if delivered {
            (dispatch::AttemptOutcome::Delivered, dispatch::Next::Delivered)
        } else {
            let at = stage.now().plus_seconds(5);
            (dispatch::AttemptOutcome::Refused, dispatch::Next::Again { at, counts: true })
        };
        let attempt =
            dispatch::Attempt { at: stage.now(), took_ms: 1, outcome, status: None, detail: String::new() };
        let ended = dispatch::Ended { claimed: &claimed[0], attempt, next };
        let audience = matchpurse_store::redemptions::Audience::default();
        dispatch::finish(&mut client, &ended, &audience, |health| health, stage.now()).await?;
        look(&stage, &mut dispatcher).await?;
        assert_eq!(
            (grant_state(&stage, grant).await?.as_str(), stage.states().await?.as_str()),
            (state, left)
        );
    }
    Ok(())
}

/// A sender died with it, then its endpoint was removed: that it may have arrived is not forgotten.
#[tokio::test]
async fn what_a_dead_sender_held_is_given_up_when_its_lease_has_ended() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::hang());
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    given(&stage, "ann").await?;
    while dispatcher.turn().await?.more() {}
    studio.received(1).await?;
    drop(dispatcher);
    let mut without = stage.dispatcher("").await?;
    look(&stage, &mut without).await?;
    assert_eq!(stage.states().await?, "waiting 1");
    stage.advance(61);
    without.settle().await?;
    assert_eq!(
        (stage.states().await?, stage.outcomes().await?),
        ("given_up 1".into(), vec!["abandoned".into()])
    );
    assert_eq!(stage.texts("SELECT unknown::text FROM delivery").await?, ["true"]);
    Ok(())
}

/// No endpoint wanted the reward when it was given. It is not forgotten, even when the notice is.
#[tokio::test]
async fn a_reward_that_nobody_wanted_is_told_when_somebody_does() -> Result<()> {
    for days in [0, 400] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        let mut dispatcher = stage.dispatcher("").await?;
        let grant = given(&stage, "ann").await?;
        dispatcher.settle().await?;
        stage.advance(days * DAY_S);
        look(&stage, &mut dispatcher).await?;
        let kept = if days == 0 { "1" } else { "0" };
        assert_eq!(stage.texts("SELECT count(*)::text FROM outbox").await?, [kept]);
        let nobody = retry(&stage.store, grant, &author(), "k", stage.now()).await;
        assert!(matches!(nobody, Err(Error::Unwanted)), "{nobody:?}");
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
        look(&stage, &mut dispatcher).await?;
        assert_eq!((heard(&studio).len(), grant_state(&stage, grant).await?), (0, "granted".to_owned()));
        assert!(!retry(&stage.store, grant, &author(), "k", stage.now()).await?.repeated);
        look(&stage, &mut dispatcher).await?;
        assert_eq!((heard(&studio).len(), grant_state(&stage, grant).await?), (1, "fulfilled".to_owned()));
        let twice = retry(&stage.store, grant, &author(), "again", stage.now()).await;
        assert!(matches!(twice, Err(Error::NothingToRetry)), "{twice:?}");
    }
    Ok(())
}
