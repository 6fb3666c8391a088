use std::collections::BTreeMap;

use matchpurse_domain::source::SourcePolicy;

/// One option of an adapter, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Several texts.
    Texts(Vec<String>),
}

/// What an adapter knows of the source that a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSettings {
    /// The source's rules.
    pub policy: SourcePolicy,
    /// The adapter's own options, checked by [`crate::Provider::check`].
    pub options: BTreeMap<String, OptionValue>,
}

/// Why a source cannot work as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No key of the role that the provider signs with: nothing could ever verify.
    #[error("no secret is configured, so nothing could be verified: set `{key}`")]
    NoKey {
        /// The key of the configuration to set.
        key: &'static str,
    },
    /// A key that is not one.
    #[error("`{key}` holds no usable key: {problem}")]
    BadKey {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The provider is to be called, and there is nothing to show it.
    #[error("option `{option}` is set, but there is no key to call with: set `keys.api`")]
    NoApiKey {
        /// The option that asks for it.
        option: &'static str,
    },
    /// A key of a role that the provider does not have: who set it takes something for protected that is not.
    #[error("`{key}` is set, but this provider has no such key, so nothing is protected by it; remove it")]
    UnusedKey {
        /// The key of the configuration.
        key: &'static str,
    },
    /// An option that the adapter does not have.
    #[error("no option `{option}`; it has: {known}")]
    UnknownOption {
        /// The option.
        option: String,
        /// Those that there are.
        known: String,
    },
    /// An option with a value of another type or out of range.
    #[error("option `{option}`: {problem}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl AdapterSettings {
    /// The option's text; none when it is not set.
    ///
    /// # Errors
    /// When it is set to something else.
    pub(crate) fn text(&self, option: &'static str) -> Result<Option<&str>, SettingsError> {
        match self.options.get(option) {
            None => Ok(None),
            Some(OptionValue::Text(text)) => Ok(Some(text)),
            Some(_) => Err(SettingsError::BadOption { option, problem: "it must be a text".to_owned() }),
        }
    }

    /// The option's flag; none when it is not set.
    ///
    /// # Errors
    /// When it is set to something else.
    pub(crate) fn flag(&self, option: &'static str) -> Result<Option<bool>, SettingsError> {
        match self.options.get(option) {
            None => Ok(None),
            Some(OptionValue::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => {
                Err(SettingsError::BadOption { option, problem: "it must be true or false".to_owned() })
            }
        }
    }

    /// The option's texts; a single text is a list of one.
    ///
    /// # Errors
    /// When it is set to something else.
    pub(crate) fn texts(&self, option: &'static str) -> Result<Vec<&str>, SettingsError> {
        match self.options.get(option) {
            None => Ok(Vec::new()),
            Some(OptionValue::Text(text)) => Ok(vec![text]),
            Some(OptionValue::Texts(texts)) => Ok(texts.iter().map(String::as_str).collect()),
            Some(_) => Err(SettingsError::BadOption {
                option,
                problem: "it must be a text or a list of texts".to_owned(),
            }),
        }
    }

    /// Refuses options that are not in `known`.
    ///
    /// # Errors
    /// [`SettingsError::UnknownOption`].
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), SettingsError> {
        match self.options.keys().find(|option| !known.contains(&option.as_str())) {
            None => Ok(()),
            Some(option) => Err(SettingsError::UnknownOption {
                option: option.clone(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            }),
        }
    }
}
