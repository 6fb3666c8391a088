//! A disk that is full: a small file system in memory, on which PostgreSQL lives, and a file that takes what is left of it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Mutex;

use crate::rig::Rig;
use crate::servers::Servers;

/// PostgreSQL keeps up to a GiB of its log, and several databases.
const SIZE: &str = "size=2500m,mode=0755";
/// What is written at once to fill it.
const PIECE: usize = 1 << 20;

/// More files of the log than PostgreSQL has in store.
const FILES_MAX: u32 = 80;

/// A small disk; gone on drop, with all that is on it.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one; the error says why that cannot be done here, mostly because only root may.
    pub(crate) fn mount() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root can mount a small disk");
        let path = PathBuf::from(format!("/var/tmp/matchpurse-disk-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("{}", path.display()))?;
        let mounting = ["-t", "tmpfs", "-o", SIZE, "tmpfs"];
        let mounted = Command::new("mount").args(mounting).arg(&path).stderr(Stdio::piped()).output()?;
        if !mounted.status.success() {
            std::fs::remove_dir(&path)?;
            anyhow::bail!("no disk can be mounted: {}", String::from_utf8_lossy(&mounted.stderr).trim());
        }
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all that is left of it.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        for piece in [vec![0; PIECE], vec![0; 4096]] {
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) || std::fs::remove_dir(&self.path).is_err() {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}

impl Rig {
    /// Fills PostgreSQL's disk for a time, and starts PostgreSQL again where it has given up, as an orchestrator does;
    /// returns when there was room again and it ran.
    pub(crate) async fn fill_database_disk(
        &mut self,
        time: Duration,
        servers: &Mutex<Servers>,
    ) -> Result<Instant> {
        let mut servers = servers.lock().await;
        servers.small_disk()?.fill()?;
        // Some of the time in which tables cannot grow, and some in which the log cannot either.
        tokio::time::sleep(time / 2).await;
        self.use_up_the_log().await?;
        tokio::time::sleep(time / 2).await;
        servers.small_disk()?.free()?;
        let mut back = Instant::now();
        let postgres = servers.postgres()?;
        if postgres.has_ended() {
            println!("PostgreSQL has given up, and is started again");
            postgres.restart().await?;
            back = Instant::now();
        }
        drop(servers);
        self.system.reconnect_until_it_answers().await?;
        Ok(back)
    }

    /// Makes PostgreSQL go from file to file of its log until there is no other. It keeps a few in store, which would last
    /// longer than any fault.
    async fn use_up_the_log(&self) -> Result<()> {
        let sql = "SELECT pg_logical_emit_message(true, 'chaos', 'more'); SELECT pg_switch_wal()";
        for _ in 0..FILES_MAX {
            if let Err(error) = self.system.client.batch_execute(sql).await {
                println!("PostgreSQL's disk is full: {error}");
                return Ok(());
            }
        }
        anyhow::bail!("PostgreSQL has filled {FILES_MAX} files of its log on a full disk")
    }
}
