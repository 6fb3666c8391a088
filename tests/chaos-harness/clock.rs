//! A service whose clock is wrong, by libfaketime: it is put before the C library's functions, and reads from a file by how
//! much they are to lie. Clocks that only measure stay true, as they do when somebody sets a machine's time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::rig::Rig;
use crate::system::service::Service;
use crate::system::sources::now;

/// Where distributions have it, below a folder of libraries.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Where it is, if it is.
pub(crate) fn library() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).to_vec();
    let architectures = Path::new("/usr/lib").read_dir().into_iter().flatten().flatten();
    folders.extend(architectures.map(|entry| entry.path()));
    folders.into_iter().map(|folder| folder.join(LIBRARY)).find(|library| library.is_file())
}

impl Rig {
    /// Has a service's clock jump by so many seconds, and back after a time; returns when it was right again.
    pub(crate) async fn move_clock(&mut self, service: Service, by: i64, time: Duration) -> Result<Instant> {
        let file = self.file("clock");
        std::fs::write(&file, "+0\n")?;
        let library = library().context("there is no libfaketime")?;
        let variables = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.system.vary(service, variables.clone());
        self.system.roll(service).await?;
        let pid = self.system.service(service)?.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        ensure!(maps.contains(LIBRARY), "{} runs without libfaketime", service.name());
        std::fs::write(&file, format!("{by:+}\n"))?;
        // A fault that does not happen proves nothing.
        let told = Command::new("date").arg("+%s").envs(variables).output()?;
        let told: i64 = String::from_utf8_lossy(&told.stdout).trim().parse().context("no time")?;
        let off = told - now().seconds();
        ensure!((off - by).abs() < 30, "libfaketime does not work: {off} s instead of {by} s");
        tokio::time::sleep(time).await;
        std::fs::write(&file, "+0\n")?;
        // From its next start on without.
        self.system.vary(service, Vec::new());
        Ok(Instant::now())
    }
}
