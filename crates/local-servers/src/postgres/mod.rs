//! A private PostgreSQL.
//!
//! Inside its folder: `lock`, `data` (made by `initdb` on the first start), `postgres.log` and, of the start
//! before, `postgres.old.log`. The socket is in `data`, where only the server's user can open it; over TCP
//! everyone on this machine is trusted, so nothing but play money belongs here.

mod binaries;
mod cluster;
mod probe;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use binaries::{NAME, install_command};
pub use binaries::{PostgresBinaries, find_postgres};
use tokio::time::{Instant, MissedTickBehavior};

use crate::account::{Account, is_root};
use crate::error::Error;
use crate::folder::{self, Folder};
use crate::process::{Launch, Process, Signal};
use crate::tls::ServerTls;
use crate::{output, ports};

/// Recovery after a crash may take longer than a start; a server that needs more than this is stuck.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A fast shutdown rolls back what runs and writes a checkpoint.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a server that starts.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often another free port is tried when somebody was faster.
const PORT_TRIES_MAX: u32 = 5;

/// Where a private PostgreSQL keeps its data, and what it runs.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Kept between runs. If the unprivileged user that root must run PostgreSQL as cannot reach it, a folder
    /// below `/var/tmp` is used; [`Postgres::instead_of`] then says so.
    pub data_dir: PathBuf,
    /// `None`: an installation that can read the data, see [`find_postgres`].
    pub binaries: Option<PostgresBinaries>,
    /// `None`: a free port.
    pub port: Option<u16>,
    /// What it shows who asks for TLS; it takes plain text besides.
    pub tls: Option<ServerTls>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { data_dir: ".matchpurse/postgres".into(), binaries: None, port: None, tls: None }
    }
}

/// A running private PostgreSQL; stops with [`Postgres::stop`], when dropped, or when this process ends.
pub struct Postgres {
    // Dropped in this order: the server ends before its folder is unlocked or deleted.
    process: Process,
    folder: Folder,
    binaries: PostgresBinaries,
    account: Option<Account>,
    port: u16,
    tls: Option<ServerTls>,
}

impl Postgres {
    /// Starts on a kept folder, made on the first start, and waits until connections are accepted.
    pub async fn start(options: PostgresOptions) -> Result<Self, Error> {
        if let Some(port) = options.port.filter(|port| ports::is_taken(*port)) {
            return Err(Error::PortTaken { port });
        }
        let account = Account::for_postgres(&folder::settled(&options.data_dir)?.join("data"))?;
        let folder = Folder::open(&options.data_dir, account.as_ref())?;
        let tools = options.data_dir.parent().unwrap_or(Path::new("."));
        let binaries = binaries::choose(options.binaries, &folder.path().join("data"), tools)?;
        let tls = options.tls.map(|tls| tls.settle(&folder, account.as_ref())).transpose()?;
        Self::start_in(folder, binaries, account, options.port, tls).await
    }

    /// Starts on a new folder that is deleted when the server stops. Durable like any other: what is
    /// committed survives [`Postgres::kill9`] and [`Postgres::restart`].
    pub async fn start_temporary() -> Result<Self, Error> {
        let binaries = find_postgres(Path::new(".matchpurse")).ok_or_else(binaries::not_installed)?;
        Self::start_temporary_with(binaries).await
    }

    /// [`Postgres::start_temporary`] with a given installation.
    pub async fn start_temporary_with(binaries: PostgresBinaries) -> Result<Self, Error> {
        let account = is_root().then(Account::unprivileged).transpose()?;
        let folder = Folder::temporary(account.as_ref())?;
        Self::start_in(folder, binaries, account, None, None).await
    }

    async fn start_in(
        folder: Folder,
        binaries: PostgresBinaries,
        account: Option<Account>,
        port: Option<u16>,
        tls: Option<ServerTls>,
    ) -> Result<Self, Error> {
        cluster::create_if_missing(&folder, &binaries, account.as_ref()).await?;
        let log = log_file(&folder);
        if log.exists() {
            let old = log.with_extension("old.log");
            fs::rename(&log, &old).map_err(Error::file("rename the log to", &old))?;
        }
        let (process, port) = launch(&folder, &binaries, account.as_ref(), port, tls.as_ref()).await?;
        Ok(Self { process, folder, binaries, account, port, tls })
    }

    /// For the superuser and the database `postgres`; both may be changed in the URL once others exist.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder that really is in use.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that was asked for, if another had to be used: say so to the user.
    pub fn instead_of(&self) -> Option<&Path> {
        self.folder.instead_of()
    }

    pub fn log_file(&self) -> PathBuf {
        log_file(&self.folder)
    }

    pub fn binaries(&self) -> &PostgresBinaries {
        &self.binaries
    }

    /// Whether the server has ended by itself: it does, for example, when it cannot write its log.
    pub fn has_ended(&self) -> bool {
        self.process.ended().is_some()
    }

    /// Waits for the end of the server, which is a surprise unless the caller asked for it.
    pub async fn ended(&self) {
        self.process.wait().await;
    }

    /// A crash: the server and its sessions are killed and get no chance to finish anything. When this
    /// returns nothing more is written or committed (but on macOS sessions end a moment later).
    pub async fn kill9(&mut self) {
        self.process.signal(Signal::Kill);
        self.process.wait().await;
        cluster::kill_orphans(&self.folder.path().join("data")).await;
    }

    /// An immediate stop (`pg_ctl stop -m immediate`): sessions are cut off in the middle of their transactions
    /// and no checkpoint is written, so the next start begins with a crash recovery. Unlike
    /// [`Postgres::kill9`] the server itself ends its sessions, on every system.
    pub async fn stop_immediately(&mut self) -> Result<(), Error> {
        self.process.stop(Signal::Quit, STOP_PATIENCE).await
    }

    /// Starts again on the same data and port, after [`Postgres::kill9`] and [`Postgres::stop_immediately`] with
    /// a crash recovery; a running server is stopped first.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.stop(Signal::Interrupt, STOP_PATIENCE).await?;
        let (process, port) =
            launch(&self.folder, &self.binaries, self.account.as_ref(), Some(self.port), self.tls.as_ref())
                .await?;
        self.process = process;
        self.port = port;
        Ok(())
    }

    /// Stops and waits until no process is left. Open sessions are ended and their transactions rolled back;
    /// a temporary folder is deleted.
    pub async fn stop(self) -> Result<(), Error> {
        self.process.stop(farewell(&self.folder), STOP_PATIENCE).await
    }
}

/// Nobody needs the checkpoint of data that is deleted next, so a temporary server stops at once; `QUIT`
/// still gives shared memory back, which a kill would leave in the system.
fn farewell(folder: &Folder) -> Signal {
    if folder.is_temporary() { Signal::Quit } else { Signal::Interrupt }
}

fn log_file(folder: &Folder) -> PathBuf {
    folder.path().join("postgres.log")
}

/// Starts the server and waits until it accepts connections. Two failures are tried again: another program
/// was faster at a port that we chose, and sessions of a killed server have not ended yet.
async fn launch(
    folder: &Folder,
    binaries: &PostgresBinaries,
    account: Option<&Account>,
    fixed_port: Option<u16>,
    tls: Option<&ServerTls>,
) -> Result<(Process, u16), Error> {
    let data = folder.path().join("data");
    let log = log_file(folder);
    let deadline = Instant::now() + START_PATIENCE;
    let compression = settings::wal_compression(binaries, &data, account).await;
    let mut port_tries = 0;
    loop {
        cluster::wait_for_the_last_server(&data).await?;
        let port = match fixed_port {
            Some(port) => port,
            None => {
                let [port] = ports::free()?;
                port
            }
        };
        let log_start = log.metadata().map_or(0, |log| log.len());
        let process = Process::start(Launch {
            name: NAME,
            program: &binaries.postgres,
            args: settings::arguments(&data, port, compression, tls),
            env: settings::environment(),
            folder: folder.path(),
            account,
            log: &log,
            farewell: farewell(folder),
        })
        .await?;
        let Some(status) = ready_or_ended(&process, port, deadline).await else {
            return Ok((process, port));
        };
        let tail = output::tail(&log, log_start);
        if process.ended().is_none() {
            return Err(Error::NotReady { server: NAME, seconds: START_PATIENCE.as_secs(), log, tail });
        }
        let port_taken = tail.contains("Address already in use");
        let sessions_left = tail.contains("is still in use");
        match fixed_port {
            Some(port) if port_taken => return Err(Error::PortTaken { port }),
            None if port_taken && port_tries < PORT_TRIES_MAX => port_tries += 1,
            _ if sessions_left && Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            _ => return Err(Error::EndedAtStart { server: NAME, status, log, tail }),
        }
    }
}

/// `None` once the server accepts connections, otherwise why it does not.
async fn ready_or_ended(process: &Process, port: u16, deadline: Instant) -> Option<String> {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // In this order: who answers on the port of a server that has ended is somebody else.
        let answers = probe::accepts_connections(port).await;
        match process.ended() {
            Some(status) => return Some(status),
            None if answers => return None,
            None if Instant::now() > deadline => return Some("still starting".to_owned()),
            None => {}
        }
    }
}
