//! One outcome list, in as many copies as it has participants, most of which are lost.

use std::collections::BTreeSet;

use anyhow::Result;
use matchpurse_domain::event::{Event, Outcome, Reward};
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_testkit::{Database, Dice, Trial};

use crate::events::*;

const PLAYERS: [&str; 10] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];

fn entry(player: usize) -> (&'static str, Outcome, Option<Reward>) {
    match player % 3 {
        0 => (PLAYERS[player], Outcome::Win, studio(&format!("intent-{player}"), "{}")),
        1 => (PLAYERS[player], Outcome::Tie, studio(&format!("intent-{player}"), r#"{"sku":"half"}"#)),
        _ => (PLAYERS[player], Outcome::Loss, None),
    }
}

/// The ten copies: each is another player's, lists the others in an order of its own, and comes at another time.
fn copies(dice: &mut Dice) -> Vec<Event> {
    (0..PLAYERS.len())
        .map(|to| {
            let order = dice.shuffled((0..PLAYERS.len()).collect());
            let entries: Vec<_> = order.into_iter().map(entry).collect();
            at(outcome("final", PLAYERS[to], &entries), 1_790_000_000 + i64::try_from(to).unwrap())
        })
        .collect()
}

fn trial() -> Trial<RewardFulfillment> {
    Trial { effects: RewardFulfillment::default(), events: Vec::new(), tables: &[], versions: "" }
}

/// Each winner and each who tied, once; each of them told once.
async fn check(database: &Database, case: &str) -> Result<()> {
    let winners = (0..PLAYERS.len()).filter(|player| player % 3 < 2);
    let expected: Vec<String> =
        winners.map(|player| format!("final {}/intent-{player} granted", PLAYERS[player])).collect();
    assert_eq!(grants(database).await?, expected, "{case}");
    let told = database.texts("SELECT subject FROM outbox WHERE kind = 'reward.granted'").await?;
    assert_eq!(told, database.texts("SELECT grant_id::text FROM reward_grant").await?, "{case}");
    assert_eq!(
        database.texts("SELECT kind FROM outbox WHERE kind <> 'reward.granted'").await?,
        [""; 0],
        "{case}"
    );
    assert_eq!(database.texts("SELECT kind FROM anomaly").await?, [""; 0], "{case}");
    Ok(())
}

#[tokio::test]
async fn any_one_copy_of_ten_gives_everybody_their_reward() -> Result<()> {
    let all = copies(&mut Dice::new(1));
    let distinct: BTreeSet<_> = all.iter().map(|event| event.id).collect();
    assert_eq!(distinct.len(), PLAYERS.len(), "no two copies are one event");
    for (kept, copy) in all.iter().enumerate() {
        let database = Database::create().await?;
        trial().apply(&database.store().await?, std::slice::from_ref(copy)).await?;
        check(&database, &format!("only the copy of player {kept} came")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn ten_copies_in_any_order_of_which_any_are_lost_give_each_reward_once() -> Result<()> {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let copies = copies(&mut dice);
        let mut copies = dice.shuffled(copies);
        copies.truncate(dice.below(PLAYERS.len()) + 1);
        let database = Database::create().await?;
        let store = database.store().await?;
        let size = dice.below(4) + 1;
        for batch in dice.shuffled_with_repeats(&copies).chunks(size) {
            trial().apply(&store, batch).await?;
        }
        check(&database, &format!("seed {seed}, {} copies", copies.len())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn ten_copies_at_four_workers_at_once_give_each_reward_once() -> Result<()> {
    for seed in 0..4 {
        let database = Database::create().await?;
        let store = database.store().await?;
        let worker = |part: u64| {
            let store = store.clone();
            async move {
                let mut dice = Dice::new(seed * 10 + part);
                let copies = copies(&mut Dice::new(seed));
                for copy in dice.shuffled_with_repeats(&copies) {
                    trial().apply(&store, &[copy]).await?;
                }
                anyhow::Ok(())
            }
        };
        tokio::try_join!(worker(1), worker(2), worker(3), worker(4))?;
        check(&database, &format!("seed {seed}")).await?;
    }
    Ok(())
}
