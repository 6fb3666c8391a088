//! The files of the configuration, to be read again when they change; and what has changed.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use matchpurse_service_kit::config::{ConfigError, Layers};

use crate::{DEFAULT_TOML, ENVIRONMENT, Settings};

/// The configuration's file, the variables over it, and the files of secrets and schemas that either names.
#[derive(Clone)]
pub struct ConfigFiles {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    loaded: u64,
}

impl ConfigFiles {
    /// Of this file and these variables, as [`Settings::load`] takes them. A process's own variables cannot change.
    pub fn new(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Self {
        Self { file: file.map(Path::to_path_buf), environment: environment.collect(), loaded: 0 }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load(&mut self) -> Result<Settings, ConfigError> {
        // Before they are read: what changes meanwhile is seen at the next look.
        self.loaded = self.fingerprint();
        Settings::load(self.file.as_deref(), self.environment.iter().cloned())
    }

    /// The fingerprint of what was read last.
    pub fn loaded(&self) -> u64 {
        self.loaded
    }

    /// A number that changes when one of the files does; that one cannot be read is a state like others.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut files: BTreeSet<PathBuf> = self.file.iter().cloned().collect();
        if let Ok(layers) = self.layers() {
            files.extend(layers.files());
        }
        for file in files {
            file.hash(&mut hasher);
            std::fs::read(&file).map_err(|error| error.kind()).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::new(DEFAULT_TOML)?;
        if let Some(path) = &self.file {
            layers = layers.file(path)?;
        }
        layers.environment(&ENVIRONMENT, self.environment.iter().cloned())
    }
}

/// Shows no variable: any may be a secret.
impl std::fmt::Debug for ConfigFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} and {} variables", self.file, self.environment.len())
    }
}

impl Settings {
    /// The keys in which `other` differs, as far as [`Settings::render`] shows them: of a secret, how many there are and
    /// not what they are. Keys that begin with one of `besides` are left out; a `*` there stands for one part.
    pub fn differences(&self, other: &Self, besides: &[&str]) -> Vec<String> {
        let table = |settings: &Self| settings.render().parse::<toml::Table>().unwrap_or_default();
        let mut keys = BTreeSet::new();
        differences(&table(self), &table(other), "", &mut keys);
        keys.into_iter().filter(|key| !besides.iter().any(|beginning| begins(key, beginning))).collect()
    }
}

fn differences(one: &toml::Table, other: &toml::Table, prefix: &str, keys: &mut BTreeSet<String>) {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for name in names {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (one.get(name), other.get(name)) {
            (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
                differences(one, other, &key, keys);
            }
            (one, other) if one == other => {}
            _ => {
                keys.insert(key);
            }
        }
    }
}

fn begins(key: &str, beginning: &str) -> bool {
    let mut parts = key.split('.');
    beginning.split('.').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "database.url = \"postgres://a@b/c\"\n[sources.duel]\nprovider = \"p\"\n\
        secrets = [\"one\"]\ncurrency = \"USD\"\ncustody = \"studio\"\n";

    #[test]
    fn what_differs_is_told_by_its_key_and_nothing_of_its_value() {
        let settings = |text: &str| Settings::parse_str(text).unwrap();
        let before = settings(TEXT);
        let text = TEXT.replace("[\"one\"]", "[\"one\", \"two\"]").replace("studio", "provider");
        let after = settings(&format!("ingress.retry_after_s = 9\n{text}"));
        assert_eq!(
            before.differences(&after, &["sources.*.secrets"]),
            ["ingress.retry_after_s", "sources.duel.custody"]
        );
        assert_eq!(before.differences(&after, &["sources", "ingress"]), [""; 0]);
        assert_eq!(before.differences(&settings(TEXT), &[]), [""; 0]);
    }

    #[test]
    fn a_change_of_any_file_changes_the_fingerprint() {
        let folder = std::env::temp_dir().join(format!("matchpurse-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, secret, other) = (folder.join("a.toml"), folder.join("secret"), folder.join("other"));
        let named = format!("[{{ file = \"{}\" }}]", secret.display());
        std::fs::write(&file, TEXT.replace("[\"one\"]", &named)).unwrap();
        std::fs::write(&secret, "one").unwrap();
        std::fs::write(&other, "first").unwrap();
        let variable = ("MATCHPURSE_API__CONSOLE_SECRET__FILE".to_owned(), other.display().to_string());
        let mut files = ConfigFiles::new(Some(&file), [variable].into_iter());
        let mut seen = BTreeSet::from([files.fingerprint()]);
        assert!(!seen.insert(files.fingerprint()), "nothing has changed");
        for (path, text) in [(&secret, "two"), (&other, "second"), (&file, "no TOML")] {
            std::fs::write(path, text).unwrap();
            assert!(seen.insert(files.fingerprint()), "{text}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(seen.insert(files.fingerprint()), "a file that is gone");
        assert!(files.load().is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
