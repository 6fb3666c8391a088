//! The inputs that were found, one text a target: a line an input, in base64, the shortest first.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.txt"))
}

/// The inputs of a target that are kept.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn corpus(target: &str) -> Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(file(target))?;
    text.lines().map(|line| STANDARD.decode(line).map_err(std::io::Error::other)).collect()
}

/// Writes the kept inputs of a target, and its seeds, into a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn unpack(target: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let kept = if file(target).exists() { corpus(target)? } else { Vec::new() };
    for (number, input) in crate::seeds(target).iter().chain(&kept).enumerate() {
        fs::write(folder.join(format!("{number:05}")), input)?;
    }
    Ok(())
}

/// Keeps what is in a folder as the inputs of a target.
///
/// # Errors
/// When a file cannot be read or written.
pub fn pack(target: &str, folder: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let lines: String = inputs.iter().map(|input| STANDARD.encode(input) + "\n").collect();
    fs::create_dir_all(file(target).with_file_name(""))?;
    fs::write(file(target), lines)
}
