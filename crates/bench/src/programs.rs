//! The programs that are measured, as processes of their own.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::http;
use crate::say;
use crate::usage::{cpu_seconds_of_tree, peak_mib, resident_mib};

/// The packages whose programs are measured.
const MEASURED: [&str; 10] = [
    "matchpurse-ingress",
    "matchpurse-api",
    "matchpurse-match-escrow",
    "matchpurse-reward-fulfillment",
    "matchpurse-player-stats",
    "matchpurse-offer-removal",
    "matchpurse-event-archive",
    "matchpurse-dispatcher",
    "matchpurse-cli",
    "matchpurse-bench",
];
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a program is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The lines of a log that are shown when a program ends by itself.
const SHOWN_LINES: usize = 20;

/// Builds all that is measured, as a release.
pub(crate) fn build() -> Result<()> {
    say("building the programs, as a release");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--bins", "--manifest-path"]).arg(manifest);
    for package in MEASURED {
        command.args(["--package", package]);
    }
    ensure!(command.status()?.success(), "the programs cannot be built");
    Ok(())
}

/// One of them, as it stands beside this program. It gets nothing of the environment but the path to other programs.
pub(crate) fn program(name: &str) -> Result<Command> {
    let folder = std::env::current_exe()?;
    let program = folder.parent().context("this program has no folder")?.join(name);
    ensure!(program.is_file(), "{} is not built", program.display());
    Ok(bare(&program))
}

/// A command without an environment.
pub(crate) fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// Where a program is, that the path leads to.
pub(crate) fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is not there"))
}

/// A running program. It is killed when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes to `FOLDER/NAME.log`.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file: File = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until a page of it answers 200.
    pub(crate) async fn ready(&mut self, address: &str, path: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended instead of getting ready: {status}\n{}", self.name, self.shown_log());
            }
            if let Ok((200, _)) = http::get(address, path).await {
                return Ok(());
            }
            ensure!(begun.elapsed() < START_PATIENCE, "{} is not ready\n{}", self.name, self.shown_log());
            sleep(LOOK_EVERY).await;
        }
    }

    /// That it still runs.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself: {status}\n{}", self.name, self.shown_log());
        }
        Ok(())
    }

    /// CPU seconds so far, with those of its children.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of_tree(self.child.id())
    }

    /// The most memory so far, and what it has now, in MiB.
    pub(crate) fn memory_mib(&self) -> (f64, f64) {
        (peak_mib(self.child.id()), resident_mib(self.child.id()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        self.check()?;
        kill_process(pid, Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < STOP_PATIENCE, "{} does not end\n{}", self.name, self.shown_log());
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn shown_log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(SHOWN_LINES);
        lines.get(start..).unwrap_or_default().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A folder of its own, deleted with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path =
            std::env::temp_dir().join(format!("matchpurse-bench-{}-{}", std::process::id(), free_port()?));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
