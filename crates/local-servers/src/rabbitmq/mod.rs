//! A private RabbitMQ, with its own port mapper (`epmd`), cookie and plugins.
//!
//! Inside its folder: `lock`, `mnesia` (the queues), `log`, the configuration, which is written anew at each
//! start, and `home` with the cookie. The port mapper is a child of ours like the broker: the one that a node
//! starts by itself would stay behind for ever.

mod binaries;
mod configuration;
mod probe;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use binaries::{NAME, install_command};
pub use binaries::{RabbitmqBinaries, find_rabbitmq};
use configuration::Ports;

use crate::error::Error;
use crate::folder::Folder;
use crate::process::{Launch, Process, Signal};
use crate::tls::ServerTls;
use crate::{output, ports};

/// A start takes 3 to 8 s on an idle machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often other free ports are tried when somebody was faster at one.
const PORT_TRIES_MAX: u32 = 5;

/// Where a private RabbitMQ keeps its queues, and what it runs.
#[derive(Clone, Debug)]
pub struct RabbitmqOptions {
    /// Kept between runs.
    pub data_dir: PathBuf,
    /// `None`: see [`find_rabbitmq`].
    pub binaries: Option<RabbitmqBinaries>,
    /// The AMQP port; `None`: a free one.
    pub port: Option<u16>,
    /// What it shows on a port of its own for AMQP over TLS; without it there is none.
    pub tls: Option<ServerTls>,
}

impl Default for RabbitmqOptions {
    fn default() -> Self {
        Self { data_dir: ".matchpurse/rabbitmq".into(), binaries: None, port: None, tls: None }
    }
}

/// A running private RabbitMQ; stops with [`Rabbitmq::stop`], when dropped, or when this process ends.
pub struct Rabbitmq {
    // Dropped in this order: the broker leaves its port mapper, which ends before the folder is deleted.
    broker: Process,
    port_mapper: Process,
    folder: Folder,
    binaries: RabbitmqBinaries,
    ports: Ports,
}

impl Rabbitmq {
    /// Starts on a kept folder and waits until AMQP and management answer.
    pub async fn start(options: RabbitmqOptions) -> Result<Self, Error> {
        let binaries = binaries::choose(options.binaries)?;
        let folder = Folder::open(&options.data_dir, None)?;
        let tls = options.tls.map(|tls| tls.settle(&folder, None)).transpose()?;
        Self::start_in(folder, binaries, options.port, tls).await
    }

    /// Starts on a new folder that is deleted when the server stops.
    pub async fn start_temporary() -> Result<Self, Error> {
        Self::start_in(Folder::temporary(None)?, binaries::choose(None)?, None, None).await
    }

    async fn start_in(
        folder: Folder,
        binaries: RabbitmqBinaries,
        port: Option<u16>,
        tls: Option<ServerTls>,
    ) -> Result<Self, Error> {
        if let Some(port) = port.filter(|port| ports::is_taken(*port)) {
            return Err(Error::PortTaken { port });
        }
        let mut tries = 0;
        loop {
            let ports = Ports::choose(port)?;
            configuration::write(folder.path(), &ports, tls.as_ref())?;
            let started = match start_port_mapper(&folder, &binaries, &ports).await {
                Ok(port_mapper) => {
                    launch(&folder, &binaries, &ports).await.map(|broker| (broker, port_mapper))
                }
                Err(error) => Err(error),
            };
            match started {
                Ok((broker, port_mapper)) => {
                    return Ok(Self { broker, port_mapper, folder, binaries, ports });
                }
                Err(Error::EndedAtStart { .. }) if tries < PORT_TRIES_MAX && ports.any_taken() => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// For the user `guest` and the virtual host `/`. Heartbeats and a connection time-out are set, because
    /// clients have none otherwise; whoever changes the virtual host keeps the query.
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f?heartbeat=10&connection_timeout=5000", self.ports.amqp)
    }

    /// The management API, without a path; the user and the password are both `guest`.
    pub fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.ports.management)
    }

    /// Where Prometheus scrapes the broker.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.prometheus)
    }

    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port for AMQP over TLS, where it was started with [`RabbitmqOptions::tls`].
    pub fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// The process id of the broker.
    pub fn pid(&self) -> u32 {
        self.broker.pid()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log_file(&self) -> PathBuf {
        log_file(&self.folder)
    }

    /// Waits for the end of the broker, which is a surprise unless the caller asked for it.
    pub async fn ended(&self) {
        self.broker.wait().await;
    }

    /// A crash: the broker is killed and gets no chance to finish anything.
    ///
    /// RabbitMQ 3.10 loses confirmed messages, and never confirms another, if it is killed within about a
    /// second of the *declaration* of a quorum queue: a fault test waits 3 s after it has declared.
    pub async fn kill9(&mut self) {
        self.broker.signal(Signal::Kill);
        self.broker.wait().await;
    }

    /// Starts again on the same queues and ports, after [`Rabbitmq::kill9`] or not; a running broker is
    /// stopped in order first.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.broker.stop(Signal::Terminate, STOP_PATIENCE).await?;
        self.broker = launch(&self.folder, &self.binaries, &self.ports).await?;
        Ok(())
    }

    /// Runs `rabbitmqctl` on this node: `["set_disk_free_limit", "100000GB"]` raises the alarm of the disk. Takes seconds.
    pub async fn control(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = tokio::process::Command::new(self.binaries.server.with_file_name("rabbitmqctl"));
        command.env_clear().envs(configuration::control_environment(self.folder.path(), &self.ports));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.args(arguments).current_dir(self.folder.path());
        output::run(command).await.map(drop)
    }

    /// Stops and waits until no process is left; a temporary folder is deleted.
    pub async fn stop(self) -> Result<(), Error> {
        self.broker.stop(farewell(&self.folder), STOP_PATIENCE).await?;
        self.port_mapper.stop(Signal::Kill, STOP_PATIENCE).await
    }
}

/// An orderly stop takes seconds, which queues that are deleted next are not worth.
fn farewell(folder: &Folder) -> Signal {
    if folder.is_temporary() { Signal::Kill } else { Signal::Terminate }
}

fn log_file(folder: &Folder) -> PathBuf {
    folder.path().join("log/rabbitmq.log")
}

async fn start_port_mapper(
    folder: &Folder,
    binaries: &RabbitmqBinaries,
    ports: &Ports,
) -> Result<Process, Error> {
    let log = folder.path().join("log/epmd.log");
    let process = Process::start(Launch {
        name: "epmd",
        program: &binaries.epmd,
        args: vec!["-port".into(), ports.epmd.to_string().into(), "-address".into(), "127.0.0.1".into()],
        env: Vec::new(),
        folder: folder.path(),
        account: None,
        log: &log,
        farewell: Signal::Kill,
    })
    .await?;
    wait_ready(&process, &log, 0, async || probe::is_open(ports.epmd).await).await?;
    Ok(process)
}

async fn launch(folder: &Folder, binaries: &RabbitmqBinaries, ports: &Ports) -> Result<Process, Error> {
    // What the node prints before its own log is open, or instead of it when it fails early.
    let log = folder.path().join("log/output.log");
    let log_start = log.metadata().map_or(0, |log| log.len());
    let process = Process::start(Launch {
        name: NAME,
        program: &binaries.server,
        args: Vec::new(),
        env: configuration::environment(folder.path(), ports),
        folder: folder.path(),
        account: None,
        log: &log,
        farewell: farewell(folder),
    })
    .await?;
    let answers =
        async || probe::answers_amqp(ports.amqp).await && probe::answers_management(ports.management).await;
    wait_ready(&process, &log, log_start, answers).await?;
    Ok(process)
}

async fn wait_ready(
    process: &Process,
    log: &Path,
    log_start: u64,
    answers: impl AsyncFn() -> bool,
) -> Result<(), Error> {
    let deadline = Instant::now() + START_PATIENCE;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // In this order: who answers on the port of a server that has ended is somebody else.
        let answers = answers().await;
        let tail = || output::tail(log, log_start);
        match process.ended() {
            Some(status) => {
                return Err(Error::EndedAtStart { server: NAME, status, log: log.to_owned(), tail: tail() });
            }
            None if answers => return Ok(()),
            None if Instant::now() > deadline => {
                let seconds = START_PATIENCE.as_secs();
                return Err(Error::NotReady { server: NAME, seconds, log: log.to_owned(), tail: tail() });
            }
            None => {}
        }
    }
}
