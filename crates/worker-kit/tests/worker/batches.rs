use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use matchpurse_bus::{Delivery, Disposition, FailureLog as _, ParkedDelivery};
use matchpurse_contracts::topology::Queue;
use matchpurse_testkit::Database;

use crate::samples::{FINE, Noticing, PANIC, POISON, REJECTED, applied, batch, delivery, subjects, worker};

#[tokio::test]
async fn a_batch_is_one_transaction_and_again_changes_nothing() -> Result<()> {
    let database = Database::create().await?;
    let effects = Noticing::default();
    let calls = Arc::clone(&effects.calls);
    let worker = worker(&database, effects).await?;
    let mut deliveries = batch(100, &[]);
    // The same event twice in one batch.
    deliveries.push(delivery(7, FINE));
    assert!(worker.process_batch(&deliveries).await.iter().all(|d| *d == Disposition::Ack));
    assert_eq!(applied(&database).await?, subjects(100, &[]));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // Committed, but the process died before the acknowledgement: everything is handed out again.
    assert!(worker.process_batch(&deliveries).await.iter().all(|d| *d == Disposition::Ack));
    assert_eq!(applied(&database).await?, subjects(100, &[]));
    assert_eq!(calls.load(Ordering::Relaxed), 1, "nothing new, so nothing to apply");
    Ok(())
}

#[tokio::test]
async fn an_empty_batch_is_nothing() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    assert!(worker.process_batch(&[]).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn one_poison_event_is_tried_again_then_parked_and_its_neighbours_are_applied_at_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let deliveries = batch(50, &[(37, POISON)]);
    let outcome = worker.process_batch(&deliveries).await;
    assert_eq!(outcome[37], Disposition::Retry(Duration::from_millis(200)));
    assert_eq!(outcome.iter().filter(|d| **d == Disposition::Ack).count(), 49);
    assert_eq!(applied(&database).await?, subjects(50, &[37]));

    let poison = &deliveries[37..38];
    assert_eq!(worker.process_batch(poison).await, [Disposition::Retry(Duration::from_millis(400))]);
    let outcome = worker.process_batch(poison).await;
    let [Disposition::Park(reason)] = outcome.as_slice() else { panic!("{outcome:?}") };
    assert!(reason.starts_with("given up after 3 attempts: the database answered 22021: "), "{reason}");
    assert_eq!(applied(&database).await?, subjects(50, &[37]));

    // Parked and replayed, it has all its attempts again.
    let queue = Queue::PlayerStats.name();
    store.park(&[ParkedDelivery { queue, delivery: &deliveries[37], reason, by_broker: false }]).await?;
    assert_eq!(worker.process_batch(poison).await, [Disposition::Retry(Duration::from_millis(200))]);
    Ok(())
}

#[tokio::test]
async fn several_culprits_are_all_found() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let trouble = [(0, POISON), (1, REJECTED), (31, PANIC), (62, POISON), (63, REJECTED)];
    let outcome = worker.process_batch(&batch(64, &trouble)).await;
    assert_eq!(applied(&database).await?, subjects(64, &[0, 1, 31, 62, 63]));
    for (place, what) in trouble {
        let place = usize::try_from(place)?;
        match (&outcome[place], what) {
            (Disposition::Park(reason), REJECTED) => {
                assert_eq!(reason, "the event cannot be applied: the match is of another currency");
            }
            (Disposition::Retry(_), POISON | PANIC) => {}
            (other, _) => panic!("{place}: {other:?}"),
        }
    }
    assert_eq!(outcome.iter().filter(|d| **d == Disposition::Ack).count(), 59);
    Ok(())
}

#[tokio::test]
async fn a_panic_is_counted_like_an_error_and_parked_with_its_words() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let deliveries = [delivery(1, PANIC)];
    for _ in 0..2 {
        assert!(matches!(worker.process_batch(&deliveries).await.as_slice(), [Disposition::Retry(_)]));
    }
    let reason = "given up after 3 attempts: applying the event panicked: index out of bounds";
    assert_eq!(worker.process_batch(&deliveries).await, [Disposition::Park(reason.to_owned())]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_event_is_parked_at_once_and_holds_up_nobody() -> Result<()> {
    let database = Database::create().await?;
    let worker = worker(&database, Noticing::default()).await?;
    let garbage =
        |body: &'static [u8]| Delivery { id: None, body: Bytes::from_static(body), ..delivery(9, FINE) };
    let deliveries = [delivery(0, FINE), garbage(b"\xff\xff\xff"), garbage(b""), delivery(1, FINE)];
    let outcome = worker.process_batch(&deliveries).await;
    assert!(matches!(
        outcome.as_slice(),
        [Disposition::Ack, Disposition::Park(_), Disposition::Park(_), Disposition::Ack]
    ));
    let Disposition::Park(reason) = &outcome[1] else { panic!("{outcome:?}") };
    assert!(reason.starts_with("the body is not a protobuf event: "), "{reason}");
    assert_eq!(applied(&database).await?, subjects(2, &[]));
    Ok(())
}
