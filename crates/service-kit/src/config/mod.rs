//! Loading a configuration: compiled-in defaults, then a file, then environment variables.
//!
//! Later layers win key by key; tables merge, everything else is replaced whole. Every value remembers where
//! it came from, so an error names the line of the file or the variable, and an unknown key is refused with
//! the nearest known one. No error ever shows a value that was given as text: it may be a secret.
//!
//! Rules that hold for every setting:
//! - A key that no struct declares is refused, whether its struct says `deny_unknown_fields` or not.
//! - An empty text stands for "not given" where the setting is an `Option`.
//! - In a variable's name a double underscore separates the parts (`PREFIX_DATABASE__POOL_SIZE`); case does
//!   not matter, and an underscore also matches a `-` of a key that a lower layer has.
//! - A variable's text is taken verbatim where a text is wanted and read as TOML elsewhere (`true`, `5`,
//!   `["a", "b"]`, `{ file = "/run/secrets/x" }`).

mod environment;
mod error;
mod read;
mod secret;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use environment::{Environment, process_environment};
pub use error::{ConfigError, Origin, Problem, Reason, join, nearest};
pub use secret::{SecretUrl, SecretValue};

use tree::{Content, Node};

/// The layers of a configuration, lowest first.
#[derive(Debug)]
pub struct Layers {
    root: Node,
    prefix: Option<String>,
}

/// A configuration that has been read, with where each key came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    /// Where its keys came from, for errors that are found later.
    pub origins: Origins,
}

/// Where each key of a configuration came from.
#[derive(Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Layers {
    /// Begins with the defaults, a TOML text that is compiled in.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn new(defaults: &str) -> Result<Self, ConfigError> {
        let root = tree::parse_document(defaults, &|_| Origin::Default)?;
        Ok(Self { root, prefix: None })
    }

    /// Lays a file over what is there.
    ///
    /// # Errors
    /// When the file cannot be read or is no TOML.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
        self.text(&path.display().to_string(), &text)
    }

    /// Lays a TOML text over what is there; errors call it `name`.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn text(mut self, name: &str, text: &str) -> Result<Self, ConfigError> {
        let name: Arc<str> = name.into();
        let origin = |line| Origin::File { name: Arc::clone(&name), line };
        self.root.merge(tree::parse_document(text, &origin)?);
        Ok(self)
    }

    /// Lays the environment's variables over what is there.
    ///
    /// # Errors
    /// When a variable's name leads nowhere or two variables contradict each other.
    pub fn environment(
        mut self,
        rules: &Environment<'_>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        environment::lay_over(&mut self.root, rules, variables)?;
        self.prefix = Some(rules.prefix.to_owned());
        Ok(self)
    }

    /// The files that values are read from: every `{ file = "path" }`.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        self.root.files(&mut files);
        files
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError::Problems`]: an unknown key, a missing one, or a value of the wrong kind.
    pub fn read<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigError> {
        let mut origins = Origins::default();
        origins.collect(&self.root, "");
        match T::deserialize(self.root) {
            Ok(value) => Ok(Loaded { value, origins }),
            Err(failure) => {
                let problem = failure.into_problem(self.prefix.as_deref());
                Err(ConfigError::Problems(vec![problem]))
            }
        }
    }
}

impl Origins {
    /// Where the dotted `key` came from, or else the nearest table around it.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.0.get(key) {
                return Some(origin);
            }
            key = key.rsplit_once('.')?.0;
        }
    }

    /// A problem with the value of the dotted `key`, found after loading.
    pub fn problem(&self, key: &str, reason: impl Into<String>) -> Problem {
        Problem { key: key.to_owned(), origin: self.of(key).cloned(), reason: Reason::Invalid(reason.into()) }
    }

    fn collect(&mut self, node: &Node, key: &str) {
        if !key.is_empty() {
            self.0.insert(key.to_owned(), node.origin.clone());
        }
        if let Content::Table(table) = &node.content {
            for (name, child) in table {
                self.collect(child, &join(key, name));
            }
        }
    }
}
