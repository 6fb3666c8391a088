//! The ingress's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use matchpurse_settings::{ConfigFiles, process_environment};

use crate::{check_sources, healthcheck, run};

/// Takes the providers' webhooks at /hooks/{source}: verifies, normalizes and publishes them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; MATCHPURSE_* variables lie over it.
    #[arg(long, env = "MATCHPURSE_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (the default).
    Run,
    /// Check the configuration and print the one in effect, without its secrets.
    CheckConfig,
    /// Ask the ingress on this machine whether it is alive.
    Healthcheck,
}

/// The `main` of the ingress: reads the command line, serves, and reports an error once with all its causes.
#[tokio::main]
pub async fn main() -> ExitCode {
    match execute(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ingress: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> anyhow::Result<()> {
    let mut files = ConfigFiles::new(arguments.config.as_deref(), process_environment());
    let settings = files.load()?;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(&settings, files).await,
        Command::CheckConfig => {
            check_sources(&settings)?;
            print!("{}", settings.render());
            Ok(())
        }
        Command::Healthcheck => healthcheck(&settings).await,
    }
}
