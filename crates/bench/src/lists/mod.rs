//! Lists and pages on big tables: `--lists EVENTS`.
//!
//! A play of all providers goes through all programs first; then its rows are copied until there are as many events as
//! wanted ([`fill`]). What is measured is the API with every list ([`questions`]), its first page, a deep one and by each
//! filter, and the first paint of the console's pages in a real browser ([`paint`]), beside floors of the same run: the
//! smallest answer of the API, and `SELECT 1` of the database.

mod fill;
mod paint;
mod play;
mod questions;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http::{Line, request};
use crate::options::Options;
use crate::programs::Folder;
use crate::say;
use crate::servers::{Servers, connect};
use play::TOKEN;
use questions::{Items, Question};

/// How often each list is asked for, in turns; the figure is the median.
const TURNS: usize = 9;
/// So many pages are turned for the deep one.
const DEEP: usize = 50;

/// One list, or one page of the console.
pub(super) struct Measured {
    pub(super) name: String,
    /// In milliseconds, one a turn.
    pub(super) times: Vec<f64>,
}

impl Measured {
    fn sorted(&self) -> Vec<f64> {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times
    }

    pub(super) fn median(&self) -> f64 {
        let times = self.sorted();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    pub(super) fn worst(&self) -> f64 {
        self.sorted().last().copied().unwrap_or_default()
    }
}

/// All that was measured.
pub(super) struct Results {
    pub(super) rows: Vec<(String, i64)>,
    pub(super) floors: Vec<Measured>,
    pub(super) lists: Vec<Measured>,
    /// None where there is no browser.
    pub(super) pages: Option<Vec<Measured>>,
}

/// Plays, fills, measures and prints. An answer that is not the expected one is an error.
pub(crate) async fn measure(options: &Options, events: i64, servers: &Servers) -> Result<()> {
    let folder = Folder::new()?;
    let database = servers.database().await?;
    say("lists: playing the providers, so that there is something to copy");
    let config = play::play(&folder.0, &database.url()).await?;
    let client = connect(&database.url()).await?;
    let rows = fill::fill(&client, events).await?;
    servers.checkpoint().await?;

    let mut api = play::api(&folder.0, &config).await?;
    let questions = questions::all(&client).await?;
    say("lists: asking the API");
    let (floors, lists) = ask_all(&client, &api.address, &questions).await?;
    say("lists: opening the console's pages");
    let pages = paint::paint(&api.address, &questions::pages(&client).await?, &folder.0).await?;
    api.running.check()?;
    api.running.stop().await?;

    let results = Results { rows, floors, lists, pages };
    let told = report::text(&results, &servers.versions().await?);
    println!("\n{told}");
    if options.write {
        report::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lists.md").as_path(), &told)?;
    }
    Ok(())
}

/// Every list in turns, so that a slower moment of the machine is one for all.
async fn ask_all(
    client: &tokio_postgres::Client,
    address: &str,
    questions: &[Question],
) -> Result<(Vec<Measured>, Vec<Measured>)> {
    let mut line = Line::connect(address).await?;
    let mut floors =
        [Measured::of("`SELECT 1`, without the API"), Measured::of("the API's smallest answer (404)")];
    let mut lists = Vec::new();
    for question in questions {
        let (path, name) = (question.path.clone(), question.name.clone());
        lists.push((Measured { name, times: Vec::new() }, path.clone(), question.items));
        if question.items == Items::Full {
            let deep = turned(&mut line, &path).await?;
            let name = format!("{}, page {DEEP}", question.name);
            lists.push((Measured { name, times: Vec::new() }, deep, Items::Some));
        }
    }
    for _ in 0..TURNS {
        let [select, smallest] = &mut floors;
        let begun = Instant::now();
        client.query_one("SELECT 1", &[]).await?;
        select.times.push(millis(begun.elapsed()));
        let begun = Instant::now();
        exchange(&mut line, "/v1/none").await?;
        smallest.times.push(millis(begun.elapsed()));
        for (measured, path, items) in &mut lists {
            let begun = Instant::now();
            let (status, body) = exchange(&mut line, path).await?;
            measured.times.push(millis(begun.elapsed()));
            items.check(status, &body).with_context(|| format!("{} ({path})", measured.name))?;
        }
    }
    Ok((floors.into(), lists.into_iter().map(|(measured, ..)| measured).collect()))
}

impl Measured {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), times: Vec::new() }
    }
}

/// The path of a deep page, as a reader comes to it.
async fn turned(line: &mut Line, path: &str) -> Result<String> {
    let mut deep = path.to_owned();
    for _ in 1..DEEP {
        let (status, body) = exchange(line, &deep).await?;
        ensure!(status == 200, "{status} for {deep}");
        let body: Value = serde_json::from_slice(&body)?;
        let Some(cursor) = body.get("next").and_then(Value::as_str) else { break };
        let joint = if path.contains('?') { '&' } else { '?' };
        deep = format!("{path}{joint}cursor={}", encoded(cursor));
    }
    Ok(deep)
}

async fn exchange(line: &mut Line, path: &str) -> Result<(u16, Vec<u8>)> {
    let token = format!("Bearer {TOKEN}");
    let (status, body) = line.exchange(&request("GET", path, &[("authorization", &token)], b"")).await?;
    Ok((status, body.to_vec()))
}

/// A text as part of a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::new(), |mut all, byte| {
        if plain(byte) {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
        all
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_part_of_a_query() {
        assert_eq!(encoded("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let measured = Measured { name: String::new(), times: vec![9.0, 1.0, 5.0] };
        assert_eq!((measured.median(), measured.worst()), (5.0, 9.0));
    }
}
