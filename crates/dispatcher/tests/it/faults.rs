//! Studios that do everything wrong: each notice's work is done exactly once all the same, by its webhook-id.

use anyhow::Result;
use matchpurse_testkit::{Reply, Studio};

use crate::stage::{Stage, assert_same_bytes, endpoint, ids, notices};

/// Longer than the whole schedule.
const LONG_S: i64 = 6 * 86_400;

/// Tells a studio of twenty matches that behaves so at first and well from the fourth time on, and lets time pass.
async fn survive(first: fn() -> Reply) -> Result<(Stage, Studio)> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(move |_, nth| if nth < 4 { first() } else { Reply::ok() });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let told = stage.tell(&notices(20)).await?;
    stage.live(&mut dispatcher, LONG_S).await?;

    assert_eq!(stage.states().await?, "delivered 20");
    assert_eq!(ids(studio.work()), told);
    assert_eq!(studio.work().len(), 20, "each once");
    assert_eq!(studio.requests().len(), 80, "three in vain and one that arrived, each");
    assert_same_bytes(&studio);
    Ok((stage, studio))
}

#[tokio::test]
async fn it_fails() -> Result<()> {
    survive(|| Reply::status(500)).await?;
    Ok(())
}

#[tokio::test]
async fn it_does_the_work_and_answers_500() -> Result<()> {
    survive(|| Reply::status(500).working()).await?;
    Ok(())
}

#[tokio::test]
async fn it_does_the_work_and_hangs() -> Result<()> {
    let (stage, _) = survive(|| Reply::hang().working()).await?;
    let outcomes = stage.outcomes().await?;
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "unknown").count(), 60);
    Ok(())
}

#[tokio::test]
async fn it_does_the_work_and_drops_the_connection() -> Result<()> {
    let (stage, _) = survive(|| Reply::drop_connection().working()).await?;
    let outcomes = stage.outcomes().await?;
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "unknown").count(), 60);
    Ok(())
}

/// A redirect to where it would be answered well is a failure: who signs decides where it goes.
#[tokio::test]
async fn it_redirects() -> Result<()> {
    let (stage, studio) = survive(|| Reply::status(307).header("Location", "/elsewhere")).await?;
    assert!(studio.requests().iter().all(|request| request.path == "/hook"));
    assert_eq!(stage.outcomes().await?.iter().filter(|outcome| *outcome == "refused 307").count(), 60);
    Ok(())
}

/// The status decides, however much comes behind it, and little of that is read.
#[tokio::test]
async fn it_answers_with_ten_megabytes() -> Result<()> {
    let large = || vec![b'x'; 10 * 1024 * 1024];
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(move |_, nth| match nth {
        1 => Reply::status(500).body(large()),
        _ => Reply::status(200).body(large()).working(),
    });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let told = stage.tell(&notices(3)).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(ids(studio.work()), told);
    assert_eq!((stage.states().await?.as_str(), studio.requests().len()), ("delivered 3", 6));
    let longest = "SELECT max(length(detail))::text FROM delivery_attempt";
    assert_eq!(stage.texts(longest).await?, ["400"]);
    Ok(())
}

/// Away for a day, with new notices all the while: everything arrives when it is back, and while it is away it is
/// asked from time to time and no more.
#[tokio::test]
async fn it_is_down_for_a_day() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let all = notices(120);
    studio.take_down().await;
    let mut told = ids([]);
    for hour in all.chunks(5) {
        told.extend(stage.tell(hour).await?);
        stage.live(&mut dispatcher, 3_600).await?;
    }
    assert_eq!(stage.states().await?, "waiting 120");
    assert!(stage.outcomes().await?.iter().all(|outcome| outcome == "not_sent"));
    let tries = stage.outcomes().await?.len();
    assert!(tries <= 24 * 7, "{tries} tries in a day: the breaker lets one through every ten minutes");

    studio.bring_up().await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(stage.states().await?, "delivered 120");
    assert_eq!(ids(studio.work()), told);
    assert_eq!(studio.requests().len(), 120, "nothing had arrived before, so nothing came twice");
    Ok(())
}

/// A studio that gets worse from one request to the next, in every way in turn.
#[tokio::test]
async fn it_does_everything_wrong_in_turn() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|request, nth| {
        let salt = request.webhook_id().bytes().map(usize::from).sum::<usize>();
        match (salt + nth) % 9 {
            0 => Reply::status(500).working(),
            1 => Reply::drop_connection(),
            2 => Reply::status(302).header("Location", "http://127.0.0.1:1/"),
            3 => Reply::status(429).header("Retry-After", "30"),
            4 => Reply::status(502),
            5 => Reply::hang().working(),
            6 => Reply::status(404),
            7 => Reply::drop_connection().working(),
            _ => Reply::ok(),
        }
    });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    let told = stage.tell(&notices(40)).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(stage.states().await?, "delivered 40");
    assert_eq!(ids(studio.work()), told);
    assert_eq!(studio.work().len(), 40);
    assert_same_bytes(&studio);
    Ok(())
}
