//! `matchpurse`: every service in one process, and the operator's commands.

mod anomalies;
mod archive;
mod audit;
mod author;
mod config;
mod correct;
mod deliveries;
mod demo;
mod demo_sources;
mod dev;
mod doctor;
mod endpoints;
mod erase;
mod exit;
mod explain;
mod figures;
mod gaps;
mod help;
mod leaderboards;
mod listen;
mod manual;
mod member;
mod moment;
mod money;
mod observe;
mod offers;
mod out;
mod parked;
mod players;
mod program;
mod progress;
mod ratings;
mod rebuild;
mod replay;
mod rewards;
mod send;
mod servers;
mod services;
mod simulate;
mod stats;
mod summary;
mod table;
mod verify_archive;
mod verify_endpoint;

use std::process::ExitCode;

use anyhow::Result;
use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::exit::Ending;
use crate::out::{Colour, Out};

/// The heading of what says how something is printed.
const OUTPUT: &str = "Output";

/// Turns the webhooks of competitive-gaming providers into effects that a studio can rely on.
///
/// New here? `matchpurse demo --install` starts everything on this machine, plays four providers for some
/// seconds, and shows what came of it.
#[derive(Debug, Parser)]
#[command(name = "matchpurse", version, max_term_width = help::WIDTH_MAX)]
pub(crate) struct Cli {
    /// Print JSON: of a list an object a line, of anything else one object
    #[arg(long, global = true, help_heading = OUTPUT)]
    json: bool,
    /// When to colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = OUTPUT)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

/// A command without a sentence here has a longer text at its arguments: a sentence here would take its place.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything here, play the providers, show what came of it; then stay up
    Demo(demo::DemoArgs),
    /// Start everything here and stay up, for developing against it
    Dev(dev::DevArgs),
    /// Bring the database's schema up to date
    Migrate(config::ConfigArgs),
    /// Check the configuration and print the one in effect, without its secrets
    CheckConfig(config::ConfigArgs),
    Doctor(doctor::DoctorArgs),
    Listen(listen::ListenArgs),
    /// Tell the whole story of one match, contest, offer or player
    Explain(explain::ExplainArgs),
    /// See what is known of a player: balances, records, statistics; or erase it
    Players(players::PlayersArgs),
    /// See the statistics of a match, and decide which of two ends of it stands
    Stats(stats::StatsArgs),
    /// See leaderboards, and a player's rank
    Leaderboards(leaderboards::LeaderboardsArgs),
    /// See offers, ask what a player may see, and watch what changes
    Offers(offers::OffersArgs),
    /// See the deliveries that could not be applied, and have them applied after all, or not
    Parked(parked::ParkedArgs),
    /// Apply archived events once more, or say what that would do
    Replay(replay::ReplayArgs),
    /// See what contradicts itself, and decide about it
    Anomalies(anomalies::AnomaliesArgs),
    Gaps(gaps::GapsArgs),
    /// Set the end of a match that nobody told, or another end than the ledger has
    Correct(correct::CorrectArgs),
    /// See corrections, and decide about those that wait for a second person
    Corrections(correct::CorrectionsArgs),
    /// See rewards, and decide about those that a person must look at
    Rewards(rewards::RewardsArgs),
    /// See where notices go, stop and try it, and add endpoints beside the configuration's
    Endpoints(endpoints::EndpointsArgs),
    /// See what was sent to which endpoint and what came of it, and have it sent again
    Deliveries(deliveries::DeliveriesArgs),
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
    /// See whether skill ratings are what the matches say
    Ratings(ratings::RatingsArgs),
    Send(send::SendArgs),
    /// Play the providers against a running ingress
    Simulate(simulate::SimulateArgs),
    VerifyEndpoint(verify_endpoint::VerifyEndpointArgs),
    /// Print what a shell completes commands and flags by
    Completions(manual::CompletionsArgs),
    /// Print the manual page of the program or of a command, or write all of them
    Man(manual::ManArgs),
}

fn main() -> ExitCode {
    match std::env::args_os().next().as_deref().and_then(program::called) {
        Some(service) => service(),
        None => command(),
    }
}

#[tokio::main]
async fn command() -> ExitCode {
    let cli = match Cli::from_arg_matches(&help::matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let ending = match run(cli.command, Out::new(cli.json, cli.color)).await {
        Ok(ending) => ending,
        Err(error) => {
            eprintln!("matchpurse: {}", chain(&error));
            Ending::of_error(&error)
        }
    };
    if out::lost() {
        say("not everything could be printed");
        return Ending::Failed.into();
    }
    ending.into()
}

async fn run(command: Command, out: Out) -> Result<Ending> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args, out)).await,
        Command::Dev(args) => dev::run(args, out).await,
        Command::Migrate(args) => config::migrate(args, out).await,
        Command::CheckConfig(args) => config::check(&args, out),
        Command::Doctor(args) => doctor::run(args, out).await,
        Command::Listen(args) => listen::run(args, out).await,
        Command::Explain(args) => explain::run(args, out).await,
        Command::Players(args) => players::run(args, out).await,
        Command::Stats(args) => stats::run(args, out).await,
        Command::Leaderboards(args) => leaderboards::run(args, out).await,
        Command::Offers(args) => offers::run(args, out).await,
        Command::Parked(args) => parked::run(args, out).await,
        Command::Replay(args) => replay::run(args, out).await,
        Command::Anomalies(args) => anomalies::run(args, out).await,
        Command::Gaps(args) => gaps::run(args, out).await,
        Command::Correct(args) => correct::run(args, out).await,
        Command::Corrections(args) => correct::manage(args, out).await,
        Command::Rewards(args) => rewards::run(args, out).await,
        Command::Endpoints(args) => endpoints::run(args, out).await,
        Command::Deliveries(args) => deliveries::run(args, out).await,
        Command::Audit(args) => audit::run(args, out).await,
        Command::VerifyArchive(args) => verify_archive::run(args, out).await,
        Command::Archive(args) => archive::run(args, out).await,
        Command::Rebuild(args) => rebuild::run(args, out).await,
        Command::Diff(args) => rebuild::diff(args, out).await,
        Command::Ratings(args) => Box::pin(ratings::run(args, out)).await,
        Command::Send(args) => send::run(args, out).await,
        Command::Simulate(args) => simulate::run(args, out).await,
        Command::VerifyEndpoint(args) => verify_endpoint::run(args, out).await,
        Command::Completions(args) => manual::completions(&args, out),
        Command::Man(args) => manual::man(&args, out),
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
