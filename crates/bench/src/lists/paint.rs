//! The first paint of the console's pages, in headless Chromium.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Measured;
use super::play::TOKEN;
use crate::programs::on_path;
use crate::say;

/// How often each page is opened, in turns.
const TURNS: usize = 7;
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[derive(Serialize)]
struct Task<'t> {
    base: String,
    token: &'t str,
    browser: PathBuf,
    tools: PathBuf,
    turns: usize,
    pages: &'t [(String, String)],
}

#[derive(Deserialize)]
struct Painted {
    name: String,
    times: Vec<f64>,
}

/// The time from the click to the first contentful paint of each page; none where there is no browser, or what drives it,
/// which `tests/browser` installs.
pub(super) async fn paint(
    address: &str,
    pages: &[(String, String)],
    folder: &Path,
) -> Result<Option<Vec<Measured>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let tools = target.join("console-tools");
    let browser = BROWSERS.iter().find_map(|name| on_path(name).ok());
    let (Some(browser), Ok(node), true) = (browser, on_path("node"), tools.join("complete").is_file()) else {
        say(
            "lists: without the console's pages, because Chromium or what drives it is not there; tests/browser gets them",
        );
        return Ok(None);
    };
    let task = Task { base: format!("http://{address}"), token: TOKEN, browser, tools, turns: TURNS, pages };
    let file = folder.join("pages.json");
    std::fs::write(&file, serde_json::to_vec(&task)?)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lists/paint.js");
    let output = Command::new(node).arg(script).arg(&file).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let painted: Vec<Painted> = serde_json::from_slice(&output.stdout).context("what the browser said")?;
    ensure!(painted.len() == pages.len(), "{} pages of {}", painted.len(), pages.len());
    Ok(Some(painted.into_iter().map(|Painted { name, times }| Measured { name, times }).collect()))
}
