//! What players won and lost, as it is read after whatever people did to the ends.

use anyhow::Result;
use matchpurse_domain::event::MatchStatus::{CanceledByOwner, Closed, Confirmed};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_operations::End;
use matchpurse_store::stats::{record_form_of, records_of};
use uuid::Uuid;

use crate::ground::{Ground, snapshot};

fn key(source: &str, player: &str) -> Uuid {
    PlayerId::from(player).key(&SourceName::parse(source).unwrap())
}

/// `matches wins-losses-ties, staked, won, returned, net, the last outcomes`; nothing for who has no settled match.
async fn record(ground: &Ground, source: &str, player: &str) -> Result<String> {
    let client = ground.store.client().await?;
    let key = key(source, player);
    let form = record_form_of(&client, &[key]).await?;
    let last: Vec<&str> = form.last.iter().map(|outcome| outcome.as_str()).collect();
    let mut told = Vec::new();
    for r in records_of(&client, &[key]).await? {
        let (counts, net) = (format!("{} {}-{}-{}", r.matches, r.wins, r.losses, r.ties), r.net());
        let money = format!("staked {}, won {}, returned {}, net {net}", r.stakes, r.winnings, r.refunds);
        told.push(format!("{counts}, {money} {}, {}", r.currency, last.join(" ")));
    }
    Ok(told.join("; "))
}

#[tokio::test]
async fn only_settled_matches_count_and_only_their_last_generation() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    assert_eq!(record(&ground, "theirs", "a").await?, "");
    ground.apply(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    let (won, lost) = (
        "1 1-0-0, staked 1000, won 1800, returned 0, net 800 USD, win",
        "1 0-1-0, staked 1000, won 0, returned 0, net -1000 USD, loss",
    );
    assert_eq!(record(&ground, "theirs", "a").await?, won);
    assert_eq!(record(&ground, "theirs", "b").await?, lost);

    // What is overruled is no part of it any more.
    let winners = |group: &str| End::Winners { groups: vec![group.to_owned()] };
    ground.correct("theirs", winners("g2"), "k1", 1).await?;
    assert_eq!(record(&ground, "theirs", "a").await?, lost);
    assert_eq!(record(&ground, "theirs", "b").await?, won);
    ground.correct("theirs", End::Tie {}, "k2", 1).await?;
    let tied = "1 0-0-1, staked 1000, won 0, returned 1000, net 0 USD, draw";
    assert_eq!(record(&ground, "theirs", "a").await?, tied);
    ground.correct("theirs", winners("g1"), "k3", 1).await?;
    assert_eq!(record(&ground, "theirs", "a").await?, won);
    ground.correct("theirs", End::Refund {}, "k4", 1).await?;
    assert_eq!(record(&ground, "theirs", "a").await?, "");
    ground.sound().await
}

#[tokio::test]
async fn a_match_that_was_called_off_is_no_part_of_a_record() -> Result<()> {
    let ground = Ground::new().await?;
    ground
        .apply(&[snapshot("theirs", Confirmed, None, None), snapshot("theirs", CanceledByOwner, None, None)])
        .await?;
    assert_eq!(record(&ground, "theirs", "a").await?, "");
    ground.sound().await
}

/// Ten thousand matches of one player, and of others beside: the sums and streaks are those of the seats.
#[tokio::test]
async fn a_long_record_is_summed_in_the_order_of_the_matches_ends() -> Result<()> {
    let ground = Ground::new().await?;
    let connection = ground.database.connection().await?;
    connection
        .batch_execute(&format!(
            "INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps, tie_policy,
                                buy_in, pot, paid, settlement, settled_at, ended_at, first_event_id, last_event_id)
             SELECT gen_random_uuid(), 'theirs', 'recreational', 'm' || n, 'CLOSED', 100, 'provider', 'USD', 0,
                    'split', 100, 200, 200, 'payout', now(), to_timestamp(1000000 - n), gen_random_uuid(),
                    gen_random_uuid()
               FROM generate_series(1, 10000) n;
             INSERT INTO match_participant (match_no, player_key, state, hold, payout, outcome, ended_at, currency)
             SELECT match_no, who, 2, 100, CASE WHEN wins THEN 200 ELSE 0 END, CASE WHEN wins THEN 'WIN' ELSE 'LOSS' END,
                    ended_at, currency
               FROM match, LATERAL (SELECT substr(match_id, 2)::int AS n) i,
                    LATERAL (VALUES ('{}'::uuid, n > 9990 OR n <= 3), (gen_random_uuid(), false)) s (who, wins)",
            key("theirs", "a")
        ))
        .await?;
    let client = ground.store.client().await?;
    let records = records_of(&client, &[key("theirs", "a"), key("theirs", "b")]).await?;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].matches, records[0].wins, records[0].stakes), (10_000, 13, 1_000_000));
    assert_eq!((records[0].winnings, records[0].net()), (2_600, -997_400));
    // Written in the other direction: the last ones of the series ended first.
    let form = record_form_of(&client, &[key("theirs", "a")]).await?;
    assert_eq!(form.current.map(|(_, length)| length), Some(3));
    assert_eq!((form.best_wins, form.worst_losses, form.last.len()), (10, 9_987, 10));
    Ok(())
}
