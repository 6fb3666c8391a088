//! A whole play with everything that people do, built anew and compared.

use std::process::Stdio;

use anyhow::Result;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_operations::funds::{Direction, Movement, move_funds};
use matchpurse_operations::{corrections, deadlines, results};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, now};

use crate::ground::Played;

/// Everything that people and the clock do: a correction of an end, one that a second person agrees to and one that is
/// rejected, an end that nobody told, deadlines, and players' own money.
async fn people(played: &Played, store: &Store) -> Result<()> {
    let (source, settled) = played.a_match("settlement = 'payout' AND pot > 0").await?;
    let by = ["--actor", "ann", "--reason", "the provider said so"];
    let refund = [&["correct", &source, &settled, "--refund"][..], &by].concat();
    played.printed(&refund, 0)?;
    let (source, open) = played.a_match("settlement IS NULL AND pot > 0").await?;
    played.printed(&[&["correct", &source, &open, "--refund"][..], &by].concat(), 0)?;
    let request = |source: &str, match_id: &str, end| corrections::Request {
        source: SourceName::parse(source).unwrap(),
        match_id: match_id.to_owned(),
        kind: None,
        end,
    };
    let author = |key: &str| corrections::Author {
        actor: "bob".to_owned(),
        reason: "a dispute".to_owned(),
        idempotency_key: key.to_owned(),
        approvals: 2,
    };
    let (source, tied) = played.a_match("settlement = 'payout' AND generation = 0 AND pot > 0").await?;
    let tie = request(&source, &tied, matchpurse_operations::End::Tie {});
    let proposed = corrections::propose(store, &tie, &author("tie"), now()).await?;
    corrections::approve(store, proposed.correction.proposal.id, "cora", now()).await?;
    let (source, kept) = played.a_match("settlement = 'payout' AND generation = 0 AND pot > 0").await?;
    let tie = request(&source, &kept, matchpurse_operations::End::Refund {});
    let proposed = corrections::propose(store, &tie, &author("no"), now()).await?;
    corrections::reject(store, proposed.correction.proposal.id, "cora", "the first end stands").await?;

    // A platform's match that the studio decides.
    let (source, played_here) = played.a_match("settlement IS NULL AND kind = 'platform'").await?;
    let sides = format!(
        "SELECT DISTINCT group_id FROM match JOIN match_participant USING (match_no)
          WHERE (source, match_id) = ('{source}', '{played_here}') ORDER BY group_id"
    );
    let sides = played.database.texts(&sides).await?;
    let side = |(n, group_id)| results::GroupScore { group_id, score: n, forfeit: n > 1 };
    let told = results::Request {
        source: SourceName::parse(&source).unwrap(),
        match_id: played_here,
        kind: None,
        result: results::Told { groups: (0..).zip(sides).map(side).collect(), players: Vec::new() },
        report: false,
    };
    let back_end = results::Author { actor: "back-end".to_owned(), idempotency_key: "r1".to_owned() };
    results::accept(store, &told, &back_end, now()).await?;

    // Long after; half of the sources ask a person, the others give back.
    let mut policies = played.policies();
    policies.pop_last();
    let swept = deadlines::sweep(store, &policies, "match-escrow", now().plus_seconds(400 * 86_400)).await?;
    assert!(swept.refunded > 0 && swept.failed == 0, "{swept:?}");

    // None of the demo's sources is one where the studio holds the money, so one stands beside them.
    let name = SourceName::parse("kiosk")?;
    let text = "[database]\nurl = \"postgres://db/app\"\n[sources.kiosk]\nprovider = \"p\"\ncurrency = \"USD\"\ncustody = \"studio\"\n";
    let kiosk = Settings::parse_str(text)?.sources[&name].policy().clone();
    for (direction, minor_units, key) in
        [(Direction::Deposit, 5_000, "in"), (Direction::Withdrawal, 1_200, "out")]
    {
        let movement = Movement {
            direction,
            player: PlayerId::new("dan"),
            amount: Money::new(minor_units, CurrencyCode::parse("USD").unwrap()),
            actor: "shop".to_owned(),
            reason: "card".to_owned(),
            idempotency_key: key.to_owned(),
        };
        move_funds(store, &kiosk, &movement, now()).await?;
    }
    Ok(())
}

/// Waits until a rebuild has done one of so many parts of what it has to do.
async fn until_done(played: &Played, part: i64) -> Result<()> {
    let owner = played.database.connection().await?;
    let sql = "SELECT done * $1 >= (SELECT max(position) FROM again.rebuild_step) FROM again.rebuild_state";
    // Until the schema is there the question has no answer.
    while !owner.query_one(sql, &[&part]).await.is_ok_and(|row| row.try_get(0).unwrap_or(false)) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_whole_play_with_all_that_people_did_is_built_anew_and_equal() -> Result<()> {
    let played = Played::new("rebuild", 150).await?;
    let store = played.database.store().await?;
    people(&played, &store).await?;

    // Killed three times on its way, it goes on where it was.
    for part in [10, 3, 2] {
        let mut rebuild = played.command(&["rebuild", "--into", "again"]).stderr(Stdio::null()).spawn()?;
        until_done(&played, part).await?;
        rebuild.kill()?;
        rebuild.wait()?;
    }
    let unfinished = played.printed(&["diff", "--with", "again"], 1)?;
    assert!(!unfinished.contains(" and 0 inputs are still to be applied"), "{unfinished}");
    let printed = played.printed(&["rebuild", "--into", "again"], 0)?;
    assert!(printed.contains("0 could not be applied as they were"), "{printed}");
    let same = played.printed(&["diff", "--with", "again"], 0)?;
    assert!(same.contains("the rebuild is equal to the live state"), "{same}");
    // It really has something of everything.
    for table in [
        "match",
        "transfer",
        "reward_grant",
        "player_totals",
        "offer",
        "operation",
        "correction",
        "match_result",
    ] {
        assert!(!same.contains(&format!("\n{table}: 0 rows")), "{same}");
    }
    // Gone on with when all is done it does nothing, and what came since is taken in.
    played.printed(&["rebuild", "--into", "again"], 0)?;
    let (source, another) = played.a_match("settlement = 'payout' AND generation = 0 AND pot > 0").await?;
    let refund = ["correct", &source, &another, "--refund", "--actor", "ann", "--reason", "late"];
    played.printed(&refund, 0)?;
    let newer = played.printed(&["diff", "--with", "again"], 1)?;
    assert!(newer.contains("0 events and 1 operations came"), "{newer}");
    played.printed(&["rebuild", "--into", "again"], 0)?;
    played.printed(&["diff", "--with", "again"], 0)?;

    // One row changed by hand.
    let owner = played.database.connection().await?;
    let sql = "UPDATE player_totals SET kills = kills + 1
                WHERE (player_key, season) = (SELECT player_key, season FROM player_totals
                                               ORDER BY player_key, season LIMIT 1)
            RETURNING source, (SELECT player_id FROM player p WHERE p.player_key = player_totals.player_key), kills";
    let row = owner.query_one(sql, &[]).await?;
    let (source, player, kills): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
    let printed = played.printed(&["diff", "--with", "again"], 1)?;
    assert!(printed.contains("1 row differs"), "{printed}");
    assert!(printed.contains(&format!("  {source}/{player}/")), "{printed}");
    assert!(printed.contains(&format!("kills is {kills}, in the rebuild {}", kills - 1)), "{printed}");
    // As JSON too, and a row that is not there.
    owner.batch_execute("DELETE FROM player_kick").await?;
    let json = played.printed(&["diff", "--with", "again", "--json", "--first", "1"], 1)?;
    let report: serde_json::Value = serde_json::from_str(&json)?;
    let kicks = report["tables"].as_array().unwrap().iter().find(|t| t["table"] == "player_kick").unwrap();
    assert!(kicks["differing"].as_i64() > Some(1), "{kicks}");
    assert_eq!(kicks["first"].as_array().unwrap().len(), 1);
    assert!(kicks["first"][0]["live"].is_null());
    Ok(())
}
