//! Finding a PostgreSQL installation.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::{Account, is_root};
use crate::error::Error;
use crate::{folder, install};

pub(crate) const NAME: &str = "PostgreSQL";
/// The oldest version the project is tested with.
const MAJOR_MIN: u32 = 15;
/// Folders that hold one folder a version, with `bin` in it: Debian, RHEL and Fedora (PGDG), Alpine, macOS.
const VERSIONED: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];
const POSTGRES_APP: &str = "/Applications/Postgres.app/Contents/Versions";

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresBinaries {
    pub initdb: PathBuf,
    pub postgres: PathBuf,
    /// The major version, for example 15. Data of one major version cannot be read by another.
    pub major: u32,
}

impl PostgresBinaries {
    /// The programs in the folder `bin`; `None` if they are not there, do not run, or are too old.
    pub fn in_folder(bin: &Path) -> Option<Self> {
        let (initdb, postgres) = (bin.join("initdb"), bin.join("postgres"));
        if !initdb.is_file() || !postgres.is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").stderr(Stdio::null()).output().ok()?;
        let major = major_version(&String::from_utf8(output.stdout).ok()?)?;
        (major >= MAJOR_MIN).then_some(Self { initdb, postgres, major })
    }

    /// One of the programs, with the environment and the user that the server has too.
    pub(super) fn command(
        &self,
        program: &Path,
        folder: &Path,
        account: Option<&Account>,
    ) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command.env_clear().envs(super::settings::environment()).current_dir(folder);
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// The first usable PostgreSQL of: `PATH`, the folders that packages use (newest first), and what
/// [`crate::install_postgres`] has unpacked below `tools`.
pub fn find_postgres(tools: &Path) -> Option<PostgresBinaries> {
    candidates(tools).next()
}

pub(super) fn not_installed() -> Error {
    Error::NotInstalled { server: NAME, command: install_command() }
}

/// The command with which a person gets PostgreSQL on this machine.
pub(crate) fn install_command() -> String {
    install::package_command(install::Packages {
        apt: "postgresql",
        dnf: "postgresql-server",
        pacman: "postgresql",
        apk: "postgresql",
        brew: install::BREW_POSTGRES,
    })
    .unwrap_or_else(|| "https://www.postgresql.org/download/".to_owned())
}

/// The given installation, or the first one that can read `data`, which need not exist yet.
pub(super) fn choose(
    given: Option<PostgresBinaries>,
    data: &Path,
    tools: &Path,
) -> Result<PostgresBinaries, Error> {
    let made_by = super::cluster::major_version(data)?;
    let fits = |binaries: &PostgresBinaries| made_by.is_none_or(|major| major == binaries.major);
    let all: Vec<_> = match given {
        Some(binaries) => vec![binaries],
        None => candidates(tools).collect(),
    };
    if let Some(binaries) = all.iter().find(|binaries| fits(binaries)) {
        return Ok(binaries.clone());
    }
    let Some(made_by) = made_by.filter(|_| !all.is_empty()) else { return Err(not_installed()) };
    let available: Vec<_> = all.iter().map(|binaries| binaries.major.to_string()).collect();
    Err(Error::OtherVersion { data: data.to_owned(), made_by, available: available.join(", ") })
}

fn candidates(tools: &Path) -> impl Iterator<Item = PostgresBinaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders
        .extend(VERSIONED.iter().flat_map(|(parent, prefix, bin)| versions(Path::new(parent), prefix, bin)));
    folders.extend(versions(Path::new(POSTGRES_APP), "", "bin"));
    folders.extend(unpacked_bin(tools));
    // A server that root starts runs as another user, who cannot use what is in root's home.
    let account = is_root().then(|| Account::unprivileged().ok()).flatten();
    folders
        .into_iter()
        .filter(move |folder| {
            folder.exists() && account.as_ref().is_none_or(|account| account.reaches(folder))
        })
        .filter_map(|folder| PostgresBinaries::in_folder(&folder))
}

/// Where npm's package is unpacked below `tools`, whether or not it is there.
fn unpacked_bin(tools: &Path) -> Option<PathBuf> {
    let unpacked = folder::settled(&tools.join(install::NPM_FOLDER)).ok()?;
    Some(unpacked.join("package/native/bin"))
}

/// `parent/PREFIX<version>/bin` for each version there, newest first.
fn versions(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let entries = parent.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches(['@', '-']);
            // Homebrew's plain `postgresql` and Postgres.app's `latest` are the newest there.
            let major = version.split('.').next()?.parse().unwrap_or(u32::MAX);
            Some((major, entry.path().join(bin)))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// From `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, or `... 18beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("something else 15\n"), None);
    }
}
