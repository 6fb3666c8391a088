//! An exported file, verified by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read as _};

use super::ChainBreak;
use super::chain::Chain;
use super::line::{LineError, Parsed};

/// The longest line that is read, in bytes: many times what an ingress takes.
const LINE_MAX: u64 = 64 << 20;

/// A run of a source's rows in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first row.
    pub first: i64,
    /// The number of its last row.
    pub last: i64,
    /// How many there are.
    pub rows: u64,
    /// The hash before the first, as the file has it.
    pub before: Vec<u8>,
    /// The last row's hash.
    pub hash: Vec<u8>,
    /// The rows whose bodies were erased, with the seals that the file has for them: what is left of them is proved only by
    /// the database that erased them.
    pub erased: BTreeMap<i64, Vec<u8>>,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// By source.
    pub sources: BTreeMap<String, Segment>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileProblem {
    /// A line cannot be read.
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        why: LineError,
    },
    /// The chain does not hold.
    Chain {
        /// The line's number, from 1.
        line: u64,
        /// The source.
        source: String,
        /// Where it does not hold.
        broken: ChainBreak,
    },
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, why } => write!(f, "line {line}: {why}"),
            Self::Chain { line, source, broken } => write!(f, "line {line}: source {source}: {broken}"),
        }
    }
}

/// Reads an exported file and names everything in it that is not as it was; holds one line in memory. `walked` is
/// told how many lines are behind.
///
/// # Errors
/// When the file cannot be read.
pub fn check_file(
    mut file: impl BufRead,
    walked: &mut dyn FnMut(u64),
    found: &mut dyn FnMut(FileProblem),
) -> std::io::Result<FileReport> {
    let mut chains: BTreeMap<String, (Chain, Segment)> = BTreeMap::new();
    let mut text = Vec::new();
    let mut number = 0_u64;
    loop {
        text.clear();
        let read = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        number = number.saturating_add(1);
        let parsed = match Parsed::read(&text) {
            Ok(parsed) => parsed,
            Err(why) => {
                found(FileProblem::Line { line: number, why });
                continue;
            }
        };
        let (row, source) = (parsed.row(), parsed.source());
        if !chains.contains_key(source) {
            let before = parsed.before.clone();
            let chain = Chain::behind(row.seq.saturating_sub(1), before.clone());
            let segment = Segment {
                first: row.seq,
                last: row.seq,
                rows: 0,
                before,
                hash: Vec::new(),
                erased: BTreeMap::new(),
            };
            chains.insert(source.to_owned(), (chain, segment));
        }
        if let Some((chain, segment)) = chains.get_mut(source) {
            if let Some(broken) = chain.step(&row, &parsed.hash, parsed.sealed.as_deref()) {
                found(FileProblem::Chain { line: number, source: source.to_owned(), broken });
            }
            segment.rows = segment.rows.saturating_add(1);
            if let Some(seal) = &parsed.sealed {
                segment.erased.insert(row.seq, seal.clone());
            }
        }
        walked(number);
    }
    let sources = chains.into_iter().map(|(source, (chain, mut segment))| {
        segment.last = chain.last();
        segment.hash = chain.hash().to_vec();
        (source, segment)
    });
    Ok(FileReport { sources: sources.collect() })
}
