use std::io;
use std::path::{Path, PathBuf};

/// Why a private server could not be found, installed, started or stopped.
///
/// Each message is one a newcomer can act on; where the system gave a reason it is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{server} is not installed here; run again with --install, or get it with: {command}")]
    NotInstalled { server: &'static str, command: String },

    #[error(
        "another matchpurse (process {holder}) is using {}; stop it, or choose another folder",
        folder.display()
    )]
    FolderInUse { folder: PathBuf, holder: String },

    #[error(
        "a PostgreSQL that this program did not start (process {pid}) runs on {}; stop it with: kill -INT {pid}",
        data.display()
    )]
    AlreadyRunning { data: PathBuf, pid: u32 },

    #[error("the data in {} belong to user id {owner}; run as that user or as root, or choose another folder", data.display())]
    ForeignData { data: PathBuf, owner: u32 },

    #[error(
        "the data in {} were made by PostgreSQL {made_by}, and only {available} is here; install {made_by}, or remove that folder to begin anew",
        data.display()
    )]
    OtherVersion { data: PathBuf, made_by: u32, available: String },

    #[error("port {port} on 127.0.0.1 is taken by another program; choose another, or none for a free one")]
    PortTaken { port: u16 },

    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody` to run it as"
    )]
    NoUnprivilegedUser,

    #[error("{} is in the way: it should be a folder of root that nobody else may write to", path.display())]
    UntrustedFolder { path: PathBuf },

    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },

    #[error("{program} failed ({status}): {output}")]
    CommandFailed { program: String, status: String, output: String },

    #[error("cannot find a free port on 127.0.0.1")]
    NoFreePort { source: io::Error },

    #[error("{server} ended while it started ({status}); its log {} ends with:\n{tail}", log.display())]
    EndedAtStart { server: &'static str, status: String, log: PathBuf, tail: String },

    #[error("{server} was not ready within {seconds} s; its log {} ends with:\n{tail}", log.display())]
    NotReady { server: &'static str, seconds: u64, log: PathBuf, tail: String },

    #[error("{server} (process {pid}) had to be killed: it did not stop within {seconds} s")]
    DidNotStop { server: &'static str, pid: u32, seconds: u64 },

    #[error("{file} is damaged or not the file it should be: its checksum is {found}, expected {expected}")]
    Checksum { file: String, expected: String, found: String },

    #[error("cannot install {server} here: {reason}")]
    CannotInstall { server: &'static str, reason: String },
}

impl Error {
    /// For `map_err`: what was tried with which path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
