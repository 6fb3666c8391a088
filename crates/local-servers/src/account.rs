//! The unprivileged user that PostgreSQL runs as when this process is root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// Tried in this order; the first comes with distributions' PostgreSQL packages, the second with any Unix.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `None` unless this process is root. An existing data folder decides: a user who once ran
    /// matchpurse as root can go on without root, and the other way round.
    pub(crate) fn for_postgres(data: &Path) -> Result<Option<Self>, Error> {
        let me = rustix::process::geteuid().as_raw();
        let owner = data.metadata().ok().map(|data| Self { uid: data.uid(), gid: data.gid() });
        match owner {
            Some(owner) if me != 0 && owner.uid != me => {
                Err(Error::ForeignData { data: data.to_owned(), owner: owner.uid })
            }
            _ if me != 0 => Ok(None),
            Some(owner) if owner.uid != 0 => Ok(Some(owner)),
            _ => Self::unprivileged().map(Some),
        }
    }

    pub(crate) fn unprivileged() -> Result<Self, Error> {
        CANDIDATES.into_iter().find_map(Self::named).ok_or(Error::NoUnprivilegedUser)
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { uid: id("-u", name)?, gid: id("-g", name)? })
    }

    /// Whether this user can walk to `path`, which must exist: search permission on it and on every folder
    /// above it. Access lists beyond the mode bits are not looked at.
    pub(crate) fn reaches(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        path.ancestors().all(|part| part.metadata().is_ok_and(|part| self.may_search(&part)))
    }

    fn may_search(&self, part: &std::fs::Metadata) -> bool {
        let mode = part.permissions().mode();
        let bit = if part.uid() == self.uid {
            0o100
        } else if part.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }
}

/// Whether this process is root, so that a server which refuses root needs an [`Account`].
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([what, name]).stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
