//! The data folder: made once, whole or not at all, and never run by two servers.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::binaries::{NAME, PostgresBinaries};
use crate::account::Account;
use crate::error::Error;
use crate::folder::{Folder, set_mode};
use crate::output;

/// How long the server of a killed run may take to notice and to stop.
const LAST_SERVER_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The major version that made `data`; `None` if it has not been made yet.
pub(super) fn major_version(data: &Path) -> Result<Option<u32>, Error> {
    let file = data.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", &file)(error)),
    }
}

/// Runs `initdb` beside the final place and moves the result there, so that a run killed in the middle leaves
/// nothing that looks like data.
pub(super) async fn create_if_missing(
    folder: &Folder,
    binaries: &PostgresBinaries,
    account: Option<&Account>,
) -> Result<(), Error> {
    let data = folder.path().join("data");
    if data.exists() {
        return Ok(());
    }
    let unfinished = folder.path().join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file("remove", &unfinished))?;
    }
    fs::create_dir(&unfinished).map_err(Error::file("create the folder", &unfinished))?;
    set_mode(&unfinished, 0o700)?;
    if let Some(account) = account {
        chown(&unfinished, Some(account.uid), Some(account.gid))
            .map_err(Error::file("change the owner of", &unfinished))?;
    }
    let mut command = binaries.command(&binaries.initdb, folder.path(), account);
    command.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
    ]);
    if folder.is_temporary() {
        command.arg("--no-sync");
    }
    command.arg("-D").arg(&unfinished);
    output::run(command).await?;
    fs::rename(&unfinished, &data).map_err(Error::file("rename the new data to", &data))
}

/// The lock of the folder is ours, so a server that still runs on `data` belongs to a killed run and is about
/// to stop. A `postmaster.pid` without such a server is stale: PostgreSQL takes it for live if another process
/// has its number by now, which is common in containers.
pub(super) async fn wait_for_the_last_server(data: &Path) -> Result<(), Error> {
    let file = data.join("postmaster.pid");
    let deadline = Instant::now() + LAST_SERVER_PATIENCE;
    let mut warned = false;
    loop {
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        let pid = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| runs_on(*pid, data)) else {
            // PostgreSQL itself looks at its shared memory too, and still refuses if sessions are left.
            return fs::remove_file(&file).map_err(Error::file("remove the stale", &file));
        };
        if Instant::now() > deadline {
            return Err(Error::AlreadyRunning { data: data.to_owned(), pid });
        }
        if !warned {
            tracing::info!(pid, "waiting for the {NAME} of an earlier run to stop");
            warned = true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Kills the sessions that a killed server has left, and waits until they are gone. An idle session ends by
/// itself, but one that computes would go on and might still commit.
#[cfg(target_os = "linux")]
pub(super) async fn kill_orphans(data: &Path) {
    loop {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let orphans: Vec<u32> = pids.filter(|pid| runs_on(*pid, data)).collect();
        if orphans.is_empty() {
            return;
        }
        for pid in orphans.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            if let Err(error) = kill_process(pid, Signal::KILL) {
                tracing::debug!(%error, "a session has ended before it was killed");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Elsewhere the sessions of a process are not so easily found; idle ones end by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) async fn kill_orphans(_data: &Path) {}

/// Whether process `pid` is a PostgreSQL on `data`: it works in its data folder.
#[cfg(target_os = "linux")]
fn runs_on(pid: u32, data: &Path) -> bool {
    let Ok(data) = data.canonicalize() else { return false };
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data)
}

#[cfg(not(target_os = "linux"))]
fn runs_on(pid: u32, data: &Path) -> bool {
    let mut command = std::process::Command::new("ps");
    command.args(["-o", "command=", "-p", &pid.to_string()]);
    let Ok(output) = command.output() else { return false };
    let line = String::from_utf8_lossy(&output.stdout);
    line.contains("postgres") && line.contains(&*data.to_string_lossy())
}
