//! A whole play with everything that people do, built anew and compared; the archive, proved and exported.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::source::SourcePolicy;
use matchpurse_operations::funds::{Direction, Movement, move_funds};
use matchpurse_operations::{corrections, deadlines};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, now};
use matchpurse_testkit::Database;

/// A play on a database of its own, with the configuration that the commands need.
struct Played {
    database: Database,
    folder: PathBuf,
    settings: Settings,
}

impl Drop for Played {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.folder).is_err() {
            eprintln!("{} stays", self.folder.display());
        }
    }
}

impl Played {
    async fn new(name: &str, lives: u32) -> Result<Self> {
        let database = Database::create().await?;
        let folder = std::env::temp_dir().join(format!("matchpurse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let sources = include_str!("../demo/sources.toml");
        let text = format!("[database]\nurl = {:?}\n{sources}", database.url());
        std::fs::write(folder.join("matchpurse.toml"), &text)?;
        let settings = Settings::parse_str(&text)?;
        let played = Self { database, folder, settings };
        let lives = lives.to_string();
        let url = played.database.url();
        let demo =
            ["demo", "--exit", "--port", "0", "--api-port", "0", "--lives", &lives, "--database-url", &url];
        let output = played.run(&demo)?;
        assert!(output.status.success(), "{}", said(&output));
        Ok(played)
    }

    /// Runs the command with this configuration.
    fn run(&self, args: &[&str]) -> Result<Output> {
        Command::new(env!("CARGO_BIN_EXE_matchpurse"))
            .args(args)
            .env("MATCHPURSE_CONFIG", self.folder.join("matchpurse.toml"))
            .output()
            .context("matchpurse did not start")
    }

    /// Runs it and returns what it printed; it must end with this code.
    fn printed(&self, args: &[&str], code: i32) -> Result<String> {
        let output = self.run(args)?;
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn policies(&self) -> BTreeMap<SourceName, SourcePolicy> {
        let policy = |(name, source): (&SourceName, &matchpurse_settings::SourceSettings)| {
            (name.clone(), source.policy().clone())
        };
        self.settings.sources.iter().map(policy).collect()
    }

    /// A match's source and id.
    async fn a_match(&self, condition: &str) -> Result<(String, String)> {
        let sql = format!(
            "SELECT source, match_id FROM match WHERE {condition} AND kind IN ('recreational', 'platform') \
              ORDER BY match_key LIMIT 1"
        );
        let row = self.database.connection().await?.query_one(&sql, &[]).await?;
        Ok((row.get(0), row.get(1)))
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

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

#[tokio::test]
async fn a_whole_play_with_all_that_people_did_is_built_anew_and_equal() -> Result<()> {
    let played = Played::new("rebuild", 150).await?;
    let store = played.database.store().await?;
    people(&played, &store).await?;

    let printed = played.printed(&["rebuild", "--into", "again"], 0)?;
    assert!(printed.contains("0 could not be applied as they were"), "{printed}");
    let same = played.printed(&["diff", "--with", "again"], 0)?;
    assert!(same.contains("the rebuild is equal to the live state"), "{same}");
    // It really has something of everything.
    for table in ["match", "transfer", "reward_grant", "player_totals", "offer", "operation", "correction"] {
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

#[tokio::test]
async fn the_archive_is_proved_exported_and_explained() -> Result<()> {
    let played = Played::new("archive", 60).await?;
    let all = played.printed(&["verify-archive"], 0)?;
    assert!(all.contains("4 chains") && all.contains("0 problems: as it was written"), "{all}");
    let file = played.folder.join("all.jsonl");
    let name = file.display().to_string();
    played.printed(&["archive", "export", "--out", &name], 0)?;
    played.printed(&["verify-archive", "--file", &name], 0)?;
    let lines = std::fs::read_to_string(Path::new(&name))?;
    assert!(lines.lines().count() > 50);
    // A changed byte, in the file and in the database.
    let changed = lines.replacen("\"seq\":3,", "\"seq\":30,", 1);
    let tampered = played.folder.join("tampered.jsonl").display().to_string();
    std::fs::write(&tampered, changed)?;
    let found = played.printed(&["verify-archive", "--offline", "--file", &tampered], 1)?;
    assert!(found.contains("are missing") && found.contains("NOT as it was written"), "{found}");
    let owner = played.database.connection().await?;
    owner
        .batch_execute(
            "UPDATE archive SET raw = overlay(raw placing '\\x20' from 1 for 1) WHERE source = 'games' AND seq = 5",
        )
        .await?;
    let found = played.printed(&["verify-archive", "--source", "games"], 1)?;
    assert!(found.starts_with("source games: row 5 has been changed\n1 chains, "), "{found}");
    let json: serde_json::Value =
        serde_json::from_str(&played.printed(&["verify-archive", "--json", "--source", "games"], 1)?)?;
    assert_eq!(json["verified"][0]["problems"]["listed"][0], "row 5 has been changed");
    played.printed(&["verify-archive", "--source", "games", "--from", "6"], 0)?;

    // Every kind of id is explained.
    let row = "SELECT m.source, m.match_id, m.first_event_id::text, p.player_id FROM match m
                 JOIN match_participant s USING (match_no) JOIN player p USING (player_key)
                WHERE m.settlement = 'payout' ORDER BY m.match_key, p.player_id LIMIT 1";
    let row = owner.query_one(row, &[]).await?;
    let (source, id, event, player): (String, String, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let story = played.printed(&["explain", &source, &id], 0)?;
    assert!(story.contains("settled as payout") && story.contains("match.settled"), "{story}");
    assert_eq!(played.printed(&["explain", &id], 0)?, story);
    let story = played.printed(&["explain", &event], 0)?;
    for part in
        ["received  ", "verified  by the source's webhook key", "match-escrow: applied", "body      {"]
    {
        assert!(story.contains(part), "{part}\n{story}");
    }
    let story = played.printed(&["explain", &source, &player], 0)?;
    assert!(story.contains(&format!("player {player} of source {source}")), "{story}");
    played.printed(&["explain", "nobody-knows-this"], 1)?;
    Ok(())
}
