//! What is measured.

mod backlog;
mod drain;
mod everything;
mod floors;
mod growth;
mod ingress;
mod rivals;
mod shards;
mod together;

use anyhow::Result;
use clap::ValueEnum;

use crate::figures::{Run, Series, Subject};
use crate::options::Options;
use crate::servers::Servers;

/// A scenario, as `--scenario` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Floors,
    Ingress,
    Mix,
    Escrow,
    Stats,
    Rewards,
    Offers,
    Archive,
    Shards,
    Growth,
    Backlog,
    Together,
}

/// What a scenario gave.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) series: Vec<Series>,
    /// What could not be measured, and why.
    pub(crate) notes: Vec<String>,
}

impl Scenario {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floors => "floors",
            Self::Ingress => "ingress",
            Self::Mix => "mix",
            Self::Escrow => "escrow",
            Self::Stats => "stats",
            Self::Rewards => "rewards",
            Self::Offers => "offers",
            Self::Archive => "archive",
            Self::Shards => "shards",
            Self::Growth => "growth",
            Self::Backlog => "backlog",
            Self::Together => "together",
        }
    }

    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Floors => "what the machine's broker and database do without any of our logic",
            Self::Ingress => {
                "one source's deliveries over 64 and 256 connections, beside what else could take them"
            }
            Self::Mix => "deliveries as they come: repeated, forged, unknown, of 0.5 to 30 kB",
            Self::Escrow => "a backlog of ten-player matches for match-escrow",
            Self::Stats => "a backlog of ten-player matches with 25 rounds for player-stats",
            Self::Rewards => "a backlog of conversions for reward-fulfillment",
            Self::Offers => "a backlog of changed offers for offer-removal",
            Self::Archive => "a backlog of deliveries for event-archive",
            Self::Shards => "match-escrow and player-stats with 1, 2, 4 and 8 queues",
            Self::Growth => "match-escrow on tables that have grown, beside empty ones",
            Self::Backlog => "match-escrow with a long backlog, while the mix goes on arriving",
            Self::Together => "all programs at a constant arrival, from the acceptance to the last commit",
        }
    }

    pub(crate) async fn measure(self, options: &Options, servers: &Servers) -> Result<Measured> {
        match self {
            Self::Floors => floors::measure(options, servers).await,
            Self::Ingress => ingress::one_source(options, servers).await,
            Self::Mix => ingress::mix(options, servers).await,
            Self::Escrow => drain::measure(options, servers, &drain::ESCROW).await,
            Self::Stats => drain::measure(options, servers, &drain::STATS).await,
            Self::Rewards => drain::measure(options, servers, &drain::REWARDS).await,
            Self::Offers => drain::measure(options, servers, &drain::OFFERS).await,
            Self::Archive => drain::measure(options, servers, &drain::ARCHIVE).await,
            Self::Shards => shards::measure(options, servers).await,
            Self::Growth => growth::measure(options, servers).await,
            Self::Backlog => backlog::measure(options, servers).await,
            Self::Together => together::measure(options, servers).await,
        }
    }
}

impl Measured {
    /// Takes a run to its series, and tells of it.
    fn take(&mut self, scenario: &str, who: &str, against: Option<&str>, target: &'static str, run: Run) {
        let latency = match (run.p50_ms, run.p99_ms, run.offered) {
            (Some(p50), Some(p99), Some(offered)) => {
                format!(", at {offered:.0}/s p50 {p50:.1} ms and p99 {p99:.1} ms")
            }
            _ => String::new(),
        };
        let wrong = run.wrong.first().map(|first| format!(", WRONG: {first}")).unwrap_or_default();
        let errors = if run.errors > 0 { format!(", {} errors", run.errors) } else { String::new() };
        crate::say(&format!("  {scenario}, {who}: {:.0} {}/s{latency}{errors}{wrong}", run.rate, run.unit));
        let subject = Subject { scenario: scenario.to_owned(), who: who.to_owned() };
        match self.series.iter_mut().find(|series| series.subject == subject) {
            Some(series) => series.runs.push(run),
            None => self.series.push(Series {
                subject,
                against: against.map(str::to_owned),
                target,
                runs: vec![run],
            }),
        }
    }
}

/// CPU seconds for a thousand.
fn per_thousand(seconds: f64, units: f64) -> Option<f64> {
    (units > 0.0).then(|| seconds * 1000.0 / units)
}
