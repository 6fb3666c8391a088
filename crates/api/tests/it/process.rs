//! The program as an orchestrator runs it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_api::Application;
use matchpurse_settings::ConfigFiles;
use matchpurse_testkit::Database;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::harness::{ANN, SETTINGS, deposit, on, request, shown};

/// A configuration file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(test: &str, text: &str) -> Result<Self> {
        let name = format!("matchpurse-api-{test}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text)?;
        Ok(Self(path))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse-api"));
    command.env("MATCHPURSE_CONFIG", config).kill_on_drop(true);
    command
}

/// A token is given and taken back without a restart, and a mistake in between changes nothing.
#[tokio::test]
async fn tokens_are_changed_while_it_serves() -> Result<()> {
    const ADDED: &str = "somebody-new-may-read-0123456789abcdef";
    let database = Database::create().await?;
    let text = on(&database.url(), SETTINGS);
    let config = File::new("tokens", &text)?;
    let mut files = ConfigFiles::new(Some(&config.0), std::iter::empty());
    let application = Application::build(&files.load()?).await?.with_reload(files, Duration::from_millis(5));
    let (address, admin) = (application.address().to_string(), application.admin_address().context("none")?);
    let stop = CancellationToken::new();
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));
    let admin = admin.to_string();
    let metric = async |line: &str| shown(&admin, line).await;
    let status = async |secret: &str| {
        anyhow::Ok(request(secret, "GET", "/v1/anomalies", "").send(&address).await?.status)
    };

    assert_eq!((status(ANN).await?, status(ADDED).await?), (200, 401));
    let more = format!("{text}\n[api.tokens.new]\nsecret = \"{ADDED}\"\nscopes = [\"read\"]\n");
    std::fs::write(&config.0, &more)?;
    metric("matchpurse_config_reloads_total{outcome=\"taken\"} 1").await?;
    assert_eq!((status(ANN).await?, status(ADDED).await?), (200, 200));

    std::fs::write(&config.0, more.replace(ADDED, "too short"))?;
    metric("matchpurse_config_good 0").await?;
    assert_eq!((status(ANN).await?, status(ADDED).await?), (200, 200));

    std::fs::write(&config.0, more.replace(ANN, "another-that-ann-has-now-0123456789ab"))?;
    metric("matchpurse_config_good 1").await?;
    assert_eq!((status(ANN).await?, status(ADDED).await?), (401, 200));
    stop.cancel();
    Ok(running.await??)
}

async fn outcome(config: &Path, command: &str) -> Result<Output> {
    Ok(program(config).arg(command).output().await?)
}

#[tokio::test]
async fn it_serves_logs_every_write_with_its_actor_and_ends_well_on_sigterm() -> Result<()> {
    let database = Database::create().await?;
    let config = File::new("serves", &on(&database.url(), SETTINGS))?;
    let mut child = program(&config.0).stderr(Stdio::piped()).spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("no log")?);
    let serving = loop {
        let mut line = String::new();
        anyhow::ensure!(log.read_line(&mut line).await? > 0, "the log ended before it took requests");
        let line: serde_json::Value = serde_json::from_str(&line)?;
        if line["message"] == "taking requests" {
            break line;
        }
    };
    let address = |name: &str| serving[name].as_str().map(str::to_owned).context("no address");
    let (address, admin) = (address("address")?, address("admin_address")?);

    let mut asked = deposit("/v1/players/ours/a/deposits", "k", 1000);
    asked.headers.push(("x-request-id".to_owned(), b"from-the-test".to_vec()));
    let trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    asked.headers.push(("traceparent".to_owned(), trace.to_vec()));
    assert_eq!(asked.send(&address).await?.status, 201);
    let refused = deposit("/v1/players/ours/a/withdrawals", "w", 5000);
    assert_eq!(refused.send(&address).await?.status, 409);

    database.cut_off().await?;
    assert_eq!(asked.send(&address).await?.status, 503);

    let asking = File::new(
        "asks",
        &on(
            "postgres://nobody@127.0.0.1/none",
            &SETTINGS.replace("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{admin}\"")),
        ),
    )?;
    assert!(outcome(&asking.0, "healthcheck").await?.status.success());
    let pid = child.id().context("no process")?.to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await?.success());
    assert_eq!(child.wait().await?.code(), Some(0));
    let said = outcome(&asking.0, "healthcheck").await?;
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("does not answer"));

    let mut rest = String::new();
    log.read_to_string(&mut rest).await?;
    let lines: Vec<serde_json::Value> = rest.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let told = |message: &str, status: Option<u16>| {
        let found = lines
            .iter()
            .find(|line| line["message"] == message && status.is_none_or(|s| line["status"] == s));
        found.cloned().with_context(|| format!("no {message:?}: {rest}"))
    };
    let answered = told("answered", Some(201))?;
    assert_eq!(answered["actor"], "ann");
    assert_eq!(answered["request_id"], "from-the-test");
    assert_eq!(answered["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(answered["route"], "/v1/players/{source}/{player}/deposits");
    let moved = told("money moved", None)?;
    assert_eq!(
        (&moved["actor"], &moved["kind"], &moved["source"]),
        (&"ann".into(), &"deposit".into(), &"ours".into())
    );
    assert_eq!(moved["span"]["request_id"], "from-the-test");
    assert_eq!(moved["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(told("answered", Some(409))?["actor"], "ann");
    let failed = told("failed", Some(503))?;
    assert_eq!((&failed["level"], &failed["request_id"]), (&"ERROR".into(), &"from-the-test".into()));
    assert!(failed["cause"].as_str().is_some_and(|cause| cause.contains("database")), "{failed}");
    told("stopped", None)?;
    assert!(!rest.contains(ANN), "a secret in the log: {rest}");
    Ok(())
}

#[tokio::test]
async fn without_tokens_it_says_so_once() -> Result<()> {
    let text = "[api]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"\"";
    let config = File::new("nobody", &on("postgres://nobody@127.0.0.1:1/none", text))?;
    let mut child = program(&config.0).stderr(Stdio::piped()).spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("no log")?).lines();
    let mut said = String::new();
    while !said.contains("api.tokens") {
        said.push_str(&log.next_line().await?.context("the log has ended")?);
    }
    let pid = child.id().context("no process")?.to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await?.success());
    assert_eq!(child.wait().await?.code(), Some(0));
    while let Some(line) = log.next_line().await? {
        said.push_str(&line);
    }
    assert_eq!(said.matches("api.tokens").count(), 1, "{said}");
    Ok(())
}

#[tokio::test]
async fn a_configuration_is_checked_and_shown_without_its_secrets() -> Result<()> {
    let good = File::new("good", &on("postgres://me:geheim@127.0.0.1/none", SETTINGS))?;
    let shown = outcome(&good.0, "check-config").await?;
    assert!(shown.status.success());
    let text = String::from_utf8(shown.stdout)?;
    assert!(text.contains("[api.tokens.ann]") && text.contains("[redacted]"), "{text}");
    assert!(!text.contains(ANN) && !text.contains("geheim"), "{text}");

    let bad = File::new("bad", &on("postgres://me@127.0.0.1/none", &SETTINGS.replace(ANN, "short")))?;
    for command in ["check-config", "run"] {
        let refused = outcome(&bad.0, command).await?;
        assert_eq!(refused.status.code(), Some(1), "{command}");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains("api.tokens.ann.secret"), "{error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let text = SETTINGS.replacen("127.0.0.1:0", &taken.local_addr()?.to_string(), 1);
    let taken = File::new("taken", &on("postgres://me@127.0.0.1/none", &text))?;
    let refused = outcome(&taken.0, "run").await?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the value of `api.listen`"));
    Ok(())
}
