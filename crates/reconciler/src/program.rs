//! The reconciler's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use matchpurse_settings::{ConfigFiles, process_environment};

use crate::{check_inquiries, healthcheck, serve};

/// Asks providers for what their webhooks did not tell.
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
    /// Run until SIGTERM or SIGINT (the default).
    Run,
    /// Check the configuration and print the one in effect, without its secrets.
    CheckConfig,
    /// Ask the reconciler on this machine whether it is alive.
    Healthcheck,
}

/// The `main` of the reconciler: reads the command line, runs, and reports an error once with all its causes.
#[tokio::main]
pub async fn main() -> ExitCode {
    match execute(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reconciler: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> anyhow::Result<()> {
    let mut files = ConfigFiles::new(arguments.config.as_deref(), process_environment());
    let settings = files.load()?;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => serve(settings, files).await?,
        Command::CheckConfig => {
            check_inquiries(&settings)?;
            print!("{}", settings.render());
        }
        Command::Healthcheck => healthcheck(&settings).await?,
    }
    Ok(())
}
