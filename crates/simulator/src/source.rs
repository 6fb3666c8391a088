use bytes::Bytes;
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::{AdapterSettings, KeyRole, Provider, by_id};

/// A source that is played: who sends, and with which keys.
#[derive(Clone)]
pub struct SimulatedSource {
    /// The provider's adapter.
    pub(crate) provider: &'static dyn Provider,
    /// The source's settings; its name and rules are in the policy.
    pub(crate) settings: AdapterSettings,
    /// The key that signs webhooks: a shared secret's bytes, or a private key as PEM.
    pub(crate) webhook: Bytes,
    /// The key that signs what moves money, where the provider has one for that.
    pub(crate) postback: Option<Bytes>,
    /// What is shown to the provider's API, where it is played.
    pub(crate) api: Option<Bytes>,
    /// A key of somebody else, for forgeries.
    pub(crate) foreign: Bytes,
    /// How often a life is this source's, beside the others'.
    pub(crate) weight: u32,
}

/// Why a source cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No adapter has this id.
    #[error("there is no provider {0:?}")]
    UnknownProvider(String),
    /// A source without a key cannot sign anything.
    #[error("the signing key of source {0} is empty")]
    EmptyKey(SourceName),
}

impl SimulatedSource {
    /// A source that is signed with `webhook_key`; the provider is the one that its policy names.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn new(settings: AdapterSettings, webhook_key: impl Into<Bytes>) -> Result<Self, SourceError> {
        let webhook = webhook_key.into();
        if webhook.is_empty() {
            return Err(SourceError::EmptyKey(settings.policy.source));
        }
        Self::keyed(settings, webhook)
    }

    /// A source whose provider sends nothing and is asked instead, by whoever shows this key.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn asked_only(settings: AdapterSettings, api_key: impl Into<Bytes>) -> Result<Self, SourceError> {
        let name = settings.policy.source.clone();
        let source = Self::keyed(settings, Bytes::new())?.with_api_key(api_key);
        if source.has_api() { Ok(source) } else { Err(SourceError::EmptyKey(name)) }
    }

    fn keyed(settings: AdapterSettings, webhook: Bytes) -> Result<Self, SourceError> {
        let id = &settings.policy.provider;
        let provider = by_id(id).ok_or_else(|| SourceError::UnknownProvider(id.clone()))?;
        let foreign = Bytes::from_static(b"a-key-that-nobody-has-configured");
        Ok(Self { provider, settings, webhook, postback: None, api: None, foreign, weight: 1 })
    }

    /// With a key for what moves money, where the provider signs that with another one.
    #[must_use]
    pub fn with_postback_key(mut self, key: impl Into<Bytes>) -> Self {
        self.postback = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// With the key that is shown to the provider's API, so that it can be played and asked what webhooks did not tell.
    #[must_use]
    pub fn with_api_key(mut self, key: impl Into<Bytes>) -> Self {
        self.api = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// With another key that forgeries are signed with. One is needed where keys are not just bytes:
    /// without it such a forgery has an altered signature instead.
    #[must_use]
    pub fn with_foreign_key(mut self, key: impl Into<Bytes>) -> Self {
        self.foreign = key.into();
        self
    }

    /// With a weight beside the other sources; 1 unless it is set, 0 for a source that is not played.
    #[must_use]
    pub const fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The source's name.
    pub fn name(&self) -> &SourceName {
        &self.settings.policy.source
    }

    /// Whether its provider can be asked.
    pub(crate) const fn has_api(&self) -> bool {
        self.api.is_some()
    }

    /// Whether its provider sends nothing.
    pub(crate) const fn is_asked_only(&self) -> bool {
        self.webhook.is_empty()
    }

    /// The key of a role, if there is one.
    pub(crate) fn key(&self, role: KeyRole) -> Option<&Bytes> {
        match role {
            KeyRole::Webhook => Some(&self.webhook),
            KeyRole::Postback => self.postback.as_ref(),
            KeyRole::Api => self.api.as_ref(),
        }
    }
}

impl std::fmt::Debug for SimulatedSource {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedSource")
            .field("settings", &self.settings)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
