//! What fuzzers and validators of other people make of the document. They are Python's: `tests/openapi-tools` puts them
//! below `target/`, and `tests/run` says so loudly where that is not possible.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::conformance::{DOCUMENT, file};
use crate::harness::ANN;
use crate::world::World;

/// A run takes about a minute, and more beside other tests; one that takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(540);

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("matchpurse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A program of the tools; none where they could not be had.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let tools = target.join("openapi-tools");
    let program = tools.join("bin").join(name);
    let found = tools.join("complete").is_file() && program.is_file();
    if !found {
        eprintln!("SKIPPED: {name} is not there; tests/openapi-tools gets it, where Python and PyPI are");
    }
    found.then(|| program.canonicalize().unwrap_or(program))
}

pub(crate) async fn run(command: &mut Command) -> Result<Output> {
    let output = command.kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .context("it did not end in time")?
        .context("it cannot be run")
}

pub(crate) fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn the_document_is_openapi() -> Result<()> {
    let Some(python) = tool("python") else { return Ok(()) };
    let mut validator = Command::new(python);
    let output = run(validator.args(["-m", "openapi_spec_validator"]).arg(file("openapi.json"))).await?;
    assert!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// The document, with what is there in the places of the examples: so what is looked for is found, and the fuzzer gets
/// behind the 404s.
fn with_names(world: &World) -> Value {
    let mut document = DOCUMENT.clone();
    for (template, item) in document["paths"].as_object_mut().unwrap() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                if let Some(there) = world.names(name, template) {
                    parameter["example"] = there.into();
                }
            }
        }
    }
    document
}

#[tokio::test]
async fn a_fuzzer_that_knows_the_document_finds_nothing_that_is_not_in_it() -> Result<()> {
    let Some(schemathesis) = tool("schemathesis") else { return Ok(()) };
    let world = World::new().await?;
    let folder = Folder::new("schemathesis")?;
    let file = folder.0.join("openapi.json");
    std::fs::write(&file, with_names(&world).to_string())?;
    let url = format!("http://{}", world.backend.api.address);
    let output = run(Command::new(schemathesis)
        .current_dir(&folder.0)
        .arg("run")
        .arg(&file)
        .args(["--url", &url, "--header", &format!("Authorization: Bearer {ANN}")])
        // A stream has no end that could be waited for; `offer_stream` and `event_stream` have their tests.
        .args(["--exclude-operation-id", "streamOffers", "--exclude-operation-id", "streamEvents"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "8"])
        // CPython counts how deep its parser is in one place for all threads, so two at once can fail by that
        // ("AST constructor recursion depth mismatch").
        .args(["--workers", "1", "--no-shrink", "--continue-on-failure", "--request-timeout", "20"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,\
             response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth",
        ]))
    .await?;
    assert!(output.status.success(), "{}", said(&output));
    world.backend.api.stop().await
}
