//! Debian's packages, without the services and clusters they would start.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::process::Command;

use super::Say;
use crate::error::Error;
use crate::output;

/// Debian asks this program before it starts a service after an installation. Ours refuses the servers we
/// install and nothing else, in case a killed run leaves it behind.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh
# Written by matchpurse while it installs a server, and removed afterwards.
case \"$1\" in postgresql*|rabbitmq-server*|epmd*) exit 101 ;; esac
exit 0
";
/// Without this, the package would create a cluster on port 5432 that starts with the machine.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";
const CLUSTERS_TEXT: &str = "# Written by matchpurse, which needs the programs only.
create_main_cluster = false
";

pub(super) async fn install(package: &str, say: Say<'_>) -> Result<(), Error> {
    say("apt-get update");
    apt_get(&["update", "-q"]).await?;
    let _policy = Policy::put()?;
    if package == "postgresql" && create_new(Path::new(CLUSTERS), CLUSTERS_TEXT, 0o644)? {
        say(&format!("{CLUSTERS} now says that no cluster is made by default"));
    }
    say(&format!("apt-get install -y --no-install-recommends {package}"));
    // `confold`: our file above is kept without a question.
    let keep = "Dpkg::Options::=--force-confold";
    apt_get(&["install", "-y", "-q", "--no-install-recommends", "-o", keep, package]).await
}

async fn apt_get(args: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("apt-get");
    // Another apt-get may be at work on a machine that has just been set up.
    command.args(["-o", "DPkg::Lock::Timeout=120"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    output::run(command).await.map(drop)
}

/// The policy file, if it was ours to write; removed when dropped.
struct Policy(bool);

impl Policy {
    fn put() -> Result<Self, Error> {
        create_new(Path::new(POLICY), POLICY_TEXT, 0o755).map(Self)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = fs::remove_file(POLICY)
        {
            tracing::warn!(file = POLICY, %error, "cannot remove the policy file");
        }
    }
}

/// `false` if the file exists, which is then left as it is.
fn create_new(path: &Path, text: &str, mode: u32) -> Result<bool, Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::file("create the folder", folder))?;
    }
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(Error::file("write", path))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::file("write", path)(error)),
    }
}
