//! The program: its commands, and being killed.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_testkit::{Database, Studio};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stage::{SECRET, Stage, ids, notice, notices};

fn program(database: &Database, studio: &Studio, admin: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse-dispatcher"));
    command
        .env("MATCHPURSE_DATABASE__URL", database.service_url())
        .env("MATCHPURSE_DISPATCHER__ADMIN_LISTEN", admin)
        .env("MATCHPURSE_DISPATCHER__POLL_MS", "20")
        .env("MATCHPURSE_DISPATCHER__REQUEST_TIMEOUT_MS", "1000")
        .env("MATCHPURSE_DISPATCHER__CONNECT_TIMEOUT_MS", "1000")
        .env("MATCHPURSE_DISPATCHER__LEASE_MS", "12000")
        .env("MATCHPURSE_ENDPOINTS__GAME__URL", format!("{}?token=hunter2", studio.url("/hook")))
        .env("MATCHPURSE_ENDPOINTS__GAME__SECRETS", format!("[\"{SECRET}\"]"))
        .env("MATCHPURSE_ENDPOINTS__GAME__ALLOW_PRIVATE", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn asked_to_stop(child: Child) -> Result<Output> {
    let pid = child.id().context("it has ended by itself")?.to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await?.success());
    Ok(tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await??)
}

/// A port that was free a moment ago.
async fn free_port() -> Result<String> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string())
}

#[tokio::test]
async fn the_program_shows_no_secret_answers_for_itself_and_stops_when_asked() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let admin = free_port().await?;
    let shown = program(&stage.database, &studio, &admin).arg("check-config").output().await?;
    assert!(shown.status.success(), "{}", text(&shown));
    assert!(text(&shown).contains("[endpoints.game]"), "{}", text(&shown));
    let down = program(&stage.database, &studio, &admin).arg("healthcheck").output().await?;
    assert!(!down.status.success());
    let wrong = program(&stage.database, &studio, &admin)
        .env("MATCHPURSE_ENDPOINTS__GAME__SECRETS", "[\"hunter2\"]")
        .output()
        .await?;
    assert!(!wrong.status.success() && text(&wrong).contains("must begin with `whsec_`"), "{}", text(&wrong));

    let told = stage.tell(&notices(3)).await?;
    let child = program(&stage.database, &studio, &admin).spawn()?;
    tokio::time::timeout(Duration::from_secs(60), studio.received(3)).await??;
    let up = program(&stage.database, &studio, &admin).arg("healthcheck").output().await?;
    assert!(up.status.success(), "{}", text(&up));
    let client = HttpClient::new(&HttpClientOptions { proxy_from_environment: false, ..Default::default() })?;
    let metrics =
        client.send(http::Request::get(format!("http://{admin}/metrics")).body(Default::default())?);
    let metrics = String::from_utf8_lossy(metrics.await?.body()).into_owned();
    assert!(metrics.contains("matchpurse_dispatcher_fanned_out_total 3"), "{metrics}");
    let stopped = asked_to_stop(child).await?;
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert_eq!((ids(studio.work()), stage.states().await?.as_str()), (told, "delivered 3"));
    for output in [shown, up, stopped] {
        assert!(!text(&output).contains("hunter2") && !text(&output).contains("C2FVs"), "{}", text(&output));
    }
    Ok(())
}

/// The endpoint's secret is in a file; what is sent after that has changed is signed by the new one.
#[tokio::test]
async fn a_secret_that_changes_signs_what_is_sent_from_then_on() -> Result<()> {
    let next = "whsec_bmV4dC1uZXh0LW5leHQtbmV4dC1uZXh0LW5leHQ=";
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let file = std::env::temp_dir().join(format!("matchpurse-dispatcher-secret-{}", std::process::id()));
    std::fs::write(&file, SECRET)?;
    let mut child = program(&stage.database, &studio, "")
        .env("MATCHPURSE_ENDPOINTS__GAME__SECRETS", format!("[{{ file = {file:?} }}]"))
        .env("MATCHPURSE_TELEMETRY__LOG_FORMAT", "json")
        .spawn()?;
    let signed_by = |secret: &str, place: usize| -> Result<bool> {
        let requests = studio.requests();
        let request = requests.get(place).context("nothing was sent")?;
        let mut headers = http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, request.header(name).parse()?);
        }
        Ok(Webhook::new(secret)?.verify(&request.body, &headers).is_ok())
    };
    stage.tell(&[notice("match.held", "m", 1)]).await?;
    tokio::time::timeout(Duration::from_secs(60), studio.received(1)).await??;
    assert!(signed_by(SECRET, 0)?);

    std::fs::write(&file, next)?;
    let mut log = BufReader::new(child.stdout.take().context("piped")?).lines();
    let mut errors = BufReader::new(child.stderr.take().context("piped")?).lines();
    let again = |line: Option<String>| line.is_some_and(|line| line.contains("read again and is in force"));
    loop {
        let said = tokio::select! {
            line = log.next_line() => again(line?),
            line = errors.next_line() => again(line?),
        };
        if said {
            break;
        }
    }
    stage.tell(&[notice("match.held", "m", 2)]).await?;
    tokio::time::timeout(Duration::from_secs(60), studio.received(2)).await??;
    assert!(signed_by(next, 1)? && !signed_by(SECRET, 1)?);
    std::fs::remove_file(&file)?;
    child.kill().await?;
    Ok(())
}

/// Killed at once, again and again, while the studio is being told: everything arrives, under one id each.
#[tokio::test]
async fn the_program_survives_being_killed() -> Result<()> {
    const KILLS: usize = 5;
    const NOTICES: usize = 1_000;
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let told = stage.tell(&notices(NOTICES)).await?;
    for kill in 1..=KILLS {
        let mut child = program(&stage.database, &studio, "").spawn()?;
        let some = studio.received(studio.requests().len() + NOTICES / (2 * KILLS));
        tokio::time::timeout(Duration::from_secs(60), some)
            .await
            .with_context(|| format!("kill {kill}"))??;
        child.kill().await?;
    }
    let last = program(&stage.database, &studio, "").spawn()?;
    // What the killed ones held comes when their leases have ended.
    let all = async {
        while stage.states().await? != format!("delivered {NOTICES}") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.context("something is stuck")??;
    asked_to_stop(last).await?;
    assert_eq!(ids(studio.work()), told);
    assert_eq!(ids(studio.requests().iter().map(|request| request.webhook_id().to_owned())), told);
    assert_eq!(studio.overlapped(), [""; 0]);
    Ok(())
}
