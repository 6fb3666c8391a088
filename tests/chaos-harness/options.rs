use std::path::PathBuf;

use clap::Parser;

use crate::faults::Fault;
use crate::system::sources::now;

/// Kills, stops and cuts off everything under traffic, and audits what is left
#[derive(Debug, Parser)]
#[command(name = "tests/chaos", about)]
pub(crate) struct Options {
    /// How many rounds: traffic, a fault, and an audit each
    #[arg(long, default_value_t = 24)]
    pub(crate) rounds: u32,
    /// The number of the first round: one that failed is played again with its own
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) first: u32,
    /// What all faults and all traffic follow from; the clock, when it is not given
    #[arg(long, default_value_t = now().seconds().unsigned_abs())]
    pub(crate) seed: u64,
    /// Begin no more rounds after so many minutes
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// Which faults take turns; without it all that the servers allow
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) faults: Vec<Fault>,
    /// Requests a second
    #[arg(long, default_value_t = 300)]
    pub(crate) rate: u32,
    /// How many matches, contests, offers and players a round plays, with 1 to 40 deliveries each
    #[arg(long, default_value_t = 60)]
    pub(crate) lives: u32,
    /// How many rounds are played at the same time, each on a database and a virtual host of its own; one where servers
    /// are killed
    #[arg(long, default_value_t = 1)]
    pub(crate) lanes: u32,
    /// After how many rounds a new database and virtual host are taken, and the last ones replayed
    #[arg(long, value_name = "ROUNDS", default_value_t = 20)]
    pub(crate) fresh_every: u32,
    /// Where the programs of the version before are, for the rolling restart; without it the present ones are taken
    #[arg(long, value_name = "FOLDER")]
    pub(crate) previous: Option<PathBuf>,
    /// Put the table into docs/reliability.md, in the block of this name
    #[arg(long, value_name = "BLOCK")]
    pub(crate) write: Option<String>,
}

impl Options {
    /// What `tests/run` has time for.
    pub(crate) fn short() -> Self {
        let seed = std::env::var("MATCHPURSE_TEST_SEED").ok();
        let mut options = Self::parse_from(["tests/chaos", "--rounds", "5", "--minutes", "2"]);
        options.faults =
            vec![Fault::KillRewards, Fault::KillPair, Fault::TerminateBackends, Fault::KillOne, Fault::Stop];
        if let Some(seed) = seed.and_then(|seed| seed.parse().ok()) {
            options.seed = seed;
        }
        options
    }
}
