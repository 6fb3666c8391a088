//! Who waits for whom: nobody who finishes something holds what a claim needs while waiting for what a claim holds.

use anyhow::Result;
use matchpurse_domain::grants::GrantState;
use matchpurse_store::calls::{self, Budget, CallNext, Wanted};
use matchpurse_store::dispatch::{self, Attempt, AttemptOutcome, Ended, Next};
use matchpurse_store::redemptions::{self, Audience, CallEnded};
use matchpurse_testkit::Studio;
use uuid::Uuid;

use crate::rewards::*;
use crate::stage::{Stage, endpoint};

impl Stage {
    /// Asks until a statement waits for a lock.
    async fn somebody_waits(&self) -> Result<()> {
        let connection = self.database.connection().await?;
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                   WHERE datname = current_database() AND wait_event_type = 'Lock')";
        while !connection.query_one(sql, &[]).await?.get::<_, bool>(0) {}
        Ok(())
    }
}

/// A claim holds the notice of a reversal and comes to the grant; the grant's own notice ends at that moment.
#[tokio::test]
async fn what_ends_does_not_hold_its_grant_while_it_waits_for_a_claim() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = endpoint("game", &studio, "");
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let stopped = "UPDATE endpoint SET disabled = 'operator', disabled_at = now()";
    let database = stage.database.connection().await?;
    database.batch_execute(stopped).await?;
    let grant = give(&stage, "arena", won("c", "ann", "r"), GrantState::Granted).await?;
    dispatcher.settle().await?;
    // Sent by hand; taken back meanwhile, so the reversal's own delivery waits for it.
    let mut client = stage.store.client().await?;
    let endpoint_id = stage.endpoint("game").await?.endpoint.id;
    let wanted = [dispatch::Wanted { endpoint: endpoint_id, most: 8, probe: false }];
    let lease_until = stage.now().plus_seconds(60);
    let claimed = dispatch::claim(&mut client, &wanted, stage.now(), lease_until).await?;
    take_back(&stage, grant).await?;
    dispatcher.settle().await?;
    let early = dispatch::claim(&mut client, &wanted, stage.now(), lease_until).await?;
    assert_eq!(early, [], "the reversal is too early");

    let mut other = stage.database.connection().await?;
    let claim = other.transaction().await?;
    let reversal = "SELECT FROM delivery WHERE claimed_at IS NULL AND state = 'waiting' FOR UPDATE";
    assert_eq!(claim.query(reversal, &[]).await?.len(), 1);
    let now = stage.now();
    let finishing = tokio::spawn(async move {
        let attempt = Attempt {
            at: now,
            took_ms: 1,
            outcome: AttemptOutcome::Delivered,
            status: Some(204),
            detail: String::new(),
        };
        let ended = Ended { claimed: &claimed[0], attempt, next: Next::Delivered };
        dispatch::finish(&mut client, &ended, &Audience::default(), |health| health, now).await
    });
    stage.somebody_waits().await?;
    let its_grant = "SELECT FROM reward_grant WHERE grant_id = $1 FOR NO KEY UPDATE NOWAIT";
    assert_eq!(claim.query(its_grant, &[&grant]).await?.len(), 1);
    claim.commit().await?;
    assert!(finishing.await??.counted);
    database.batch_execute("UPDATE endpoint SET disabled = NULL, disabled_at = NULL").await?;
    dispatcher.settle().await?;
    assert_eq!(stage.states().await?, "delivered 2", "the reversal goes at once");
    Ok(())
}

/// Two calls with one key are told to wait at once: each has a slot, and each writes all of them.
#[tokio::test]
async fn two_calls_that_are_told_to_wait_do_not_wait_for_each_other() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    for player in ["ann", "bob"] {
        give(&stage, "arena", won("c", player, "r"), GrantState::Granted).await?;
    }
    dispatcher.settle().await?;
    stage
        .database
        .connection()
        .await?
        .batch_execute(
            "INSERT INTO redemption_call (contest_key, player_key, source, state, redeemed_at, next_attempt_at,
                                          created_at)
             SELECT contest_key, player_key, source, 'waiting', now(), '-infinity', now() FROM reward_grant",
        )
        .await?;
    let budget = Budget { id: Uuid::from_u128(7), slots: 2 };
    let mut client = stage.store.client().await?;
    calls::prepare(&client, budget).await?;
    let now = stage.now();
    let wanted = Wanted { source: "arena", budget, most: 2 };
    let (lease, slot) = (now.plus_seconds(60), now.plus_seconds(70));
    let claimed = redemptions::claim(&mut client, &wanted, now, lease, slot).await?;
    assert_eq!(claimed.len(), 2);

    // The other one, who has the first slot and goes on to the second.
    let mut other = stage.database.connection().await?;
    let another = other.transaction().await?;
    another.query("SELECT FROM call_slot WHERE slot = 1 FOR UPDATE", &[]).await?;
    let finishing = tokio::spawn(async move {
        let later = now.plus_seconds(300);
        let ended = CallEnded {
            claimed: &claimed[1],
            at: now,
            outcome: AttemptOutcome::Throttled,
            status: Some(429),
            detail: String::new(),
            next: CallNext::Again(later),
            slot_free_at: now.plus_seconds(12),
            not_before: Some(later),
        };
        redemptions::finish(&mut client, &ended).await
    });
    stage.somebody_waits().await?;
    let second = another.query("SELECT FROM call_slot WHERE slot = 2 FOR UPDATE NOWAIT", &[]).await?;
    assert_eq!(second.len(), 1);
    another.commit().await?;
    assert!(finishing.await??);
    let free = "SELECT (extract(epoch FROM free_at) - 1790000000)::int::text FROM call_slot";
    assert_eq!(stage.texts(free).await?, ["300", "300"]);
    Ok(())
}
