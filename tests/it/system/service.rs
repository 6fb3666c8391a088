//! One program as a process of its own.

use std::fs::{File, OpenOptions};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::http::Request;
use super::until;

/// The lines of a log that are shown when a test fails.
const SHOWN_LINES: usize = 40;

/// A service: the ingress, a worker, the dispatcher, the reconciler or the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ingress,
    MatchEscrow,
    RewardFulfillment,
    PlayerStats,
    OfferRemoval,
    EventArchive,
    Dispatcher,
    Reconciler,
    Api,
}

impl Service {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ingress,
        Self::MatchEscrow,
        Self::RewardFulfillment,
        Self::PlayerStats,
        Self::OfferRemoval,
        Self::EventArchive,
        Self::Dispatcher,
        Self::Reconciler,
        Self::Api,
    ];

    /// The name of the program, without its prefix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::MatchEscrow => "match-escrow",
            Self::RewardFulfillment => "reward-fulfillment",
            Self::PlayerStats => "player-stats",
            Self::OfferRemoval => "offer-removal",
            Self::EventArchive => "event-archive",
            Self::Dispatcher => "dispatcher",
            Self::Reconciler => "reconciler",
            Self::Api => "api",
        }
    }

    /// Its table in the configuration.
    pub(crate) fn section(self) -> String {
        match self {
            Self::Ingress | Self::Dispatcher | Self::Reconciler | Self::Api => self.name().to_owned(),
            _ => format!("workers.{}", self.name().replace('-', "_")),
        }
    }
}

/// A program of this workspace, as it was built beside this test. It gets nothing of the environment but the
/// path to other programs.
pub(crate) fn program(name: &str) -> Result<Command> {
    let test = std::env::current_exe()?;
    program_in(test.parent().and_then(Path::parent).context("the test binary has no folder")?, name)
}

fn program_in(folder: &Path, name: &str) -> Result<Command> {
    let program = folder.join(name);
    ensure!(program.is_file(), "{} is not built: run tests/run, which builds it", program.display());
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    Ok(command)
}

/// A running service. It is killed when dropped.
pub(crate) struct Running {
    pub(crate) service: Service,
    child: Child,
    log: PathBuf,
    admin: String,
}

impl Running {
    /// Starts it, as it was built beside this test or as it is in the folder `programs`, with these variables; its log is
    /// appended to `FOLDER/NAME.log`.
    pub(crate) fn start(
        service: Service,
        programs: Option<&Path>,
        config: &Path,
        variables: &[(String, String)],
        admin: &str,
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join(format!("{}.log", service.name()));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let name = format!("matchpurse-{}", service.name());
        let mut command = programs.map_or_else(|| program(&name), |folder| program_in(folder, &name))?;
        let child = command
            .arg("--config")
            .arg(config)
            .envs(variables.iter().cloned())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {}", service.name()))?;
        Ok(Self { service, child, log, admin: admin.to_owned() })
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self, patience: Duration) -> Result<()> {
        let name = self.service.name();
        let admin = self.admin.clone();
        until(&format!("{name} is ready"), patience, async || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended instead of getting ready: {status}");
            }
            let answer = Request::new("GET", "/readyz", b"").send(&admin).await;
            Ok(match answer {
                Ok(answer) if answer.status == 200 => None,
                Ok(answer) => Some(answer.body),
                Err(error) => Some(format!("{error:#}")),
            })
        })
        .await
    }

    /// The operators' port.
    pub(crate) fn admin_address(&self) -> &str {
        &self.admin
    }

    /// What it counts, as Prometheus reads it.
    pub(crate) async fn metrics(&self) -> Result<String> {
        Ok(Request::new("GET", "/metrics", b"").send(&self.admin).await?.body)
    }

    /// A page of the operators' port.
    pub(crate) async fn admin(&self, path: &str) -> Result<String> {
        Ok(Request::new("GET", path, b"").send(&self.admin).await?.body)
    }

    /// Ends it without a warning.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its process.
    #[allow(dead_code, reason = "the kill harness looks into it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let mut ended = None;
        until(&format!("{} has stopped", self.service.name()), patience, async || {
            ended = self.child.try_wait()?;
            Ok(ended.is_none().then(|| "it runs".to_owned()))
        })
        .await?;
        ended.context("no exit status")
    }

    /// The end of its log.
    pub(crate) fn shown_log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(SHOWN_LINES);
        format!("--- {}:\n{}\n", self.log.display(), lines.get(start..).unwrap_or_default().join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that nobody listens on, outside of the range from which the system takes ports for connections, so
/// that a service that is killed and started again finds its port free.
///
/// Until this process ends no other test gets it, nor tries whether it is free: that is told by the UDP port of the same
/// number, which nobody uses otherwise. Two tests that start at once chose the same one else, now and then.
pub(crate) fn free_port() -> Result<u16> {
    use std::io::Read as _;
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let mut random = File::open("/dev/urandom")?;
    loop {
        let mut bytes = [0; 2];
        random.read_exact(&mut bytes)?;
        let port = 20_000 + u16::from_be_bytes(bytes) % 12_000;
        let Ok(reserved) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
            return Ok(port);
        }
    }
}

#[test]
fn a_port_is_given_to_nobody_else() -> Result<()> {
    let ports = (0..400).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
    let different: std::collections::BTreeSet<_> = ports.iter().collect();
    assert_eq!(different.len(), ports.len());
    Ok(())
}
