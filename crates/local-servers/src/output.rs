//! What commands and servers wrote, cut to what a reader of an error wants to see.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Output;

use crate::Error;

/// A start that fails says why in its last lines; more would bury it.
const TAIL_BYTES_MAX: u64 = 2_000;

/// The end of the log at `path`, at most [`TAIL_BYTES_MAX`], and nothing before byte `from`.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

/// Runs a command that ends by itself; an exit status other than 0 is an error that shows its last lines.
pub(crate) async fn run(mut command: tokio::process::Command) -> Result<Output, Error> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| Error::Run { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let mut text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.is_empty() {
        text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n");
    Err(Error::CommandFailed { program, status: output.status.to_string(), output: last })
}
