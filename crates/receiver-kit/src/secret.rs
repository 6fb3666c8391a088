use matchpurse_domain::webhook::{KeyError, SigningKey};
use matchpurse_service_kit::config::SecretValue;

/// The secret that an endpoint has been given, as text and as key; never shown.
#[derive(Debug, Clone)]
pub struct EndpointSecret {
    text: SecretValue,
    key: SigningKey,
}

impl EndpointSecret {
    /// Reads `whsec_` and the key in base64.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = SigningKey::parse(text)?;
        // What could be parsed is not empty.
        let text = SecretValue::new(text).ok_or(KeyError::Prefix)?;
        Ok(Self { text, key })
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The text, as those have it who do not decode it.
    pub(crate) fn text(&self) -> &str {
        self.text.expose()
    }
}
