//! The folder of one server: locked while the server lives, reachable for the user it runs as, and, if it is
//! temporary, deleted at the end.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::account::{Account, is_root};

/// Begins the name of every temporary folder; what a killed run left behind is found by it.
const TEMPORARY_PREFIX: &str = "matchpurse-temporary-";
/// A temporary folder without a lock is younger than this while it is being made.
const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(600);
/// Writable for everyone and reachable from everywhere, and, unlike `/tmp`, kept over a restart.
const SHARED_FOLDER: &str = "/var/tmp";

pub(crate) struct Folder {
    path: PathBuf,
    temporary: bool,
    /// The folder that was asked for, if the server's user could not reach it.
    instead_of: Option<PathBuf>,
    /// Held, never read: closing it gives the folder free.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be and locks it.
    pub(crate) fn open(requested: &Path, account: Option<&Account>) -> Result<Self, Error> {
        let path = reachable(requested, account)?;
        let lock = lock(&path)?;
        let instead_of = (path != absolute(requested)?).then(|| requested.to_owned());
        if let Some(requested) = &instead_of {
            tracing::warn!(requested = %requested.display(), used = %path.display(),
                "the unprivileged user that PostgreSQL runs as cannot reach the folder; using another");
        }
        Ok(Self { path, temporary: false, instead_of, _lock: lock })
    }

    /// A new folder among the system's temporary files, deleted when dropped.
    pub(crate) fn temporary(account: Option<&Account>) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut parent = std::env::temp_dir();
        if account.is_some_and(|account| !account.reaches(&parent)) {
            parent = PathBuf::from(SHARED_FOLDER);
        }
        remove_leftovers(&parent);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{TEMPORARY_PREFIX}{}-{count}-{now:x}", std::process::id()));
        let mode = if account.is_some() { 0o755 } else { 0o700 };
        // Fails if it exists: nobody can have prepared it.
        DirBuilder::new().mode(mode).create(&path).map_err(Error::file("create the folder", &path))?;
        set_mode(&path, mode)?;
        let lock = lock(&path)?;
        Ok(Self { path, temporary: true, instead_of: None, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(crate) fn instead_of(&self) -> Option<&Path> {
        self.instead_of.as_deref()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove a temporary folder");
        }
    }
}

/// `requested`, made if need be, or, where `account` cannot reach it (a home folder of root is closed to
/// everyone else), a folder of the same purpose that it can reach.
pub(crate) fn reachable(requested: &Path, account: Option<&Account>) -> Result<PathBuf, Error> {
    let requested = absolute(requested)?;
    let Some(account) = account else {
        fs::create_dir_all(&requested).map_err(Error::file("create the folder", &requested))?;
        return Ok(requested);
    };
    let place = substitute(&requested);
    if settled(&requested)? == place {
        return trusted(place);
    }
    let existing = requested.ancestors().find(|part| part.exists());
    if existing.is_some_and(|part| account.reaches(part)) {
        fs::create_dir_all(&requested).map_err(Error::file("create the folder", &requested))?;
        if !account.reaches(&requested) {
            // A strict umask of root closed what was just made.
            set_mode(&requested, 0o755)?;
        }
        if account.reaches(&requested) {
            return Ok(requested);
        }
    }
    DirBuilder::new().mode(0o755).create(&place).map_err(Error::file("create the folder", &place))?;
    set_mode(&place, 0o755)?;
    trusted(place)
}

/// Where the data of `requested` are, or would go, as far as can be told before anything is made. A
/// substitute that exists holds earlier data, even if the requested folder has become reachable since.
pub(crate) fn settled(requested: &Path) -> Result<PathBuf, Error> {
    let requested = absolute(requested)?;
    let place = substitute(&requested);
    Ok(if is_root() && place.exists() { place } else { requested })
}

/// Where [`reachable`] goes instead of `requested`: always the same place for the same folder.
fn substitute(requested: &Path) -> PathBuf {
    let digest = Sha256::digest(requested.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Path::new(SHARED_FOLDER).join(format!("matchpurse-{name}"))
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::file("find the folder", path))
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::file("set the mode of", path))
}

/// The shared folder is open to all, so somebody may have made `place` first, to have root write there.
fn trusted(place: PathBuf) -> Result<PathBuf, Error> {
    let found = place.symlink_metadata().map_err(Error::file("look at", &place))?;
    let ours = found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0;
    if ours { Ok(place) } else { Err(Error::UntrustedFolder { path: place }) }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(Error::file("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(Error::file("read the lock", &path))?;
            return Err(Error::FolderInUse { folder: folder.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    let write = |file: &mut File| file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    write(&mut file).map_err(Error::file("write the lock", &path))?;
    Ok(file)
}

/// Removes the temporary folders of runs that were killed. Best effort: a folder that cannot be removed is
/// another user's, or in use.
fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()))
    {
        let path = entry.path();
        let old = entry.metadata().is_ok_and(|found| {
            found.is_dir()
                && found.uid() == rustix::process::geteuid().as_raw()
                && found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE_MIN))
        });
        if old && let Ok(_held) = lock(&path) {
            tracing::debug!(folder = %path.display(), "removing what a killed run left");
            drop(fs::remove_dir_all(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary folder as a run makes it, `age` ago.
    fn folder(parent: &Path, name: &str, age: Duration) -> (PathBuf, File) {
        let path = parent.join(format!("{TEMPORARY_PREFIX}{name}"));
        fs::create_dir(&path).unwrap();
        let lock = lock(&path).unwrap();
        File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        (path, lock)
    }

    #[test]
    fn what_killed_runs_left_is_removed_and_nothing_else() {
        let parent = std::env::temp_dir().join(format!("leftovers-test-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let hour = Duration::from_secs(3600);
        let (left, lock) = folder(&parent, "left", hour);
        drop(lock);
        let (in_use, _lock) = folder(&parent, "in-use", hour);
        let (being_made, lock) = folder(&parent, "being-made", Duration::ZERO);
        drop(lock);
        let foreign = parent.join("something-else");
        fs::create_dir(&foreign).unwrap();

        remove_leftovers(&parent);

        let there = [&left, &in_use, &being_made, &foreign].map(|path| path.exists());
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(there, [false, true, true, true]);
    }
}
