//! How many machines an arrival needs, simulated with the service times that were measured on one.
//!
//! | part | what it is |
//! | --- | --- |
//! | `measured.json`, [`measured`] | service times, and how they follow from what `matchpurse-bench` wrote |
//! | [`plan`] | the arithmetic: how many machines utilisation alone asks for |
//! | [`station`] | queues and servers, tested against their formulas |
//! | [`mod@simulate`] | events on their way through all of them |
//!
//! A plan whose latency is too long is grown where it is fullest, until it is short enough.

mod measured;
mod plan;
mod simulate;
mod station;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;

use measured::Measured;
use plan::{Assumed, Plan};
use simulate::{Simulated, simulate};
use station::{Arrivals, Passed};

const MEASURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scale/measured.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scaling.md");
const BEGIN: &str = "<!-- scale -->\n";
const END: &str = "<!-- /scale -->";
/// From the acceptance to the commit, of every worker's 99 %.
const TARGET_MS: f64 = 100.0;
/// A plan is grown so often at most.
const TURNS: usize = 30;

/// Simulates how many machines so many events a second need
#[derive(Debug, Parser)]
#[command(name = "bench-scale", about)]
struct Options {
    /// Events a second
    #[arg(long, value_delimiter = ',', default_values_t = [1_000.0, 10_000.0, 50_000.0, 100_000.0])]
    rate: Vec<f64>,
    /// Cores of each machine
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    cores: u16,
    /// How long is simulated
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Take the service times out of the figures that `matchpurse-bench` wrote, and keep them
    #[arg(long, value_name = "FILE")]
    derive: Option<PathBuf>,
    /// Where those figures are from, in words
    #[arg(long, default_value = "matchpurse-bench", requires = "derive")]
    origin: String,
    /// Put the tables into docs/scaling.md
    #[arg(long)]
    write: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut measured = Measured::read(&std::fs::read_to_string(MEASURED)?)?;
    if let Some(file) = &options.derive {
        let results = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        measured = Measured::derive(&serde_json::from_str(&results)?, &measured, &options.origin);
        std::fs::write(MEASURED, format!("{}\n", serde_json::to_string_pretty(&measured)?))?;
    }
    let told = told(&measured, &options);
    println!("{told}");
    if options.write { write(&told) } else { Ok(()) }
}

/// The tables, as Markdown.
fn told(measured: &Measured, options: &Options) -> String {
    let assumed = Assumed::with_cores(options.cores.into());
    let mut told = String::from(
        "| events/s | ingress | broker | databases | shards at each | for the workers | answered p50, p99 | accepted to committed p50, p99 | fullest |\n\
         | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- |\n",
    );
    let mut details = String::new();
    for rate in &options.rate {
        let (plan, simulated) = enough(measured, *rate, &assumed, options.seconds);
        let shards: Vec<String> = plan.shards.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let (committed, fullest) = (all(&simulated), fullest(&simulated));
        // Writing into a text does not fail.
        writeln!(
            told,
            "| {rate:.0} | {} | {} | {} | {} | {} | {} | {} | {} {:.0} % |",
            plan.ingresses,
            plan.brokers,
            plan.databases,
            shards.join(", "),
            Plan::worker_machines(measured, *rate, &assumed),
            quantiles(&simulated.answered),
            quantiles(&committed),
            fullest.0,
            fullest.1 * 100.0,
        )
        .unwrap_or_default();
        details.push_str(&stages(*rate, &simulated));
    }
    let most = options.rate.iter().copied().fold(0.0, f64::max);
    let (split, _) = enough(&measured.with_several_queues(), most, &assumed, options.seconds);
    format!(
        "Machines of {} cores.\n\n{told}\nIf the workers that have one queue had several as the others do, {most:.0} events/s would \
         need {} databases.\n{details}\nService times: {}. `cargo run --release -p matchpurse-bench --bin bench-scale \
         -- --cores {} --seconds {}`",
        options.cores, split.databases, measured.origin, options.cores, options.seconds
    )
}

/// A plan that is fast enough, and what it does; the last one that was tried when none is.
fn enough(measured: &Measured, rate: f64, assumed: &Assumed, seconds: f64) -> (Plan, Simulated) {
    // Three times as many in a tenth of the time.
    let arrivals = Arrivals { rate, burst: 3.0, share: 0.1, every_s: 2.0 };
    let mut plan = Plan::of(measured, rate, assumed);
    let mut simulated = simulate(measured, &plan, assumed, arrivals, seconds);
    for _ in 0..TURNS {
        if simulated.committed.values().all(|passed| passed.latency_ms(0.99) <= TARGET_MS) {
            break;
        }
        plan = plan.grown(&fullest(&simulated).0, measured);
        simulated = simulate(measured, &plan, assumed, arrivals, seconds);
    }
    (plan, simulated)
}

/// The stage that is fullest, of those of which there can be more.
fn fullest(simulated: &Simulated) -> (String, f64) {
    let stages = simulated.stages.iter().filter(|stage| stage.name != "queue");
    let fullest = stages.max_by(|one, other| one.utilisation.total_cmp(&other.utilisation));
    fullest.map_or_else(|| (String::new(), 0.0), |stage| (stage.name.clone(), stage.utilisation))
}

fn all(simulated: &Simulated) -> Passed {
    Passed { times: simulated.committed.values().flat_map(|passed| passed.times.iter().copied()).collect() }
}

fn quantiles(passed: &Passed) -> String {
    format!("{:.1}, {:.1} ms", passed.latency_ms(0.5), passed.latency_ms(0.99))
}

fn stages(rate: f64, simulated: &Simulated) -> String {
    let mut told = format!(
        "\n{rate:.0} events/s:\n\n| stage | there are | fullest | waiting or in service p50, p99 | time in it p50, p99 |\n\
         | --- | ---: | ---: | ---: | ---: |\n"
    );
    for stage in &simulated.stages {
        writeln!(
            told,
            "| {} | {} | {:.0} % | {:.0}, {:.0} | {} |",
            stage.name,
            stage.many,
            stage.utilisation * 100.0,
            stage.passed.length(0.5),
            stage.passed.length(0.99),
            quantiles(&stage.passed),
        )
        .unwrap_or_default();
    }
    told
}

/// Puts the tables between their marks in `docs/scaling.md`.
fn write(told: &str) -> Result<()> {
    let page = Path::new(PAGE);
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {END}"))?;
    Ok(std::fs::write(page, format!("{before}{BEGIN}\n{told}\n\n{END}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_grows_until_it_is_fast_enough() {
        let measured = Measured::read(include_str!("measured.json")).unwrap();
        // The arithmetic is told that machines may be fuller than full: it gives too few.
        let assumed = Assumed { full: 2.0, ..Assumed::with_cores(2) };
        let (plan, simulated) = enough(&measured, 4_000.0, &assumed, 4.0);
        assert_ne!(plan, Plan::of(&measured, 4_000.0, &assumed));
        assert!(simulated.committed.values().all(|passed| passed.latency_ms(0.99) <= TARGET_MS));
    }

    #[test]
    fn the_tables_have_a_line_for_every_stage() {
        let measured = Measured::read(include_str!("measured.json")).unwrap();
        let options = Options::parse_from(["bench-scale", "--rate", "500,1000", "--seconds", "2"]);
        let told = told(&measured, &options);
        for wanted in ["| 500 |", "| 1000 |", "| broker |", "| queue |", "| match-escrow |", "| database |"] {
            assert!(told.contains(wanted), "{wanted} is missing in {told}");
        }
    }
}
