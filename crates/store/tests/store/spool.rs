use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{Destination, Spool as _, SpoolError};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_testkit::Database;

use crate::samples::event;

const LEASE: Duration = Duration::from_secs(60);
const ESCROW: Destination = Destination::Worker(Queue::MatchEscrow);
const STATS: Destination = Destination::Worker(Queue::PlayerStats);

fn messages(range: std::ops::Range<u32>, to: &[Destination]) -> Vec<(Message, Vec<Destination>)> {
    range.map(|n| (Message::new(event("s", n), Some("00-trace")), to.to_vec())).collect()
}

async fn rows(database: &Database) -> Result<(i64, i64)> {
    let sql = "SELECT (SELECT count(*) FROM spool), (SELECT count(*) FROM spool_destination)";
    let row = database.connection().await?.query_one(sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn a_message_comes_out_as_it_went_in_oldest_first() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    let sent = messages(0..5, &[Destination::Broker]);
    spool.append(&sent[..3]).await?;
    spool.append(&sent[3..]).await?;
    assert_eq!(spool.backlog(Destination::Broker).await?.0, 5);
    assert!(spool.backlog(Destination::Broker).await?.1.is_some());
    let taken = spool.claim(Destination::Broker, 10, LEASE).await?;
    assert!(taken.iter().map(|s| &s.message).eq(sent.iter().map(|(m, _)| m)));
    assert!(taken.iter().all(|s| s.attempts == 0));
    assert_eq!(spool.backlog(ESCROW).await?, (0, None));
    Ok(())
}

#[tokio::test]
async fn a_message_goes_when_every_destination_has_it() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    spool.append(&messages(0..2, &[ESCROW, STATS])).await?;
    let escrow: Vec<i64> = spool.claim(ESCROW, 10, LEASE).await?.iter().map(|s| s.position).collect();
    spool.done(ESCROW, &escrow).await?;
    assert_eq!(rows(&database).await?, (2, 2));
    assert!(spool.claim(ESCROW, 10, LEASE).await?.is_empty());
    let stats = spool.claim(STATS, 10, LEASE).await?;
    assert_eq!(stats.len(), 2);
    spool.done(STATS, &[stats[0].position]).await?;
    assert_eq!(rows(&database).await?, (1, 1));
    spool.done(STATS, &[stats[0].position, stats[1].position]).await?;
    assert_eq!(rows(&database).await?, (0, 0));
    Ok(())
}

/// Five workers finish the same messages at the same time: none may believe that another still waits.
#[tokio::test]
async fn destinations_that_finish_together_leave_nothing_behind() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let all: Vec<Destination> = Queue::ALL.into_iter().map(Destination::Worker).collect();
    for round in 0..10 {
        store.spool(1_000).append(&messages(round * 20..round * 20 + 20, &all)).await?;
        let finish = all.iter().map(|destination| {
            let spool = store.spool(1_000);
            async move {
                let taken = spool.claim(*destination, 100, LEASE).await?;
                assert_eq!(taken.len(), 20);
                let positions: Vec<i64> = taken.iter().map(|s| s.position).collect();
                anyhow::Ok(spool.done(*destination, &positions).await?)
            }
        });
        futures_util::future::try_join_all(finish).await?;
        assert_eq!(rows(&database).await?, (0, 0), "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn two_claimers_never_get_the_same_message() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    store.spool(1_000).append(&messages(0..200, &[ESCROW])).await?;
    let claimer = || {
        let spool = store.spool(1_000);
        async move {
            let mut positions = Vec::new();
            loop {
                let taken = spool.claim(ESCROW, 7, LEASE).await?;
                if taken.is_empty() {
                    return anyhow::Ok(positions);
                }
                positions.extend(taken.iter().map(|s| s.position));
            }
        }
    };
    let (a, b, c) = tokio::try_join!(claimer(), claimer(), claimer())?;
    let all: Vec<i64> = a.into_iter().chain(b).chain(c).collect();
    // A claimer that saw only locked rows stops early; the rows are nobody's then, and come out next time.
    let rest = store.spool(1_000).claim(ESCROW, 1_000, LEASE).await?;
    let unique: BTreeSet<i64> = all.iter().copied().chain(rest.iter().map(|s| s.position)).collect();
    assert_eq!((unique.len(), all.len() + rest.len()), (200, 200));
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_over_gives_the_message_to_the_next() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    spool.append(&messages(0..1, &[ESCROW])).await?;
    assert_eq!(spool.claim(ESCROW, 1, LEASE).await?[0].attempts, 0);
    assert!(spool.claim(ESCROW, 1, LEASE).await?.is_empty());
    // Time passes.
    let sql = "UPDATE spool_destination SET available_at = available_at - interval '61 seconds'";
    database.connection().await?.execute(sql, &[]).await?;
    assert_eq!(spool.claim(ESCROW, 1, LEASE).await?[0].attempts, 1);
    Ok(())
}

#[tokio::test]
async fn a_postponed_message_does_not_hold_up_its_neighbours() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    spool.append(&messages(0..3, &[ESCROW])).await?;
    let taken = spool.claim(ESCROW, 10, LEASE).await?;
    let places: Vec<i64> = taken.iter().map(|s| s.position).collect();
    let hour = Duration::from_secs(3_600);
    spool
        .postpone(ESCROW, &[(places[0], hour), (places[1], Duration::ZERO), (places[2], Duration::ZERO)])
        .await?;
    let again: Vec<i64> = spool.claim(ESCROW, 10, LEASE).await?.iter().map(|s| s.position).collect();
    assert_eq!(again, places[1..]);
    assert_eq!(spool.backlog(ESCROW).await?.0, 3);
    Ok(())
}

#[tokio::test]
async fn a_full_spool_refuses_all_of_a_batch_and_takes_again_when_there_is_room() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let spool = store.spool(5);
    spool.append(&messages(0..3, &[ESCROW])).await?;
    let refused = spool.append(&messages(3..6, &[ESCROW])).await;
    assert!(matches!(refused, Err(SpoolError::Full { waiting: 3, limit: 5 })), "{refused:?}");
    assert_eq!(rows(&database).await?, (3, 3));
    // A process that has just started counts what others have left.
    assert!(matches!(store.spool(3).append(&messages(3..4, &[ESCROW])).await, Err(SpoolError::Full { .. })));
    let taken = spool.claim(ESCROW, 1, LEASE).await?;
    spool.done(ESCROW, &[taken[0].position]).await?;
    spool.append(&messages(3..6, &[ESCROW])).await?;
    assert_eq!(rows(&database).await?, (5, 5));
    Ok(())
}

#[tokio::test]
async fn a_message_that_cannot_be_read_holds_up_nobody_and_is_kept() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    spool.append(&messages(0..3, &[ESCROW, Destination::Broker])).await?;
    // As a newer version might have left it.
    let sql =
        "UPDATE spool SET payload = 'a_later_invention' WHERE position = (SELECT min(position) FROM spool)";
    database.connection().await?.execute(sql, &[]).await?;
    for destination in [ESCROW, Destination::Broker] {
        let taken: Vec<i64> = spool.claim(destination, 10, LEASE).await?.iter().map(|s| s.position).collect();
        assert_eq!(taken.len(), 2, "{destination:?}");
        spool.done(destination, &taken).await?;
        assert_eq!(spool.backlog(destination).await?.0, 1);
    }
    // Not at the end of the lease, but much later: until then it costs nothing.
    let sql = "SELECT min(available_at) > now() + interval '50 minutes' FROM spool_destination";
    assert!(database.connection().await?.query_one(sql, &[]).await?.get::<_, bool>(0));
    // A process that can read it is given it at its start.
    database.connection().await?.execute("UPDATE spool SET payload = 'contest_outcome'", &[]).await?;
    assert_eq!(spool.release_leases().await?, 1);
    assert_eq!(spool.claim(ESCROW, 10, LEASE).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_workers_hold_can_be_released_and_what_the_relay_holds_stays() -> Result<()> {
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    spool.append(&messages(0..4, &[ESCROW, STATS, Destination::Broker])).await?;
    for destination in [ESCROW, STATS, Destination::Broker] {
        assert_eq!(spool.claim(destination, 4, LEASE).await?.len(), 4);
    }
    assert_eq!(spool.release_leases().await?, 8);
    assert_eq!(spool.release_leases().await?, 0);
    for (destination, due) in [(ESCROW, 4), (STATS, 4), (Destination::Broker, 0)] {
        assert_eq!(spool.claim(destination, 4, LEASE).await?.len(), due, "{destination:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_claim_holds_a_bounded_number_of_bytes_and_at_least_one_message() -> Result<()> {
    const QUARTER: usize = 256 * 1024;
    let database = Database::create().await?;
    let spool = database.store().await?.spool(100);
    let mut large = messages(0..6, &[ESCROW]);
    for ((message, _), quarters) in large.iter_mut().zip([6, 6, 6, 20, 1, 1]) {
        message.body = vec![b'x'; quarters * QUARTER].into();
    }
    spool.append(&large).await?;
    let mut claims = Vec::new();
    loop {
        let taken = spool.claim(ESCROW, 100, LEASE).await?;
        if taken.is_empty() {
            break;
        }
        claims.push(taken.iter().map(|s| s.message.body.len() / QUARTER).collect::<Vec<_>>());
    }
    assert_eq!(claims, [vec![6, 6], vec![6], vec![20], vec![1, 1]]);
    Ok(())
}
