//! Headers that vouch for a body, or that pretend to.

use std::collections::HashMap;
use std::sync::Mutex;

use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::ScriptedDelivery;
use matchpurse_providers::{KeyError, KeyRole, SignRequest};

use crate::forgery::{Forgery, altered};
use crate::source::SimulatedSource;

/// How long the headers of a provider that signs no bodies are used again, in seconds: a token is fetched
/// once and used until it nearly expires, as the provider itself would.
const REUSE_S: i64 = 60;

/// Header names and values.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// Signs the deliveries of one source.
#[derive(Debug)]
pub(crate) struct Signer {
    covers_body: bool,
    kept: Mutex<HashMap<KeyRole, (Timestamp, Headers)>>,
}

/// The headers over `body` at a fixed time, to find out what a signature covers.
pub(crate) fn probe(source: &SimulatedSource, body: &[u8]) -> Result<Headers, KeyError> {
    let method = source.provider.methods().first().copied();
    let method = method.ok_or_else(|| KeyError("the provider has no method".to_owned()))?;
    let request = SignRequest {
        method,
        body,
        key: &source.webhook,
        role: KeyRole::Webhook,
        now: Timestamp::from_seconds(0),
        settings: &source.settings,
    };
    source.provider.sign(&request).map(|signed| signed.headers)
}

impl Signer {
    pub(crate) fn new(covers_body: bool) -> Self {
        Self { covers_body, kept: Mutex::new(HashMap::new()) }
    }

    /// The headers of a delivery as the provider sends it.
    pub(crate) fn sign(
        &self,
        source: &SimulatedSource,
        delivery: &ScriptedDelivery,
        now: Timestamp,
    ) -> Result<Headers, KeyError> {
        if self.covers_body {
            return sign(source, delivery, now, source.key(delivery.role).map(AsRef::as_ref));
        }
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match kept.get(&delivery.role) {
            Some((at, headers)) if now < at.plus_seconds(REUSE_S) => Ok(headers.clone()),
            _ => {
                let headers = sign(source, delivery, now, source.key(delivery.role).map(AsRef::as_ref))?;
                kept.insert(delivery.role, (now, headers.clone()));
                Ok(headers)
            }
        }
    }

    /// The headers of a forgery; the body stays as it is, or is altered afterwards.
    pub(crate) fn forge(
        &self,
        source: &SimulatedSource,
        delivery: &ScriptedDelivery,
        now: Timestamp,
        forgery: Forgery,
    ) -> Result<Headers, KeyError> {
        let signed = self.sign(source, delivery, now)?;
        let alter =
            |headers: Headers| headers.into_iter().map(|(name, value)| (name, altered(&value))).collect();
        Ok(match forgery {
            Forgery::AlteredBody => signed,
            Forgery::NoSignature => Vec::new(),
            Forgery::DoubledSignature => signed.iter().chain(&signed).cloned().collect(),
            Forgery::AlteredSignature => alter(signed),
            // Not every text is a key; then the next best thing is done.
            Forgery::ForeignKey => match sign(source, delivery, now, Some(&source.foreign)) {
                Ok(foreign) => foreign,
                Err(_) => alter(signed),
            },
        })
    }
}

fn sign(
    source: &SimulatedSource,
    delivery: &ScriptedDelivery,
    now: Timestamp,
    key: Option<&[u8]>,
) -> Result<Headers, KeyError> {
    let key = key.ok_or_else(|| KeyError("the source has no key of that role".to_owned()))?;
    let request = SignRequest {
        method: delivery.method,
        body: &delivery.body,
        key,
        role: delivery.role,
        now,
        settings: &source.settings,
    };
    source.provider.sign(&request).map(|signed| signed.headers)
}
