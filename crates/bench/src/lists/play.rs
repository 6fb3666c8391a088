//! The play whose rows are copied, and the API on what came of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::config::SOURCES;
use crate::programs::{Running, free_port, program};

/// Who asks.
pub(super) const TOKEN: &str = "a-token-of-the-benchmark-0123456789";
/// Some twelve thousand deliveries.
const LIVES: &str = "2000";
/// Until everything that was played is applied.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A running API.
pub(super) struct Api {
    pub(super) running: Running,
    pub(super) address: String,
}

/// Plays all sources through all programs, in one process and without a broker, until nothing is left to do. Returns the
/// configuration that they had.
pub(super) async fn play(folder: &Path, database: &str) -> Result<PathBuf> {
    let (ingress, api) = (free_port()?, free_port()?);
    let config = folder.join("lists.toml");
    // Nobody listens to the studio's endpoint, and the other one has nothing to be told.
    let toml = format!(
        "[database]\nurl = {database:?}\npool_size = 8\n[ingress]\nadmin_listen = \"127.0.0.1:{}\"\n[api]\nlisten = \"127.0.0.1:{api}\"\nadmin_listen = \"\"\n\
         requests_per_second = 0\n[api.tokens.bench]\nsecret = \"{TOKEN}\"\nscopes = [\"read\"]\n\
         [telemetry]\nlog_format = \"human\"\nlog_filter = \"error\"\n\
         [endpoints.game]\nurl = \"http://127.0.0.1:{}/notices\"\nallow_private = true\n\
         secrets = [\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]\n\
         [endpoints.quiet]\nurl = \"http://127.0.0.1:{}/notices\"\nallow_private = true\nevents = [\"match.stats_corrected\"]\n\
         secrets = [\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]\n\
         [leaderboards.winners]\nmetric = \"won\"\n{SOURCES}",
        free_port()?,
        free_port()?,
        free_port()?,
    );
    std::fs::write(&config, toml)?;
    let mut dev = program("matchpurse")?;
    dev.args(["dev", "--config"]).arg(&config);
    dev.args(["--port", &ingress.to_string(), "--api-port", &api.to_string(), "--database-url", database]);
    dev.current_dir(folder);
    let mut dev = Running::start("dev", dev, folder)?;
    dev.ready(&format!("127.0.0.1:{api}"), "/console/login").await?;

    let expected = folder.join("expected.json");
    let mut simulate = program("matchpurse")?;
    simulate.args(["simulate", "--lives", LIVES, "--seed", "1", "--config"]).arg(&config);
    simulate.args(["--target", &format!("http://127.0.0.1:{ingress}"), "--expect"]).arg(&expected);
    done(simulate, folder).await.context("the play")?;
    let begun = Instant::now();
    loop {
        dev.check()?;
        let mut audit = program("matchpurse")?;
        audit.args(["audit", "--config"]).arg(&config).arg("--expect").arg(&expected);
        match done(audit, folder).await {
            Ok(()) => break,
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "not everything was applied: {error:#}"),
        }
        sleep(LOOK_EVERY).await;
    }
    dev.stop().await?;
    Ok(config)
}

/// Starts the API by itself.
pub(super) async fn api(folder: &Path, config: &Path) -> Result<Api> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = program("matchpurse-api")?;
    command.arg("--config").arg(config).env("MATCHPURSE_API__LISTEN", &address);
    let mut running = Running::start("api", command, folder)?;
    running.ready(&address, "/console/login").await?;
    Ok(Api { running, address })
}

/// Runs a command to its end.
async fn done(mut command: Command, folder: &Path) -> Result<()> {
    command.current_dir(folder);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said =
        || String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {}", output.status, said());
    Ok(())
}
