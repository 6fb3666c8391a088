//! The configured sources as their adapters see them, what arrives as events, and archived deliveries read once more.
//!
//! A delivery that nobody could read when it came may be readable for a later version, or after a change of the
//! configuration. It is read from the archive then, by today's adapter, and without its signature: [`Verified::again`]
//! takes over who vouched for it when it came, by which method and with which key, and only the store can give what
//! that is made from.

mod arrival;

use std::collections::BTreeMap;

use bytes::Bytes;
use matchpurse_domain::event::{Event, Kept, Payload, Provenance};
use matchpurse_domain::ids::{EventId, SourceName};
pub use matchpurse_providers::Guide;
use matchpurse_providers::{AdapterSettings, KeySet, Keys, OptionValue, Provider, SettingsError, Verified};
use matchpurse_settings::{OptionValue as ConfiguredOption, Settings, SourceSettings};

pub use self::arrival::Arrival;

/// Why a delivery cannot be read today either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The source is not configured (any more).
    #[error("source {0} is not configured")]
    UnknownSource(SourceName),
    /// The source has changed to another provider since.
    #[error("the source is of provider {now} by now, and the delivery is of {then}")]
    OtherProvider {
        /// Whose it was.
        then: String,
        /// Whose it is.
        now: String,
    },
    /// As when it came; the reason may be another one.
    #[error("it cannot be read today either: {0}")]
    Still(String),
    /// It asked something that was answered when it came, and the answer stands.
    #[error(
        "its sender has had an answer about money when it came, and that stands; it can only be discarded"
    )]
    Answered,
}

/// The configured sources, ready to read what was archived.
#[derive(Clone, Default)]
pub struct Readings {
    sources: BTreeMap<SourceName, (&'static dyn Provider, AdapterSettings)>,
}

impl Readings {
    /// Those of the settings; a source of a provider that this build does not know reads nothing.
    pub fn new(settings: &Settings) -> Self {
        let source = |(name, source): (&SourceName, &SourceSettings)| {
            let adapter = matchpurse_providers::by_id(source.provider())?;
            Some((name.clone(), (adapter, adapter_settings(source))))
        };
        Self { sources: settings.sources.iter().filter_map(source).collect() }
    }

    /// How a source is verified and set up at its provider, and which methods its deliveries have; none where it is not
    /// configured, or of a provider that this build does not know.
    pub fn guide(&self, source: &SourceName) -> Option<(Guide, Vec<&'static str>)> {
        let (adapter, _) = self.sources.get(source)?;
        Some((adapter.guide(), adapter.methods().iter().map(|method| method.as_str()).collect()))
    }

    /// Whether the source's provider is told of results that the studio tells us.
    pub fn takes_results(&self, source: &SourceName) -> bool {
        // Only who tells it has the key.
        self.sources.get(source).is_some_and(|(adapter, settings)| {
            let reports = adapter.result_reports(settings, &Keys::default());
            matches!(reports, Ok(Some(_)) | Err(SettingsError::NoApiKey { .. }))
        })
    }

    /// Reads an archived delivery with today's adapter. The events have ids of their own, beside the one that is
    /// archived: what came stays as it was, and what is made of it now is archived too.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_again(&self, kept: &Kept) -> Result<Vec<Event>, Unreadable> {
        let then = kept.event();
        let (adapter, settings) =
            self.sources.get(&then.source).ok_or_else(|| Unreadable::UnknownSource(then.source.clone()))?;
        if adapter.id() != then.provider {
            let (then, now) = (then.provider.clone(), adapter.id().to_owned());
            return Err(Unreadable::OtherProvider { then, now });
        }
        let verified = Verified::again(kept);
        let normalized = adapter.normalize(&verified, settings);
        let normalized = normalized.map_err(|error| Unreadable::Still(error.to_string()))?;
        if normalized.question.is_some() {
            return Err(Unreadable::Answered);
        }
        let mut events = Vec::new();
        let mut objections = Vec::new();
        for (index, new) in (0..).zip(normalized.events) {
            if let Payload::Unrecognized(why) = &new.payload {
                objections.push(why.reason.clone());
                continue;
            }
            events.push(Event {
                id: EventId::of_reading(then.delivery_id, index),
                delivery_id: then.delivery_id,
                source: then.source.clone(),
                provider: then.provider.clone(),
                provider_type: normalized.provider_type.clone(),
                subject: new.subject,
                occurred_at: new.occurred_at,
                received_at: then.received_at,
                provenance: Provenance {
                    body_authenticated: verified.body_authenticated(),
                    amount_rounded: normalized.amount_rounded,
                    vouched: Some(verified.vouched()),
                },
                // The delivery's first event has it.
                raw: Bytes::new(),
                payload: new.payload,
            });
        }
        if events.is_empty() { Err(Unreadable::Still(objections.join("; "))) } else { Ok(events) }
    }
}

/// What an adapter is told of a source, to verify, normalize or sign.
pub fn adapter_settings(source: &SourceSettings) -> AdapterSettings {
    let options = source.options().iter();
    AdapterSettings {
        policy: source.policy().clone(),
        options: options.map(|(name, value)| (name.clone(), option_value(value))).collect(),
    }
}

/// The keys that the source's provider is called with, `keys.api`, and no others: who calls has no business with those that
/// deliveries are verified with.
pub fn api_keys(source: &SourceSettings) -> Keys {
    let keys = source.keys("api").iter();
    Keys {
        api: KeySet::new(keys.map(|key| Bytes::copy_from_slice(key.expose().as_bytes()))),
        ..Keys::default()
    }
}

/// Adapters know nothing of the configuration's schema, and it knows nothing of them.
fn option_value(value: &ConfiguredOption) -> OptionValue {
    match value {
        ConfiguredOption::Text(text) => OptionValue::Text(text.clone()),
        ConfiguredOption::Flag(flag) => OptionValue::Flag(*flag),
        ConfiguredOption::Number(number) => OptionValue::Number(*number),
        ConfiguredOption::Texts(texts) => OptionValue::Texts(texts.clone()),
    }
}
