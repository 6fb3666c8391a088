//! Replaying everything changes nothing, and what is missing is made good.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::system::service::program;
use crate::system::sources::{Fixture, Source, fixtures};
use crate::system::{System, until};

/// A busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a replay leaves on purpose, and what only says when something was seen.
const WITHOUT: [&str; 4] = ["inbox", "replay", "updated_at", "seen_at"];

fn command(system: &System, args: &[&str]) -> Result<String> {
    let config = system.config().to_str().context("the folder's name is no text")?;
    let run = program("matchpurse")?.args(args).args(["--config", config]).output()?;
    let (out, told) = (String::from_utf8(run.stdout)?, String::from_utf8_lossy(&run.stderr).into_owned());
    ensure!(run.status.success(), "{args:?}: {out}{told}");
    Ok(out)
}

fn dry_run(system: &System) -> Result<Value> {
    Ok(serde_json::from_str(&command(system, &["replay", "--dry-run", "--json", "--rate", "100000"])?)?)
}

fn replay(system: &System) -> Result<String> {
    let who = ["--actor", "tester", "--reason", "everything once more"];
    command(system, &[&["replay", "--rate", "100000"][..], &who[..]].concat())
}

#[tokio::test]
async fn replaying_everything_changes_nothing_and_makes_good_what_is_missing() -> Result<()> {
    let mut sources = Vec::new();
    let mut deliveries: Vec<(String, Fixture)> = Vec::new();
    for provider in matchpurse_providers::all() {
        for fixture in fixtures(*provider)? {
            let name = format!("{:03}-{}", sources.len(), fixture.name.to_ascii_lowercase());
            let name: String = name.chars().take(40).collect();
            sources.push(Source::new(*provider, &name)?);
            deliveries.push((name, fixture));
        }
    }
    let mut system = System::start(sources).await?;
    for (source, fixture) in &deliveries {
        system.deliver(source, fixture).await?;
    }
    system.settle().await?;
    let before = system.tables(&WITHOUT).await?;
    ensure!(before.rows("transfer") > 20 && before.rows("reward_grant") > 5, "too little has happened");
    ensure!(before.rows("stats_match") > 0 && before.rows("offer") > 0, "too little has happened");

    let looked = dry_run(&system)?;
    ensure!(looked["events"].as_u64() > Some(100), "{looked:#}");
    ensure!(looked["effects"].as_array().is_some_and(Vec::is_empty), "{:#}", looked["effects"]);
    ensure!(looked["money"].as_array().is_some_and(Vec::is_empty), "{:#}", looked["money"]);
    let changes = before.changes(&system.tables(&WITHOUT).await?);
    ensure!(changes.is_empty(), "a dry run changed something:\n{}", changes.join("\n"));

    ensure!(replay(&system)?.contains(" handed on to workers"));
    system.settle().await?;
    let changes = before.changes(&system.tables(&WITHOUT).await?);
    ensure!(changes.is_empty(), "replaying everything changed something:\n{}", changes.join("\n"));
    let noted =
        system.lines("SELECT actor || ': ' || reason FROM replay WHERE finished_at IS NOT NULL").await?;
    ensure!(noted == ["tester: everything once more"], "{noted:?}");

    // Somebody has lost rows: a dry run names them, a replay makes them good.
    ensure!(before.rows("player_kick") > 0, "nobody was voted out");
    system.client.execute("DELETE FROM player_kick", &[]).await?;
    let looked = dry_run(&system)?;
    let effects: Vec<&Value> = looked["effects"].as_array().context("no effects")?.iter().collect();
    let workers: BTreeSet<&str> = effects.iter().filter_map(|effect| effect["worker"].as_str()).collect();
    ensure!(workers == BTreeSet::from(["player-stats"]), "{effects:#?}");
    let added = looked["rows"]["player_kick"]["added"].as_u64();
    ensure!(added == u64::try_from(before.rows("player_kick")).ok(), "{:#}", looked["rows"]);
    replay(&system)?;
    system.settle().await?;
    let changes = before.changes(&system.tables(&WITHOUT).await?);
    ensure!(changes.is_empty(), "what was lost was not made good:\n{}", changes.join("\n"));
    system.stop().await
}

/// Whole lives, with duplicates and disorder, as the simulator plays them.
#[tokio::test]
async fn replaying_the_lives_of_a_simulation_changes_nothing() -> Result<()> {
    let mut sources = Vec::new();
    for provider in matchpurse_providers::all() {
        sources.push(Source::new(*provider, &format!("played-{}", provider.id()))?);
    }
    let mut system = System::start(sources).await?;
    let target = format!("http://{}", system.ingress());
    let mut play =
        vec!["simulate", "--target", &target, "--lives", "150", "--duplicates", "20", "--odd", "5"];
    // Where the configuration has a public key only, the provider has the other one.
    let mut private = Vec::new();
    for source in &system.sources {
        for key in source.keys.values().filter(|key| key.sign != key.verify.as_bytes()) {
            let file = system.folder().join(format!("{}.pem", source.name));
            std::fs::write(&file, &key.sign)?;
            private.push(format!("{}={}", source.name, file.display()));
        }
    }
    play.extend(private.iter().flat_map(|given| ["--sign-key", given.as_str()]));
    let expected = system.folder().join("expected.json");
    let expected = expected.to_str().context("the folder's name is no text")?.to_owned();
    play.extend(["--expect", &expected]);
    command(&system, &play)?;
    // The audit knows every event that must be there, and what must come of it.
    until("the simulation is applied", PATIENCE, async || {
        let audited = command(&system, &["audit", "--expect", &expected]);
        if let Err(error) = audited { Ok(Some(format!("{error:#}"))) } else { system.not_applied(&[]).await }
    })
    .await?;
    let before = system.tables(&WITHOUT).await?;
    ensure!(before.rows("transfer") > 50 && before.rows("archive_event") > 500, "too little has happened");
    let looked = dry_run(&system)?;
    ensure!(looked["effects"].as_array().is_some_and(Vec::is_empty), "{:#}", looked["effects"]);
    replay(&system)?;
    system.settle().await?;
    let changes = before.changes(&system.tables(&WITHOUT).await?);
    ensure!(changes.is_empty(), "replaying everything changed something:\n{}", changes.join("\n"));
    system.stop().await
}
