use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use matchpurse_domain::ids::EventId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::expected::Accepted;
use crate::plan::Plan;

/// What was taken, written down as it was answered: one JSON line for each, after a line that names the plan.
///
/// It is written to the operating system at once, so it survives the end of this process and of every other,
/// but not of the machine. Whoever plays the same plan again with the same journal goes on where it ended.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// What was taken before.
    accepted: Accepted,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot use the journal {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is of another plan: other options, or another version that writes other bodies.
    #[error("the journal {0} is of another plan")]
    AnotherPlan(PathBuf),
    /// A line in the middle is no entry.
    #[error("line {line} of the journal {path} is no entry")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A line names no delivery.
    #[error("line {line} of the journal {path} has no delivery's id")]
    Id {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The plan's digest; the first line.
    Plan(String),
    /// A delivery that was taken, by its id.
    Accepted(String),
    /// A request that was refused, by its source.
    Refused(String),
}

impl Journal {
    /// Opens the journal of a plan, or begins it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path, plan: &Plan) -> Result<Self, JournalError> {
        let io = |source| JournalError::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        let (accepted, whole) = read(path, &file, plan)?;
        // What was cut off in the middle of a line is not taken, and the next entry begins its own line.
        file.set_len(whole).map_err(io)?;
        if whole == 0 {
            write(&mut file, &Entry::Plan(plan.digest().to_string())).map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file, accepted })
    }

    /// What was taken before this journal was opened.
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    pub(crate) fn accept(&mut self, delivery: EventId) -> Result<(), JournalError> {
        self.add(&Entry::Accepted(delivery.to_string()))
    }

    pub(crate) fn refuse(&mut self, source: &str) -> Result<(), JournalError> {
        self.add(&Entry::Refused(source.to_owned()))
    }

    fn add(&mut self, entry: &Entry) -> Result<(), JournalError> {
        write(&mut self.file, entry).map_err(|source| JournalError::File { path: self.path.clone(), source })
    }
}

/// What the journal holds, and how many of its bytes are whole lines.
fn read(path: &Path, file: &File, plan: &Plan) -> Result<(Accepted, u64), JournalError> {
    let io = |source| JournalError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(file);
    let mut accepted = Accepted::default();
    let mut whole = 0_u64;
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let length = reader.read_line(&mut text).map_err(io)?;
        if length == 0 || !text.ends_with('\n') {
            break;
        }
        whole = whole.saturating_add(u64::try_from(length).unwrap_or(0));
        let entry = serde_json::from_str(&text).map_err(|source| JournalError::Line {
            path: path.to_owned(),
            line,
            source,
        })?;
        match (entry, line) {
            (Entry::Plan(of), 1) if of == plan.digest().to_string() => {}
            (Entry::Accepted(id), 2..) => {
                let id =
                    Uuid::try_parse(&id).map_err(|_| JournalError::Id { path: path.to_owned(), line })?;
                accepted.deliveries.insert(EventId::from_uuid(id));
            }
            (Entry::Refused(source), 2..) => *accepted.refused.entry(source).or_default() += 1,
            _ => return Err(JournalError::AnotherPlan(path.to_owned())),
        }
    }
    Ok((accepted, whole))
}

/// One line in one write, so that no other line comes between.
fn write(file: &mut File, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    file.write_all(&line)
}
