//! Finding a RabbitMQ installation.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::install;

pub(crate) const NAME: &str = "RabbitMQ";
/// Debian, the generic package below `/opt`, Homebrew on Apple and on Intel processors.
const FOLDERS: [&str; 4] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];

/// The programs of one RabbitMQ installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RabbitmqBinaries {
    /// The script of RabbitMQ itself, not the wrapper that Debian puts in front, which insists on its user.
    pub server: PathBuf,
    /// Erlang's port mapper, through which nodes find each other.
    pub epmd: PathBuf,
}

/// The first RabbitMQ of the folders that packages use and of `PATH`.
pub fn find_rabbitmq() -> Option<RabbitmqBinaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let server = FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(on_path.iter().cloned())
        .map(|folder| folder.join("rabbitmq-server"))
        .find_map(|script| own_script(&script))?;
    let epmd = on_path.iter().map(|folder| folder.join("epmd")).find(|epmd| epmd.is_file())?;
    Some(RabbitmqBinaries { server, epmd })
}

pub(super) fn choose(given: Option<RabbitmqBinaries>) -> Result<RabbitmqBinaries, Error> {
    given
        .or_else(find_rabbitmq)
        .ok_or_else(|| Error::NotInstalled { server: NAME, command: install_command() })
}

/// The command with which a person gets RabbitMQ on this machine.
pub(crate) fn install_command() -> String {
    install::package_command(install::Packages {
        apt: "rabbitmq-server",
        dnf: "rabbitmq-server",
        pacman: "rabbitmq",
        apk: "rabbitmq-server",
        brew: "rabbitmq",
    })
    .unwrap_or_else(|| "https://www.rabbitmq.com/docs/download".to_owned())
}

/// RabbitMQ's script reads `rabbitmq-env` beside it, under the name it was called by or its real one.
fn own_script(script: &Path) -> Option<PathBuf> {
    let real = script.canonicalize().ok()?;
    [script.to_owned(), real]
        .into_iter()
        .find(|script| script.parent().is_some_and(|folder| folder.join("rabbitmq-env").exists()))
}
