//! One child process that ends when its parent does.
//!
//! A thread of its own spawns the child and waits for it. Linux sends the parent-death signal when the
//! *thread* that spawned the child ends, so a thread of a runtime's pool would not do: it may be retired while
//! the process lives on. The same thread reaps the child, under the lock that [`Process::signal`] takes, so a
//! signal can never reach another process that was given the same number.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::sync::{oneshot, watch};

use crate::Error;
use crate::account::Account;

/// How long a dropped process may take to end before it is killed.
const DROP_WAIT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Interrupt,
    Quit,
    Terminate,
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
        }
    }

    fn number(self) -> rustix::process::Signal {
        match self {
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Quit => rustix::process::Signal::QUIT,
            Self::Terminate => rustix::process::Signal::TERM,
            Self::Kill => rustix::process::Signal::KILL,
        }
    }
}

/// What to start, and how it is to end.
pub(crate) struct Launch<'a> {
    pub(crate) name: &'static str,
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<OsString>,
    /// The whole environment beside `PATH`: what the user's shell has set for other servers must not leak in.
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) folder: &'a Path,
    pub(crate) account: Option<&'a Account>,
    /// Standard output and error are appended here.
    pub(crate) log: &'a Path,
    /// Sent when the parent ends, and when the handle is dropped.
    pub(crate) farewell: Signal,
}

pub(crate) struct Process {
    name: &'static str,
    pid: Pid,
    farewell: Signal,
    state: Arc<State>,
    /// How the process ended, in words, once it has.
    exit: watch::Receiver<Option<String>>,
}

#[derive(Default)]
struct State {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl State {
    fn ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    pub(crate) async fn start(launch: Launch<'_>) -> Result<Self, Error> {
        let mut command = command(&launch)?;
        let watchdog_signal = parent_death_launcher().is_none().then_some(launch.farewell);
        let program = launch.program.display().to_string();
        let state = Arc::new(State::default());
        let (exit_sender, exit) = watch::channel(None);
        let (spawned_sender, spawned) = oneshot::channel();
        let thread_state = Arc::clone(&state);
        std::thread::Builder::new()
            .name(launch.name.to_owned())
            .spawn(move || {
                let spawned = spawn(&mut command, watchdog_signal);
                match spawned {
                    Err(error) => drop(spawned_sender.send(Err(error))),
                    Ok((child, pid, watchdog)) => {
                        drop(spawned_sender.send(Ok(pid)));
                        let status = reap(child, pid, &thread_state);
                        drop(watchdog);
                        exit_sender.send_replace(Some(status));
                    }
                }
            })
            .map_err(|source| Error::Run { program: program.clone(), source })?;
        let lost = || std::io::Error::other("the thread that starts it has ended");
        let pid =
            spawned.await.unwrap_or_else(|_| Err(lost())).map_err(|source| Error::Run { program, source })?;
        Ok(Self { name: launch.name, pid, farewell: launch.farewell, state, exit })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Does nothing once the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let ended = self.state.ended();
        if !*ended && let Err(error) = rustix::process::kill_process(self.pid, signal.number()) {
            tracing::warn!(server = self.name, %error, "cannot signal the server");
        }
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.exit.borrow().clone()
    }

    /// Waits for the end of the process.
    pub(crate) async fn wait(&self) {
        // The sender is dropped only after it has sent, so an error here means the end as well.
        let mut exit = self.exit.clone();
        let _ended = exit.wait_for(Option::is_some).await;
    }

    /// Sends `signal` and waits; after `patience` the process is killed, and that is the error.
    pub(crate) async fn stop(&self, signal: Signal, patience: Duration) -> Result<(), Error> {
        self.signal(signal);
        if tokio::time::timeout(patience, self.wait()).await.is_ok() {
            return Ok(());
        }
        self.signal(Signal::Kill);
        self.wait().await;
        Err(Error::DidNotStop { server: self.name, pid: self.pid(), seconds: patience.as_secs() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for signal in [self.farewell, Signal::Kill] {
            self.signal(signal);
            let (ended, _timeout) = self
                .state
                .changed
                .wait_timeout_while(self.state.ended(), DROP_WAIT, |ended| !*ended)
                .unwrap_or_else(PoisonError::into_inner);
            if *ended {
                return;
            }
        }
    }
}

fn command(launch: &Launch<'_>) -> Result<Command, Error> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(launch.log)
        .map_err(Error::file("write the log", launch.log))?;
    let errors = log.try_clone().map_err(Error::file("write the log", launch.log))?;
    let mut command = match parent_death_launcher() {
        Some(launcher) => {
            let mut command = Command::new(launcher);
            command.args(["--pdeathsig", launch.farewell.name(), "--"]).arg(launch.program);
            command
        }
        None => Command::new(launch.program),
    };
    command.args(&launch.args).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(launch.folder).stdin(Stdio::null()).stdout(log).stderr(errors);
    // A group of its own: Ctrl-C in a terminal goes to the parent, which then stops its servers in order.
    command.process_group(0);
    if let Some(account) = launch.account {
        command.uid(account.uid).gid(account.gid);
    }
    Ok(command)
}

fn spawn(
    command: &mut Command,
    watchdog_signal: Option<Signal>,
) -> std::io::Result<(Child, Pid, Option<Watchdog>)> {
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let watchdog = match watchdog_signal.map(|signal| Watchdog::start(pid, signal)).transpose() {
        Ok(watchdog) => watchdog,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    };
    Ok((child, pid, watchdog))
}

/// Waits for the end first and collects the child second, so that its number stays taken until no signal can
/// be on its way.
fn reap(mut child: Child, pid: Pid, state: &State) -> String {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
    let mut ended = state.ended();
    let status = child.wait();
    *ended = true;
    state.changed.notify_all();
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// util-linux's `setpriv`, which asks the kernel to signal the server when its parent ends. BusyBox has a
/// `setpriv` without that, and macOS has none, so it is tried, not assumed.
fn parent_death_launcher() -> Option<&'static Path> {
    static LAUNCHER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let program = PathBuf::from("setpriv");
        let mut trial = Command::new(&program);
        trial.args(["--pdeathsig", "KILL", "--", "true"]).stdin(Stdio::null());
        let works = trial.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        works.then_some(program)
    };
    LAUNCHER.get_or_init(find).as_deref()
}

/// For where the kernel offers no parent-death signal: a shell that reads from a pipe only the parent holds.
/// The read ends when the parent does, and then it signals the server.
struct Watchdog(Child);

impl Watchdog {
    fn start(pid: Pid, signal: Signal) -> std::io::Result<Self> {
        let script = format!("read -r _; kill -{} {}", signal.name(), pid.as_raw_nonzero());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).process_group(0).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed before its pipe closes: the server has ended, and its number may be another's by now.
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::warn!(%error, "cannot end a watchdog");
        }
    }
}
