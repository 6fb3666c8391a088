use std::sync::Arc;
use std::time::Duration;

use matchpurse_domain::ids::SourceName;
use matchpurse_provider_calls::Caller;
use matchpurse_providers::{AdapterSettings, Inquiries, InquiryKind, Provider};
use matchpurse_reading::{adapter_settings, api_keys};
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join};
use matchpurse_service_kit::http_client::HttpClient;
use matchpurse_settings::Settings;
use matchpurse_store::Store;

/// One source that can be asked.
pub struct Asker {
    pub(crate) source: SourceName,
    pub(crate) adapter: &'static dyn Provider,
    pub(crate) settings: AdapterSettings,
    pub(crate) inquiries: Box<dyn Inquiries>,
}

/// One with what its calls go out by.
pub(crate) struct Calling {
    pub(crate) asker: Asker,
    pub(crate) caller: Caller,
}

/// Checks whether every source that wants its provider to be asked can have it so.
///
/// # Errors
/// [`ConfigError::Problems`], with the problems of all sources.
pub fn check_inquiries(settings: &Settings) -> Result<(), ConfigError> {
    Asker::all(settings).map(drop)
}

impl Asker {
    /// The sources of the configuration whose providers are to be asked.
    ///
    /// # Errors
    /// As [`check_inquiries`].
    pub fn all(settings: &Settings) -> Result<Vec<Self>, ConfigError> {
        let (mut problems, mut all) = (Vec::new(), Vec::new());
        for (name, source) in &settings.sources {
            // Whose provider nobody knows is the ingress's to refuse.
            let Some(adapter) = matchpurse_providers::by_id(source.provider()) else { continue };
            let adapted = adapter_settings(source);
            match adapter.inquiries(&adapted, &api_keys(source)) {
                Ok(None) => {}
                Ok(Some(inquiries)) => {
                    all.push(Self { source: name.clone(), adapter, settings: adapted, inquiries });
                }
                Err(error) => {
                    let key = join("sources", name.as_str());
                    problems.push(Problem { key, origin: None, reason: Reason::Invalid(error.to_string()) });
                }
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(ConfigError::Problems(problems)) }
    }

    /// With what its calls go out by, each of them for `time_limit` at most.
    pub(crate) fn calling(self, client: &HttpClient, store: &Store, time_limit: Duration) -> Arc<Calling> {
        let (source, client) = (self.source.as_str(), client.clone());
        let caller = Caller::new(source, &*self.inquiries, client, store.clone(), time_limit);
        Arc::new(Calling { asker: self, caller })
    }

    /// The words of what it can be asked.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.inquiries.kinds().iter().map(|kind| kind.as_str()).collect()
    }

    /// Whether it can be asked that.
    pub(crate) fn answers(&self, kind: InquiryKind) -> bool {
        self.inquiries.kinds().contains(&kind)
    }
}
