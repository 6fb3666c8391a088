use bytes::Bytes;
pub use matchpurse_domain::event::KeyRole;

use crate::settings::SettingsError;

/// The active keys of one role; several during a rotation. Each is the secret's bytes as given, or a public
/// key as PEM.
#[derive(Clone, Default)]
pub struct KeySet(Vec<Bytes>);

/// The active keys of a source.
#[derive(Clone, Default)]
pub struct Keys {
    /// [`KeyRole::Webhook`]
    pub webhook: KeySet,
    /// [`KeyRole::Postback`]
    pub postback: KeySet,
    /// What we show the provider when we call it: `keys.api` in the configuration. No delivery is verified with it.
    pub api: KeySet,
}

/// Where an adapter's public keys can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKeys {
    /// The URL to GET.
    pub url: String,
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

impl KeySet {
    /// A set of keys; empty ones are dropped, because an empty key would verify what anybody sends.
    pub fn new(keys: impl IntoIterator<Item = Bytes>) -> Self {
        Self(keys.into_iter().filter(|key| !key.is_empty()).collect())
    }

    /// True when there is no key, so nothing can verify.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| key.as_ref())
    }
}

impl Keys {
    /// Refuses keys for postbacks, for a provider that has none.
    ///
    /// # Errors
    /// [`SettingsError::UnusedKey`].
    pub(crate) fn no_postback(&self) -> Result<(), SettingsError> {
        if self.postback.is_empty() { Ok(()) } else { Err(SettingsError::UnusedKey { key: "keys.postback" }) }
    }

    /// Refuses keys for calls, for a provider that is not called.
    ///
    /// # Errors
    /// [`SettingsError::UnusedKey`].
    pub(crate) fn no_api(&self) -> Result<(), SettingsError> {
        if self.api.is_empty() { Ok(()) } else { Err(SettingsError::UnusedKey { key: "keys.api" }) }
    }

    /// Refuses all keys but those of webhooks.
    ///
    /// # Errors
    /// [`SettingsError::UnusedKey`].
    pub(crate) fn only_webhook(&self) -> Result<(), SettingsError> {
        self.no_postback()?;
        self.no_api()
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} key(s), not shown", self.0.len())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "webhook {:?}, postback {:?}, api {:?}", self.webhook, self.postback, self.api)
    }
}
