//! Every fixture of every provider, through the whole system: the answer, the effects, and nothing more by
//! repeating it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::system::System;
use crate::system::http::Answer;
use crate::system::sources::{Fixture, Source, fixtures};

/// How often each delivery comes again.
const REPEATS: usize = 10;

/// Fixtures of one provider tell of the same match, so each has a source, and with it a world, of its own.
fn sources() -> Result<Vec<(Source, Fixture)>> {
    let mut all = Vec::new();
    for provider in matchpurse_providers::all() {
        for fixture in fixtures(*provider)? {
            let name = format!("{:03}-{}", all.len(), fixture.name.to_ascii_lowercase());
            let name: String = name.chars().take(40).collect();
            all.push((Source::new(*provider, &name)?, fixture));
        }
    }
    Ok(all)
}

#[tokio::test]
async fn every_fixture_has_its_documented_effects_once() -> Result<()> {
    let (sources, fixtures): (Vec<Source>, Vec<Fixture>) = sources()?.into_iter().unzip();
    ensure!(fixtures.len() > 100, "only {} fixtures", fixtures.len());
    let names: Vec<String> = sources.iter().map(|source| source.name.to_string()).collect();
    let mut system = System::start(sources).await?;

    let mut wrong = Vec::new();
    for (name, fixture) in names.iter().zip(&fixtures) {
        let answer = system.deliver(name, fixture).await?;
        wrong.extend(unlike_golden(fixture, &answer));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    system.settle().await?;
    let effects = system.effects().await?;
    compare(&names, &fixtures, &effects)?;

    let once = system.tables(&[]).await?;
    ensure!(once.rows("match") > 20 && once.rows("transfer") > 20 && once.rows("parked") > 30, "too little");
    let repeats: Vec<(&str, &Fixture)> =
        names.iter().map(String::as_str).zip(&fixtures).flat_map(|one| [one; REPEATS]).collect();
    system.deliver_all(&repeats).await?;
    system.settle().await?;
    let changes = once.changes(&system.tables(&[]).await?);
    ensure!(changes.is_empty(), "repeating changed something:\n{}", changes.join("\n"));

    // The inbox is pruned one day, and the effects must not rest on it.
    let without = ["inbox", "updated_at"];
    let before = system.tables(&without).await?;
    system.client.execute("DELETE FROM inbox", &[]).await?;
    system.deliver_all(&repeats).await?;
    system.settle().await?;
    let changes = before.changes(&system.tables(&without).await?);
    ensure!(changes.is_empty(), "without an inbox repeating changed something:\n{}", changes.join("\n"));
    system.stop().await
}

/// What the answer has that the fixture's golden file does not say.
fn unlike_golden(fixture: &Fixture, answer: &Answer) -> Option<String> {
    let told = |what: String| Some(format!("{} {}: {what}; {answer:?}", fixture.provider, fixture.name));
    let content_type = answer.header("content-type");
    if let Some(field) = fixture.golden["error"]["field"].as_str() {
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let named = problem["detail"].as_str().is_some_and(|detail| detail.contains(field));
        let fits = answer.status == 422 && content_type == Some("application/problem+json") && named;
        return if fits { None } else { told(format!("not 422 naming {field}")) };
    }
    let reply = &fixture.golden["reply"];
    let fits = reply["status"] == answer.status
        && reply["content_type"].as_str() == content_type
        && reply["body"] == answer.body.as_str();
    if fits { None } else { told(format!("not {reply}")) }
}

/// Compares the effects with `expected/PROVIDER.txt`. `UPDATE_GOLDEN=1` writes what came out; read the diff
/// before committing it.
fn compare(names: &[String], fixtures: &[Fixture], effects: &BTreeMap<String, Vec<String>>) -> Result<()> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for (name, fixture) in names.iter().zip(fixtures) {
        let text = found.entry(fixture.provider).or_default();
        writeln!(text, "{} {}", fixture.method.as_str(), fixture.name)?;
        for line in effects.get(name).context("a source without any effect")? {
            writeln!(text, "    {line}")?;
        }
        writeln!(text)?;
    }
    let mut wrong = Vec::new();
    for (provider, found) in found {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("it/expected/{provider}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            std::fs::write(&path, &found)?;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let [expected, found] = [&expected, &found].map(|text| sections(text));
        for (title, found) in &found {
            match expected.get(title) {
                Some(expected) if expected == found => {}
                Some(expected) => {
                    wrong.push(format!("{provider} {title}\nexpected:\n{expected}\nfound:\n{found}"))
                }
                None => wrong.push(format!("{provider} {title} is not expected; found:\n{found}")),
            }
        }
        let gone = expected.keys().filter(|title| !found.contains_key(*title));
        wrong.extend(gone.map(|title| format!("{provider} {title} has no fixture")));
    }
    let how = "UPDATE_GOLDEN=1 writes what was found; read the diff";
    ensure!(wrong.is_empty(), "{}\n{how}", wrong.join("\n"));
    Ok(())
}

fn sections(text: &str) -> BTreeMap<&str, &str> {
    text.split("\n\n").filter_map(|section| section.split_once('\n')).collect()
}
