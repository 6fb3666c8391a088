//! What can be wrong with a configuration, in words that say where and what instead.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The defaults that are compiled in.
    Default,
    /// A file.
    File {
        /// Its path as it was given.
        name: Arc<str>,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Variable(Arc<str>),
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The path as it was given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The text is no TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says, without the text it was parsing.
        message: String,
    },
    /// The keys or values are not what the schema wants; never empty.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

/// One thing that is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key with its tables, joined by dots.
    pub key: String,
    /// Where it stands, where that is known.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nobody reads it.
    Unknown {
        /// How to write the known name nearest to it, as a key or as a variable.
        suggestion: Option<String>,
        /// The names that are known in its place.
        known: Vec<String>,
    },
    /// It must be given.
    Missing,
    /// Its value will not do; the text says what would.
    Invalid(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in defaults"),
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A default is nothing an operator wrote, so it is no place to send them to.
        if let Some(origin) = self.origin.as_ref().filter(|origin| **origin != Origin::Default) {
            write!(f, "{origin}: ")?;
        }
        let key = &self.key;
        match &self.reason {
            Reason::Unknown { suggestion: Some(name), .. } => {
                write!(f, "unknown key `{key}`; did you mean `{name}`?")
            }
            Reason::Unknown { suggestion: None, known } if known.is_empty() => {
                write!(f, "unknown key `{key}`; nothing is known here")
            }
            Reason::Unknown { suggestion: None, known } => {
                write!(f, "unknown key `{key}`; known here: {}", known.join(", "))
            }
            Reason::Missing => write!(f, "`{key}` is missing"),
            Reason::Invalid(what) => write!(f, "`{key}`: {what}"),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    all.join("\n")
}

/// The candidate nearest to `name`, when one is near enough to be what was meant: at most a third of its
/// letters differ, or it differs only by what follows (`verify` for `verify_mode`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let wanted = plain(name);
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        let edits = strsim::damerau_levenshtein(&wanted, &candidate);
        let length = wanted.chars().count().max(candidate.chars().count());
        let prefix = wanted.len().min(candidate.len()) >= 3
            && (wanted.starts_with(&candidate) || candidate.starts_with(&wanted));
        (edits * 3 <= length || prefix).then_some(edits)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| distance(candidate).map(|edits| (edits, candidate)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// A dotted key with one more name, quoted where TOML would want it.
pub fn join(key: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    let dot = if key.is_empty() { "" } else { "." };
    if bare { format!("{key}{dot}{name}") } else { format!("{key}{dot}{name:?}") }
}
