//! Dispatchers that die, and dispatchers beside each other.

use anyhow::Result;
use matchpurse_store::dispatch::{Attempt, AttemptOutcome, Ended, Next, Wanted, claim, finish};
use matchpurse_store::redemptions::Audience;
use matchpurse_testkit::{Dice, Reply, Studio};

use crate::stage::{Stage, assert_same_bytes, endpoint, ids, notices};

/// The lease by default, and a little.
const LEASE_S: i64 = 61;

/// Killed while the studio has not answered: another dispatcher sends the same id again, when the lease has ended and
/// not before.
#[tokio::test]
async fn what_a_killed_dispatcher_was_sending_is_sent_again_under_the_same_id() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, nth| if nth == 1 { Reply::hang().working() } else { Reply::ok() });
    let settings = endpoint("game", &studio, "");
    let told = stage.tell(&notices(3)).await?;
    let mut killed = stage.dispatcher(&settings).await?;
    assert_eq!(killed.turn().await?.begun, 3);
    studio.received(3).await?;
    drop(killed);

    let mut next = stage.dispatcher(&settings).await?;
    next.settle().await?;
    assert_eq!(studio.requests().len(), 3, "the lease holds");
    stage.advance(LEASE_S);
    next.settle().await?;
    assert_eq!(studio.requests().len(), 6);
    assert_eq!(ids(studio.requests().iter().map(|request| request.webhook_id().to_owned())), told);
    assert_eq!((studio.work().len(), stage.states().await?.as_str()), (3, "delivered 3"));
    assert_same_bytes(&studio);
    let outcomes = stage.outcomes().await?;
    assert_eq!(outcomes, ["abandoned", "delivered 204"].repeat(3), "the attempt that died has its line");
    // Dying is no fault of the studio's: the schedule is untouched.
    assert_eq!(stage.texts("SELECT DISTINCT attempts::text FROM delivery").await?, ["1"]);
    Ok(())
}

/// Two dispatchers at once share the work: nothing is sent by both.
#[tokio::test]
async fn two_dispatchers_never_send_the_same() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    // Every third one fails at first, so that there is something to do twice.
    let fails = |id: &str| id.bytes().map(usize::from).sum::<usize>() % 3 == 0;
    studio.behave(move |request, nth| {
        if nth == 1 && fails(request.webhook_id()) { Reply::status(500).working() } else { Reply::ok() }
    });
    let settings = endpoint("game", &studio, "");
    let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
    let told = stage.tell(&notices(200)).await?;
    tokio::try_join!(one.settle(), other.settle())?;
    stage.live(&mut one, 86_400).await?;
    assert_eq!(studio.overlapped(), [""; 0]);
    assert_eq!(ids(studio.work()), told);
    let twice = told.iter().filter(|id| fails(id)).count();
    assert_eq!(studio.requests().len(), 200 + twice);
    assert_eq!(stage.states().await?, "delivered 200");
    Ok(())
}

/// Whose lease has ended while it waited for an answer does no harm when it gives up waiting.
#[tokio::test]
async fn a_late_failure_changes_nothing() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::hang());
    let settings = endpoint("game", &studio, "");
    let told = stage.tell(&notices(1)).await?;
    let mut slow = stage.dispatcher(&settings).await?;
    slow.turn().await?;
    studio.received(1).await?;
    // Its lease ends while it waits, and another one delivers.
    stage.advance(LEASE_S);
    studio.behave(|_, _| Reply::ok());
    let mut quick = stage.dispatcher(&settings).await?;
    quick.settle().await?;
    assert_eq!(stage.states().await?, "delivered 1");
    // The slow one gives up waiting; that changes nothing, and nothing is sent again.
    slow.settle().await?;
    stage.live(&mut quick, 6 * 86_400).await?;
    assert_eq!((stage.states().await?.as_str(), studio.requests().len()), ("delivered 1", 2));
    assert_eq!(ids(studio.work()), told);
    Ok(())
}

/// A success counts although its lease had ended: the studio has it. What the next one then meets takes nothing back.
#[tokio::test]
async fn a_late_success_counts() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::hang());
    let settings = endpoint("game", &studio, "");
    stage.tell(&notices(1)).await?;
    let mut client = stage.store.client().await?;
    stage.dispatcher(&settings).await?.turn().await?;
    // By hand, so that the order of the two answers is certain.
    stage.advance(LEASE_S);
    let wanted = |endpoint| Wanted { endpoint, most: 8, probe: false };
    let endpoint = stage.endpoint("game").await?.endpoint.id;
    let lease = stage.now().plus_seconds(60);
    let first = claim(&mut client, &[wanted(endpoint)], stage.now(), lease).await?;
    stage.advance(LEASE_S);
    let lease = stage.now().plus_seconds(60);
    let second = claim(&mut client, &[wanted(endpoint)], stage.now(), lease).await?;
    let ([first], [second]) = (first.as_slice(), second.as_slice()) else { panic!("{first:?} {second:?}") };
    assert!(second.unknown && second.claim == first.claim + 1);

    let (now, nobody) = (stage.now(), Audience::default());
    let ended = |claimed, outcome, next| Ended {
        claimed,
        attempt: Attempt { at: now, took_ms: 1, outcome, status: None, detail: String::new() },
        next,
    };
    let late = ended(first, AttemptOutcome::Refused, Next::GivenUp);
    assert!(!finish(&mut client, &late, &nobody, |health| health, now).await?.counted, "its lease had ended");
    assert_eq!(stage.states().await?, "waiting 1");
    let late = ended(first, AttemptOutcome::Delivered, Next::Delivered);
    assert!(finish(&mut client, &late, &nobody, |health| health, now).await?.counted);
    let failed = ended(second, AttemptOutcome::Unknown, Next::Again { at: now, counts: true });
    assert!(!finish(&mut client, &failed, &nobody, |health| health, now).await?.counted);
    assert_eq!(stage.states().await?, "delivered 1");
    Ok(())
}

/// Killed at any moment, many times: nothing is lost, and nothing comes under a second id.
#[tokio::test]
async fn dispatchers_that_die_all_the_time_lose_nothing() -> Result<()> {
    const ROUNDS: usize = 60;
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, nth| match nth % 3 {
        1 => Reply::status(500).working(),
        2 => Reply::drop_connection(),
        _ => Reply::ok(),
    });
    let settings = endpoint("game", &studio, "ordered = true");
    let mut dice = Dice::new(7);
    let mut told = ids([]);
    for batch in notices(ROUNDS * 2).chunks(2) {
        told.extend(stage.tell(batch).await?);
        let mut dispatcher = stage.dispatcher(&settings).await?;
        // However far it has come after so many polls of its future, it is gone then.
        let polls = dice.below(400);
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
        stage.advance(i64::try_from(dice.below(40))?);
    }
    let mut last = stage.dispatcher(&settings).await?;
    stage.advance(LEASE_S);
    stage.live(&mut last, 6 * 86_400).await?;
    assert_eq!(stage.states().await?, format!("delivered {}", ROUNDS * 2));
    assert_eq!(ids(studio.work()), told);
    assert_eq!(ids(studio.requests().iter().map(|request| request.webhook_id().to_owned())), told);
    assert_same_bytes(&studio);
    assert_eq!(studio.overlapped(), [""; 0]);
    Ok(())
}
