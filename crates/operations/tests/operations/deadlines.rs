use std::sync::Arc;

use anyhow::Result;
use matchpurse_domain::event::MatchStatus::{CanceledTimeout, Closed, Confirmed};
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::deadlines::Swept;
use matchpurse_operations::{End, corrections};
use tokio::task::JoinSet;

use crate::ground::{Ground, NOW, snapshot};

const BEFORE: Timestamp = NOW.plus_seconds(3599);
const AFTER: Timestamp = NOW.plus_seconds(3600);
const NONE: Swept = Swept { refunded: 0, asked: 0, failed: 0, more: false };

#[tokio::test]
async fn at_its_deadline_a_match_gives_the_stakes_back_and_a_late_end_is_an_anomaly() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    assert_eq!(ground.sweep(BEFORE).await?, NONE);
    assert_eq!(ground.sweep(AFTER).await?, Swept { refunded: 1, ..NONE });
    assert_eq!(ground.sweep(AFTER).await?, NONE);
    let voided = "VOIDED_TIMEOUT, refund, generation 0: pot 2000, paid 0, back 2000, fee 0";
    assert_eq!(ground.the_match().await?, voided);
    assert_eq!(ground.balances().await?, "");
    ground.apply(&[snapshot("theirs", CanceledTimeout, None, None)]).await?;
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, [""; 0], "it says the same");
    ground.apply(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, ["terminal_conflict"]);
    assert_eq!(ground.the_match().await?, voided);
    let operations = "SELECT kind || ' by ' || actor || ': ' || (detail ->> 'outcome') FROM operation";
    assert_eq!(ground.rows(operations).await?, ["deadline by deadline: refund"]);
    let told = "SELECT kind FROM outbox ORDER BY kind";
    assert_eq!(ground.rows(told).await?, ["anomaly.opened", "match.held", "match.refunded"]);
    ground.sound().await
}

#[tokio::test]
async fn a_person_is_asked_once_where_the_source_wants_it_or_an_end_was_claimed() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("asked", Confirmed, None, None)]).await?;
    // Nobody of the winning group is known: an end that cannot be settled.
    ground.apply(&[snapshot("theirs", Closed, Some("g9"), None)]).await?;
    assert_eq!(ground.sweep(AFTER).await?, Swept { asked: 2, ..NONE });
    assert_eq!(ground.sweep(AFTER).await?, NONE);
    assert_eq!(ground.balances().await?, "a -2000, b -2000, escrow 4000");
    let asked = "SELECT source || ' ' || kind FROM anomaly WHERE kind = 'deadline_passed' ORDER BY 1";
    assert_eq!(ground.rows(asked).await?, ["asked deadline_passed", "theirs deadline_passed"]);
    ground.sound().await?;
    // An end that still comes settles it, and so does a person.
    ground.apply(&[snapshot("asked", Closed, Some("g1"), Some(1900))]).await?;
    ground.correct("theirs", End::Refund {}, "k", 1).await?;
    assert_eq!(ground.balances().await?, "a 900, b -1000, external 100");
    assert_eq!(ground.rows("SELECT match_no::text FROM match_deadline").await?, [""; 0]);
    ground.sound().await
}

#[tokio::test]
async fn several_that_sweep_at_once_and_workers_beside_them_do_everything_once() -> Result<()> {
    let ground = Arc::new(Ground::new().await?);
    ground
        .apply(&[snapshot("theirs", Confirmed, None, None), snapshot("ours", Confirmed, None, None)])
        .await?;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let ground = Arc::clone(&ground);
        tasks.spawn(async move {
            if n % 4 == 0 {
                ground.apply(&[snapshot("theirs", CanceledTimeout, None, None)]).await?;
                return Ok(NONE);
            }
            ground.sweep(AFTER).await
        });
    }
    let swept: Vec<Swept> = tasks.join_all().await.into_iter().collect::<Result<_>>()?;
    assert!(swept.iter().map(|swept| swept.refunded).sum::<u64>() <= 1, "{swept:?}");
    assert!(swept.iter().all(|swept| swept.failed == 0), "{swept:?}");
    assert_eq!(ground.balances().await?, "");
    ground.sound().await
}

#[tokio::test]
async fn where_a_person_has_proposed_the_end_the_clock_waits_for_the_second_one() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    let proposed = ground.correct("theirs", End::Winners { groups: vec!["g1".to_owned()] }, "k", 2).await?;
    assert_eq!(ground.sweep(AFTER).await?, NONE);
    corrections::approve(&ground.store, proposed.proposal.id, "bea", AFTER).await?;
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    // When it is decided against, it is the clock's matter again.
    ground.apply(&[snapshot("asked", Confirmed, None, None)]).await?;
    let proposed = ground.correct("asked", End::Refund {}, "k", 2).await?;
    assert_eq!(ground.sweep(AFTER).await?, NONE);
    corrections::reject(&ground.store, proposed.proposal.id, "bea", "not yet").await?;
    assert_eq!(ground.sweep(AFTER).await?, Swept { asked: 1, ..NONE });
    ground.sound().await
}

#[tokio::test]
async fn an_end_that_is_still_to_be_applied_holds_the_clock_up_and_after_a_day_a_person_is_asked()
-> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    ground.only_archive(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    assert_eq!(ground.sweep(AFTER).await?, NONE, "it may stand in the queue");
    let a_day_later = NOW.plus_seconds(24 * 3600);
    assert_eq!(ground.sweep(a_day_later).await?, Swept { asked: 1, ..NONE }, "it does not");
    assert_eq!(ground.balances().await?, "a -1000, b -1000, escrow 2000");
    ground.sound().await
}
