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
    /// Say what there is to measure, and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Put the table into docs/performance.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Where the figures of every single run go, as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    pub(crate) json: std::path::PathBuf,
    /// Do not build the programs first; they stand beside this one
    #[arg(long)]
    pub(crate) no_build: bool,
}
