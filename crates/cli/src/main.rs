//! `matchpurse`: every service in one process, and the operator's commands.

mod anomalies;
mod archive;
mod audit;
mod config;
mod correct;
mod deliveries;
mod demo;
mod demo_sources;
mod dev;
mod endpoints;
mod explain;
mod figures;
mod leaderboards;
mod member;
mod moment;
mod observe;
mod offers;
mod parked;
mod players;
mod ratings;
mod rebuild;
mod replay;
mod rewards;
mod servers;
mod services;
mod simulate;
mod stats;
mod summary;
mod verify_archive;
mod verify_endpoint;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turns the webhooks of competitive-gaming providers into effects that a studio can rely on.
///
/// New here? `matchpurse demo --install` starts everything on this machine, plays four providers for some
/// seconds, and shows what came of it.
#[derive(Debug, Parser)]
#[command(name = "matchpurse", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything here, play the providers, show what came of it; then stay up
    Demo(demo::DemoArgs),
    /// Start everything here and stay up, for developing against it
    Dev(dev::DevArgs),
    /// Play the providers against a running ingress
    Simulate(simulate::SimulateArgs),
    /// Check that everything in the database is as it must be
    Audit(audit::AuditArgs),
    /// Prove that every archived event is as it was written, and in its place
    VerifyArchive(verify_archive::VerifyArchiveArgs),
    /// See the archive's days, export them, and take old ones out
    Archive(archive::ArchiveArgs),
    /// Build all state anew from the archive and the records, in a schema of its own
    Rebuild(rebuild::RebuildArgs),
    /// Compare a rebuild with the state that is there
    Diff(rebuild::DiffArgs),
    /// Tell the whole story of one match, contest, offer or player
    Explain(explain::ExplainArgs),
    /// See the deliveries that could not be applied, and have them applied after all, or not
    Parked(parked::ParkedArgs),
    /// Apply archived events once more, or say what that would do
    Replay(replay::ReplayArgs),
    /// See what contradicts itself, and decide about it
    Anomalies(anomalies::AnomaliesArgs),
    /// Set the end of a match that nobody told, or another end than the ledger has
    Correct(correct::CorrectArgs),
    /// See corrections, and decide about those that wait for a second person
    Corrections(correct::CorrectionsArgs),
    /// Try a studio's endpoint and say what it does wrong with our webhooks
    VerifyEndpoint(verify_endpoint::VerifyEndpointArgs),
    /// See rewards, and decide about those that a person must look at
    Rewards(rewards::RewardsArgs),
    /// See what is known of a player: balances, records, statistics
    Players(players::PlayersArgs),
    /// See the statistics of a match, and decide which of two ends of it stands
    Stats(stats::StatsArgs),
    /// See leaderboards, and a player's rank
    Leaderboards(leaderboards::LeaderboardsArgs),
    /// See whether skill ratings are what the matches say
    Ratings(ratings::RatingsArgs),
    /// See offers, ask what a player may see, and watch what changes
    Offers(offers::OffersArgs),
    /// See where notices go, stop and try it, and add endpoints that the configuration does not have
    Endpoints(endpoints::EndpointsArgs),
    /// See what was sent to which endpoint and what came of it, and have it sent again
    Deliveries(deliveries::DeliveriesArgs),
    /// Bring the database's schema up to date
    Migrate(config::ConfigArgs),
    /// Check the configuration and print the one in effect, without its secrets
    CheckConfig(config::ConfigArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::VerifyArchive(args) => verify_archive::run(args).await,
        Command::Archive(args) => archive::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
        Command::Diff(args) => rebuild::diff(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Parked(args) => parked::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Anomalies(args) => anomalies::run(args).await,
        Command::Correct(args) => correct::run(args).await,
        Command::Corrections(args) => correct::manage(args).await,
        Command::VerifyEndpoint(args) => verify_endpoint::run(args).await,
        Command::Rewards(args) => rewards::run(args).await,
        Command::Players(args) => players::run(args).await,
        Command::Stats(args) => stats::run(args).await,
        Command::Leaderboards(args) => leaderboards::run(args).await,
        Command::Ratings(args) => ratings::run(args).await,
        Command::Offers(args) => offers::run(args).await,
        Command::Endpoints(args) => endpoints::run(args).await,
        Command::Deliveries(args) => deliveries::run(args).await,
        Command::Migrate(args) => config::migrate(args).await,
        Command::CheckConfig(args) => config::check(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("matchpurse: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, one a line.
fn chain(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join("\n  because: ")
}

/// Tells what is being done.
fn say(text: &str) {
    eprintln!("matchpurse: {text}");
}
