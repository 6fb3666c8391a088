//! What becomes of a grant while the studio is told of it.

use anyhow::Result;
use matchpurse_domain::ids::derived_uuid;
use matchpurse_store::dispatch::{self, Retried};
use matchpurse_store::outbox::Notice;
use matchpurse_testkit::{Reply, Studio};
use uuid::Uuid;

use crate::stage::{Stage, endpoint, notice};

const LONG_S: i64 = 6 * 86_400;

/// A grant in a state, as the worker writes it, and its notice.
async fn grant(stage: &Stage, name: &str, state: &str) -> Result<(Uuid, Notice)> {
    let id = derived_uuid("grant", &[name]);
    let sql = "INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, reason, event_id)
               VALUES ($1, $1, 'arena', $1, 'r', 'studio', $2, 'test', $1)";
    stage.database.connection().await?.execute(sql, &[&id, &state]).await?;
    Ok((id, notice("reward.granted", &id.to_string(), 0)))
}

async fn state(stage: &Stage, id: Uuid) -> Result<String> {
    let sql = "SELECT state FROM reward_grant WHERE grant_id = $1";
    Ok(stage.database.connection().await?.query_one(sql, &[&id]).await?.get(0))
}

#[tokio::test]
async fn a_grant_is_fulfilled_when_every_endpoint_has_it() -> Result<()> {
    let stage = Stage::new().await?;
    let (quick, slow) = (Studio::start().await?, Studio::start().await?);
    slow.behave(|_, nth| if nth < 3 { Reply::status(500) } else { Reply::ok() });
    let settings = [endpoint("quick", &quick, ""), endpoint("slow", &slow, "")].concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let (id, told) = grant(&stage, "g", "granted").await?;
    stage.tell(&[told]).await?;
    assert_eq!(state(&stage, id).await?, "granted");
    dispatcher.settle().await?;
    assert_eq!(state(&stage, id).await?, "delivering");
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(state(&stage, id).await?, "fulfilled");
    Ok(())
}

/// While the first attempt is under way the studio may be giving it already.
#[tokio::test]
async fn a_grant_is_being_delivered_from_its_first_attempt_on() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::hang());
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let (id, told) = grant(&stage, "g", "granted").await?;
    stage.tell(&[told]).await?;
    dispatcher.turn().await?;
    studio.received(1).await?;
    assert_eq!(state(&stage, id).await?, "delivering");
    Ok(())
}

#[tokio::test]
async fn a_grant_fails_with_its_last_attempt_and_an_operator_sends_it_again() -> Result<()> {
    let stage = Stage::new().await?;
    let (good, bad) = (Studio::start().await?, Studio::start().await?);
    bad.behave(|_, _| Reply::status(500));
    let settings = [endpoint("bad", &bad, ""), endpoint("good", &good, "")].concat();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let (id, told) = grant(&stage, "g", "granted").await?;
    let told = stage.tell(&[told]).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(state(&stage, id).await?, "failed");
    assert_eq!((bad.requests().len(), good.requests().len()), (10, 1));
    assert_eq!(stage.states().await?, "delivered 1, given_up 1");
    // Nothing happens any more by itself.
    stage.advance(LONG_S);
    dispatcher.settle().await?;
    assert_eq!(bad.requests().len(), 10);

    bad.behave(|_, _| Reply::ok());
    let delivery = stage.texts("SELECT delivery_id::text FROM delivery WHERE state = 'given_up'").await?;
    let (delivery, now): (i64, _) = (delivery[0].parse()?, stage.now());
    let retry = async |tx: &matchpurse_store::Tx<'_>| {
        Ok(dispatch::retry_in_tx(tx, delivery, "ann", "their server was broken", now).await?)
    };
    assert_eq!(stage.in_tx(retry).await?, Retried::Done);
    assert_eq!(state(&stage, id).await?, "delivering");
    dispatcher.settle().await?;
    assert_eq!(state(&stage, id).await?, "fulfilled");
    assert_eq!(bad.work(), told.into_iter().collect::<Vec<_>>(), "under the same id as ever");
    assert_eq!(stage.in_tx(retry).await?, Retried::Delivered);
    let operations = "SELECT kind || ': ' || actor || ', ' || reason FROM dispatch_operation";
    assert_eq!(stage.texts(operations).await?, ["delivery_retried: ann, their server was broken"]);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_nobody_wants_to_hear_of_stays_granted() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "events = [\"match.*\"]")).await?;
    let (id, told) = grant(&stage, "g", "granted").await?;
    stage.tell(&[told]).await?;
    dispatcher.settle().await?;
    assert_eq!((state(&stage, id).await?.as_str(), studio.requests().len()), ("granted", 0));
    Ok(())
}

/// What a person has decided about a grant is not overruled by an answer.
#[tokio::test]
async fn a_grant_that_was_taken_back_stays_so() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    for (name, before) in [("a", "reversed"), ("b", "needs_review"), ("c", "recorded"), ("d", "fulfilled")] {
        let (id, told) = grant(&stage, name, before).await?;
        stage.tell(&[told]).await?;
        dispatcher.settle().await?;
        assert_eq!(state(&stage, id).await?, before);
    }
    assert_eq!(studio.work().len(), 3, "of what was taken back it hears nothing");
    Ok(())
}

/// Many endpoints that answer at the same moment, from two dispatchers: the last one of each grant is seen as such.
#[tokio::test]
async fn of_answers_at_once_one_is_the_last() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings: String = (0..4).map(|n| endpoint(&format!("e{n}"), &studio, "")).collect();
    let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
    let mut told = Vec::new();
    for n in 0..40 {
        told.push(grant(&stage, &format!("g{n}"), "granted").await?.1);
    }
    stage.tell(&told).await?;
    tokio::try_join!(one.settle(), other.settle())?;
    tokio::try_join!(one.settle(), other.settle())?;
    let states = stage.texts("SELECT state || ' ' || count(*) FROM reward_grant GROUP BY state").await?;
    assert_eq!(states, ["fulfilled 40"]);
    assert_eq!((studio.requests().len(), studio.work().len()), (160, 40));
    Ok(())
}
