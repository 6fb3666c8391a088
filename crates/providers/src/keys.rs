use std::num::NonZeroU16;

use bytes::Bytes;
pub use matchpurse_domain::event::KeyRole;
use matchpurse_domain::event::WhichKey;

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

    /// The keys, each with what is noted of it where it vouches: its place, and nothing of what it is.
    pub(crate) fn marked(&self) -> impl Iterator<Item = (&[u8], WhichKey)> {
        marked(self.iter(), self.0.len())
    }
}

/// So many keys, each with its place among them.
pub(crate) fn marked<'k>(
    keys: impl Iterator<Item = &'k [u8]>,
    of: usize,
) -> impl Iterator<Item = (&'k [u8], WhichKey)> {
    let of = u16::try_from(of).unwrap_or(u16::MAX);
    // Nobody has 65535 keys; the last place would be said of all behind it.
    let places = (1..=u16::MAX).chain(std::iter::repeat(u16::MAX)).filter_map(NonZeroU16::new);
    keys.zip(places).map(move |(key, place)| (key, WhichKey { place, of, fingerprint: None }))
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
