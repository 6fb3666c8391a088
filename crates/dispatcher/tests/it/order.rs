//! Where an endpoint asks for it, the notices of a subject come one after the other.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_store::dispatch::{self, Retried};
use matchpurse_testkit::{Reply, Studio};

use crate::stage::{Stage, endpoint, json, notice};

const LONG_S: i64 = 6 * 86_400;

/// What came first of each subject, in the order in which the work was done.
fn by_subject(studio: &Studio) -> BTreeMap<String, Vec<u64>> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for id in studio.work() {
        let requests = studio.requests();
        let body = json(requests.iter().find(|request| request.webhook_id() == id).unwrap());
        let subject = body["data"]["subject"].as_str().unwrap().to_owned();
        numbers.entry(subject).or_default().push(body["data"]["n"].as_u64().unwrap());
    }
    numbers
}

fn many() -> Vec<matchpurse_store::outbox::Notice> {
    (0..60).map(|n| notice("match.held", &format!("m{}", n % 6), n)).collect()
}

/// Every second request fails, so without order they would come as it happens.
#[tokio::test]
async fn the_notices_of_a_subject_come_one_after_the_other() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|request, nth| {
        let salt = usize::from(*request.webhook_id().as_bytes().last().unwrap());
        if nth <= salt % 3 { Reply::status(500) } else { Reply::ok() }
    });
    let settings = endpoint("game", &studio, "ordered = true");
    let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
    for batch in many().chunks(7) {
        stage.tell(batch).await?;
        tokio::try_join!(one.settle(), other.settle())?;
        stage.live(&mut one, 3).await?;
    }
    stage.live(&mut one, LONG_S).await?;
    assert_eq!(stage.states().await?, "delivered 60");
    let numbers = by_subject(&studio);
    assert_eq!(numbers.len(), 6);
    for (subject, numbers) in numbers {
        assert!(numbers.is_sorted() && numbers.len() == 10, "{subject}: {numbers:?}");
    }
    Ok(())
}

/// A subject whose first notice does not get through holds up its own ones and nobody else's.
#[tokio::test]
async fn one_subject_that_is_stuck_holds_up_no_other() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(
        |request, _| {
            if json(request)["data"]["n"] == 0 { Reply::status(422) } else { Reply::ok() }
        },
    );
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "ordered = true")).await?;
    stage.tell(&many()).await?;
    stage.live(&mut dispatcher, 3_600).await?;
    assert_eq!(stage.states().await?, "behind 9, delivered 50, waiting 1");
    // Given up in the end, and the next one goes.
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(stage.states().await?, "delivered 59, given_up 1");
    assert!(by_subject(&studio)["m0"].is_sorted());

    // Somebody has mended it: what was given up comes after all, although late.
    studio.behave(|_, _| Reply::ok());
    let given_up = stage.texts("SELECT delivery_id::text FROM delivery WHERE state = 'given_up'").await?;
    let given_up: i64 = given_up[0].parse()?;
    let now = stage.now();
    let retry = async |tx: &matchpurse_store::Tx<'_>| {
        Ok(dispatch::retry_in_tx(tx, given_up, "ann", "mended", now).await?)
    };
    assert_eq!(stage.in_tx(retry).await?, Retried::Done);
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "delivered 60");
    Ok(())
}

/// A line of which an early one is tried again by hand goes on in order from there.
#[tokio::test]
async fn a_retry_takes_its_place_in_the_line() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(
        |request, _| {
            if json(request)["data"]["n"] == 0 { Reply::status(422) } else { Reply::hang() }
        },
    );
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "ordered = true")).await?;
    stage.tell(&[notice("match.held", "m", 0)]).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    let delivery = stage.texts("SELECT delivery_id::text FROM delivery").await?[0].parse::<i64>()?;
    stage.tell(&[1, 2, 3].map(|n| notice("match.held", "m", n))).await?;
    // The first of them is being sent, so the retry comes after it and before the others.
    dispatcher.turn().await?;
    let now = stage.now();
    let retry = async |tx: &matchpurse_store::Tx<'_>| {
        Ok(dispatch::retry_in_tx(tx, delivery, "ann", "mended", now).await?)
    };
    assert_eq!(stage.in_tx(retry).await?, Retried::Behind);
    assert_eq!(stage.in_tx(retry).await?, Retried::Behind);
    assert_eq!(stage.states().await?, "behind 3, waiting 1");
    studio.behave(|_, _| Reply::ok());
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(stage.states().await?, "delivered 4");
    assert_eq!(by_subject(&studio)["m"], [1, 0, 2, 3]);
    Ok(())
}

/// Who wants no order any more gets at once what was waiting for its turn.
#[tokio::test]
async fn order_can_be_given_up() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(
        |request, _| {
            if json(request)["data"]["n"] == 0 { Reply::status(422) } else { Reply::ok() }
        },
    );
    let mut ordered = stage.dispatcher(&endpoint("game", &studio, "ordered = true")).await?;
    for n in 0..5 {
        stage.tell(&[notice("match.held", "m", n)]).await?;
    }
    ordered.settle().await?;
    assert_eq!(stage.states().await?, "behind 4, waiting 1");
    let mut plain = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    plain.settle().await?;
    assert_eq!(stage.states().await?, "delivered 4, waiting 1");
    Ok(())
}
