//! Measures the programs beside what a studio would write today and beside the machine's own floors.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`options`] | what the command understands |
//! | [`servers`], [`programs`], [`config`] | private servers, and programs as processes of their own |
//! | [`load`], [`http`] | open-loop load, and as much of HTTP as it needs |
//! | [`requests`], [`events`] | what is sent: the simulator's lives, signed; and events for the workers alone |
//! | [`broker`], [`usage`], [`ages`] | what is in the queues; what processes have used; how long events took |
//! | [`scenarios`] | what is measured |
//! | [`lists`] | lists of the API and pages of the console, on big tables |
//! | [`figures`], [`table`] | medians, and the table on the screen and in `docs/performance.md` |
//!
//! Everything of a scenario runs in turns, so that a machine that is slower for a while is slower for all.

mod ages;
mod broker;
mod config;
mod events;
mod figures;
mod http;
mod lists;
mod load;
mod options;
mod programs;
mod requests;
mod scenarios;
mod servers;
mod table;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser as _, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use options::Options;
use scenarios::Scenario;
use servers::Servers;

/// Percent of the machine's CPU time; ratios of what took turns bear less than this.
const STOLEN_PERCENT_TOLD: u64 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut terminated = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => return failed(&error.into()),
    };
    let ended = tokio::select! {
        ended = run(&options) => ended,
        // What was being done is dropped, and all processes that were started end.
        _ = terminated.recv() => Ok(false),
        _ = tokio::signal::ctrl_c() => Ok(false),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    ExitCode::FAILURE
}

/// Measures and prints; whether every audit held.
async fn run(options: &Options) -> Result<bool> {
    if options.list {
        for scenario in Scenario::value_variants() {
            println!("{:<10} {}", scenario.name(), scenario.about());
        }
        return Ok(true);
    }
    if !options.no_build {
        programs::build()?;
    }
    let wanted: Vec<Scenario> = Scenario::value_variants()
        .iter()
        .copied()
        .filter(|scenario| options.scenario.is_empty() || options.scenario.contains(scenario))
        .collect();
    let servers = Servers::start().await?;
    let measured = match options.lists {
        Some(events) => lists::measure(options, events, &servers).await.map(|()| true),
        None => measure(options, &wanted, &servers).await,
    };
    servers.stop().await?;
    measured
}

async fn measure(options: &Options, wanted: &[Scenario], servers: &Servers) -> Result<bool> {
    let begun = std::time::Instant::now();
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    for scenario in wanted {
        say(&format!("{}: {}", scenario.name(), scenario.about()));
        let before = usage::given_and_stolen();
        let measured = scenario.measure(options, servers).await?;
        all.extend(measured.series);
        notes.extend(measured.notes);
        notes.extend(stolen(*scenario, before, usage::given_and_stolen()));
    }
    let versions = servers.versions().await?;
    let told = table::text(options, &all, &notes, &versions, begun.elapsed());
    println!("\n{told}");
    table::write_json(&options.json, &all, &notes)?;
    let held = all.iter().all(|series| !series.is_wrong());
    if options.write {
        table::write(&told)?;
    }
    Ok(held)
}

/// That the host of this machine gave its cores to others meanwhile, where it is enough to change figures.
fn stolen(scenario: Scenario, before: (u64, u64), after: (u64, u64)) -> Option<String> {
    let (given, stolen) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let percent = stolen * 100 / given.max(1);
    (percent >= STOLEN_PERCENT_TOLD).then(|| {
        format!(
            "While *{}* was measured, the machine's host gave {percent} % of its CPU time to others.",
            scenario.name()
        )
    })
}

/// Tells the person who waits.
pub(crate) fn say(line: &str) {
    eprintln!("bench: {line}");
}
