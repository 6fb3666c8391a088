//! The examples of `docs/receiving-webhooks.md`, run as they stand there and tried by the kit.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_domain::webhook::{SigningKey, TargetUrl, sign};
use matchpurse_receiver_kit::{EndpointSecret, Options, Verdict, verify};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stand_in::SECRET;

/// Another secret, of a receiver in the middle of a rotation.
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn document() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/receiving-webhooks.md");
    Ok(std::fs::read_to_string(path)?)
}

/// The document's example in a language.
fn example(language: &str) -> Result<String> {
    let document = document()?;
    let (_, code) = document.split_once(&format!("```{language}\n")).context("there is no such example")?;
    Ok(code.split_once("\n```").context("the example does not end")?.0.to_owned())
}

/// Starts an example. None where its language is not installed: then there is nothing that could be tried.
async fn start(program: &str, arguments: &[&str], code: &str) -> Result<Option<(Child, String)>> {
    let mut command = Command::new(program);
    command.args(arguments).arg(code).env("PORT", "0").env("SECRETS", format!("{OLD_SECRET} {SECRET}"));
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let Ok(mut child) = child else {
        eprintln!("{program} is not installed: its example is not tried");
        return Ok(None);
    };
    let output = child.stdout.take().context("no output")?;
    let line = BufReader::new(output).lines().next_line().await?.context("it ended")?;
    let port: u16 = line.strip_prefix("port ").context("no port")?.parse()?;
    Ok(Some((child, format!("http://127.0.0.1:{port}"))))
}

async fn unseen_of_a_good_one(options: Options) -> Result<usize> {
    let report = verify(&options, |_| ()).await?;
    let well = |verdict: Verdict| matches!(verdict, Verdict::Ok | Verdict::CouldNotSee);
    assert!(report.findings.iter().all(|finding| well(finding.verdict)), "{report}");
    Ok(report.findings.iter().filter(|finding| finding.verdict == Verdict::CouldNotSee).count())
}

fn options(base: &str) -> Result<Options> {
    let options = Options::new(TargetUrl::parse(&format!("{base}/hooks"))?, EndpointSecret::parse(SECRET)?);
    // Slow answers on a busy machine are not what is tried here.
    Ok(Options {
        piece_pause: Duration::from_millis(50),
        time_limit: Duration::from_secs(60),
        warn_after: Duration::from_secs(60),
        ..options
    })
}

#[tokio::test]
async fn the_example_in_python_does_everything_right() -> Result<()> {
    let Some((_child, base)) = start("python3", &["-c"], &example("python")?).await? else { return Ok(()) };
    let state_url = TargetUrl::parse(&format!("{base}/state"))?;
    assert_eq!(unseen_of_a_good_one(Options { state_url: Some(state_url), ..options(&base)? }).await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_example_in_javascript_does_what_can_be_seen_right() -> Result<()> {
    let code = example("js")?;
    let Some((_child, base)) = start("node", &["--input-type=module", "-e"], &code).await? else {
        return Ok(());
    };
    assert_eq!(unseen_of_a_good_one(options(&base)?).await?, 2, "whether repeats are done once");
    Ok(())
}

#[test]
fn the_vector_of_the_document_is_right() -> Result<()> {
    let document = document()?;
    let cell = |name: &str| {
        let row = document.lines().find_map(|line| line.strip_prefix(&format!("| {name} | `")));
        row.and_then(|rest| rest.strip_suffix("` |")).with_context(|| format!("no {name}"))
    };
    let key = SigningKey::parse(cell("secret")?)?;
    let at: i64 = cell("`webhook-timestamp`")?.parse()?;
    let signature = sign(&[key], cell("`webhook-id`")?, at, cell("body")?.as_bytes());
    assert_eq!(signature, cell("`webhook-signature`")?);
    Ok(())
}
