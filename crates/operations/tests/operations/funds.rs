use std::sync::Arc;

use anyhow::Result;
use matchpurse_domain::event::{MatchStatus, Payload};
use matchpurse_domain::money::{MAX_MINOR_UNITS, Money};
use matchpurse_operations::funds::Direction::{Deposit, Withdrawal};
use tokio::task::JoinSet;

use crate::ground::{Ground, code, snapshot, told, usd};

#[tokio::test]
async fn money_comes_in_is_played_for_and_goes_out() -> Result<()> {
    let ground = Ground::new().await?;
    ground.deposit("a", 1500).await?;
    ground.deposit("b", 1000).await?;
    assert_eq!(ground.balances().await?, "a 1500, b 1000, external -2500");
    ground.apply(&[snapshot("ours", MatchStatus::Confirmed, None, None)]).await?;
    assert_eq!(ground.balances().await?, "a 500, escrow 2000, external -2500");
    let early = ground.move_money(Withdrawal, "ours", "a", usd(600), "w1").await.unwrap_err();
    assert_eq!(told(&early), "the player has 500 minor units");
    ground.apply(&[snapshot("ours", MatchStatus::Closed, Some("g1"), None)]).await?;
    let same_key = ground.move_money(Withdrawal, "ours", "a", usd(600), "w1").await?;
    assert!(!same_key.repeated, "what was refused may be asked for again");
    assert_eq!(ground.balances().await?, "a 1700, external -1900, house 200");
    ground.sound().await
}

#[tokio::test]
async fn a_player_without_the_stake_makes_the_hold_fail_and_the_studio_is_told() -> Result<()> {
    let ground = Ground::new().await?;
    ground.deposit("a", 1500).await?;
    ground.apply(&[snapshot("ours", MatchStatus::Confirmed, None, None)]).await?;
    assert_eq!(ground.balances().await?, "a 1500, external -1500");
    let told = "SELECT kind || ' ' || subject FROM outbox ORDER BY kind";
    assert_eq!(ground.rows(told).await?, ["anomaly.opened m1", "match.hold_failed m1"]);
    // With the money there, the next that is heard of the match holds it.
    ground.deposit("b", 1000).await?;
    ground.apply(&[snapshot("ours", MatchStatus::Locked, None, None)]).await?;
    assert_eq!(ground.balances().await?, "a 500, escrow 2000, external -2500");
    ground.sound().await
}

#[tokio::test]
async fn a_key_moves_money_once_however_often_and_for_nothing_else() -> Result<()> {
    let ground = Ground::new().await?;
    let first = ground.move_money(Deposit, "ours", "a", usd(700), "k").await?;
    let again = ground.move_money(Deposit, "ours", "a", usd(700), "k").await?;
    assert_eq!((first.operation, first.repeated, again.repeated), (again.operation, false, true));
    for (direction, player, amount) in
        [(Deposit, "a", usd(701)), (Deposit, "b", usd(700)), (Withdrawal, "a", usd(700))]
    {
        let other = ground.move_money(direction, "ours", player, amount, "k").await.unwrap_err();
        assert_eq!(told(&other), "the idempotency key was used for another request");
    }
    assert_eq!(ground.balances().await?, "a 700, external -700");
    ground.sound().await
}

#[tokio::test]
async fn what_is_no_movement_of_ours_is_refused() -> Result<()> {
    let ground = Ground::new().await?;
    let mut refusals = Vec::new();
    for (source, amount) in [
        ("theirs", usd(1)),
        ("ours", usd(0)),
        ("ours", usd(-5)),
        ("ours", usd(MAX_MINOR_UNITS + 1)),
        ("ours", Money::new(1, code("JPY"))),
    ] {
        refusals.push(told(&ground.move_money(Deposit, source, "a", amount, "k").await.unwrap_err()));
    }
    assert_eq!(
        refusals,
        [
            "a provider holds this source's stakes, so there is no money to move here",
            "the amount must be from 1 to 1000000000000 minor units",
            "the amount must be from 1 to 1000000000000 minor units",
            "the amount must be from 1 to 1000000000000 minor units",
            "the source's currency is USD",
        ]
    );
    assert_eq!(ground.rows("SELECT operation_id::text FROM operation").await?, [""; 0]);
    ground.sound().await
}

#[tokio::test]
async fn many_at_once_neither_overdraw_nor_move_twice_nor_deadlock() -> Result<()> {
    let ground = Arc::new(Ground::new().await?);
    ground.deposit("a", 1000).await?;
    ground.deposit("b", 1000).await?;
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let ground = Arc::clone(&ground);
        tasks.spawn(async move {
            let player = if n % 2 == 0 { "a" } else { "b" };
            let withdrawn = ground.move_money(Withdrawal, "ours", player, usd(300), &format!("w{n}")).await;
            ground.move_money(Deposit, "ours", "c", usd(50), "once").await.unwrap();
            withdrawn.is_ok()
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 6, "three of each");
    assert_eq!(ground.balances().await?, "a 100, b 100, c 50, external -250");
    ground.sound().await
}

/// The source's custody was the provider's once: what its accounts recorded then is nobody's money here.
#[tokio::test]
async fn what_a_provider_paid_once_cannot_be_staked_or_taken_out_here() -> Result<()> {
    let mut ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", MatchStatus::Closed, Some("g1"), Some(1800))]).await?;
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    ground.take_custody_of("theirs");
    for direction in [Withdrawal, Deposit] {
        let refused = ground.move_money(direction, "theirs", "a", usd(500), "k").await.unwrap_err();
        assert_eq!(
            told(&refused),
            "the player's account records what a provider did, so there is no money to move here"
        );
    }
    let mut next = snapshot("theirs", MatchStatus::Confirmed, None, None);
    let Payload::MatchSnapshot(of_a) = &mut next.payload else { panic!("it is a snapshot") };
    "m2".clone_into(&mut of_a.match_id);
    of_a.groups.truncate(1);
    of_a.buy_in = Some(usd(500));
    ground.apply(&[next]).await?;
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, ["hold_failed"]);
    ground.sound().await
}
