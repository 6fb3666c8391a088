//! `docs/api.md`: its commands are run as they stand there, and what they answer must be what stands behind them.
//!
//! `UPDATE_GOLDEN=1` writes the answers anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::conformance::{DOCUMENT, file};
use crate::harness::ANN;
use crate::world::World;

static PAGE: LazyLock<String> = LazyLock::new(|| std::fs::read_to_string(file("api.md")).unwrap());

/// A command, and what stands behind it.
struct Example<'a> {
    command: &'a str,
    /// As `201`.
    status: &'a str,
    /// None of an answer without a body.
    body: Option<&'a str>,
    /// Where status and body begin and end.
    span: (usize, usize),
}

/// A block of commands is followed by the status in backticks and, where there is a body, a block of JSON.
fn examples() -> Result<Vec<Example<'static>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = PAGE[at..].find("```sh\ncurl ").map(|offset| at + offset + 6) {
        let end = begin + PAGE[begin..].find("\n```\n").context("a block without an end")?;
        let command = &PAGE[begin..end];
        let rest_at = end + 5;
        let rest = &PAGE[rest_at..];
        let status = rest.trim_start().strip_prefix('`').and_then(|text| text.split('`').next());
        let status = status.with_context(|| format!("no status behind {command}"))?;
        let status_end = rest.find(&format!("`{status}`")).unwrap() + status.len() + 2;
        let behind = &rest[status_end..];
        let body =
            behind.trim_start().strip_prefix("```json\n").map(|text| &text[..text.find("\n```").unwrap()]);
        let length = body.map_or(status_end, |body| status_end + behind.find(body).unwrap() + body.len() + 4);
        let span = (rest_at + rest.find('`').unwrap(), rest_at + length);
        found.push(Example { command, status, body, span });
        at = rest_at;
    }
    Ok(found)
}

/// What differs from run to run is masked.
fn masked(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), masked(value, name))).collect()
        }
        Value::Array(items) => items.iter().map(|item| masked(item, name)).collect(),
        Value::String(text) => {
            let is_time = text.len() == 27 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
            let is_uuid = text.len() == 36 && text.matches('-').count() == 4;
            let mask = match name {
                "next" => "<cursor>",
                "secret" | "as_of" | "current_season" | "url" => "<differs>",
                _ if is_time => "<time>",
                _ if is_uuid => "<id>",
                _ => text,
            };
            mask.into()
        }
        Value::Number(_) if matches!(name, "took_ms" | "silent_s" | "age_s") => "<number>".into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn the_commands_of_the_page_answer_what_stands_behind_them() -> Result<()> {
    let world = World::new().await?;
    // So that the commands need not say it: the status, on a line behind the body.
    let home: PathBuf = std::env::temp_dir().join(format!("matchpurse-curl-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join(".curlrc"), "write-out = \"\\n%{http_code}\"\n")?;
    let (mut page, mut done, mut wrong) = (String::new(), 0, String::new());
    let all = examples()?;
    for example in &all {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", example.command])
            .env("CURL_HOME", &home)
            .env("API", format!("http://{}", world.backend.api.address))
            .env("TOKEN", ANN)
            .output()
            .await
            .context("bash and curl are needed")?;
        let said = String::from_utf8(output.stdout)?;
        let (body, status) = said.rsplit_once('\n').context("curl said nothing")?;
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(body)).transpose()?;
        let kept: Option<Value> = example.body.map(serde_json::from_str).transpose()?;
        let same = status == example.status
            && body.as_ref().map(|body| masked(body, "")) == kept.as_ref().map(|body| masked(body, ""));
        page.push_str(&PAGE[done..example.span.0]);
        done = example.span.1;
        if same {
            page.push_str(&PAGE[example.span.0..done]);
        } else {
            let body = body.map(|body| serde_json::to_string_pretty(&body)).transpose()?;
            let body = body.map(|body| format!("\n\n```json\n{body}\n```")).unwrap_or_default();
            writeln!(wrong, "{}\nanswers\n`{status}`{body}\n", example.command)?;
            page.push_str(&format!("`{status}`{body}"));
        }
    }
    page.push_str(&PAGE[done..]);
    std::fs::remove_dir_all(&home)?;
    world.backend.api.stop().await?;
    assert!(all.len() >= 10, "{} examples", all.len());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file("api.md"), page)?;
    } else {
        assert!(wrong.is_empty(), "{wrong}UPDATE_GOLDEN=1 writes the page anew");
    }
    Ok(())
}

#[test]
fn the_page_has_every_problem() {
    let rows = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("| `urn:matchpurse:problem:"))
            .map(str::to_owned)
            .collect()
    };
    let described = DOCUMENT["info"]["description"].as_str().unwrap();
    assert!(rows(described).len() > 50);
    assert_eq!(rows(&PAGE), rows(described));
}
