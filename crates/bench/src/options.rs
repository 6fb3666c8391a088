use clap::Parser;

use crate::scenarios::Scenario;

/// Measures the programs beside what a studio would write today and beside the machine's own floors
#[derive(Debug, Clone, Parser)]
#[command(name = "matchpurse-bench", about)]
pub(crate) struct Options {
    /// Which scenarios; without it all of them
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) scenario: Vec<Scenario>,
    /// How long each measurement lasts
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// How often everything is measured, in turns; the figures are medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// The events a second of `together`
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    /// How long `together` lasts; ten minutes show whether memory stays flat
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) together_seconds: u32,
    /// The events of `backlog`; a million take some ten minutes on two cores
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) backlog: u32,
    /// The deliveries a second that arrive while the backlog is drained
    #[arg(long, value_name = "RATE", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) backlog_rate: u32,
    /// The transfers that are in the tables of `growth`; there are about a quarter as many matches
    #[arg(long, value_name = "TRANSFERS", default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub(crate) growth: u32,
    /// Measure nothing but the API's lists and the console's pages, with so many events in the tables
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(i64).range(500_000..=100_000_000))]
    pub(crate) lists: Option<i64>,
    /// Say what there is to measure, and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Put the table into docs/performance.md, or with `--lists` into docs/lists.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Where the figures of every single run go, as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    pub(crate) json: std::path::PathBuf,
    /// Do not build the programs first; they stand beside this one
    #[arg(long)]
    pub(crate) no_build: bool,
}
