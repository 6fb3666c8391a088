//! `[endpoints.NAME]`: where the studio's back-end takes its notices.

use std::fmt::Display;

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::{EndpointName, EventPattern, SigningKey, TargetUrl};
use matchpurse_service_kit::config::SecretValue;
use serde::{Deserialize, Serialize};

/// What stands in a status URL for the notice that is asked about.
const PLACE: &str = "{webhook_id}";

/// An endpoint, checked; neither `Debug` nor a rendering shows its secrets or the query of its URLs.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// Where notices are sent.
    pub url: TargetUrl,
    /// The keys that sign them, all of them at once.
    pub keys: Vec<SigningKey>,
    /// Which notices; none stands for all.
    pub events: Vec<EventPattern>,
    /// Of which sources; none stands for all.
    pub sources: Vec<SourceName>,
    /// Whether the notices of one subject wait for each other.
    pub ordered: bool,
    /// Where to ask whether a notice has arrived; `{webhook_id}` stands for which.
    pub status_url: Option<TargetUrl>,
    /// Whether the endpoint may be in a private network.
    pub allow_private: bool,
}

/// An endpoint as it is written. The URLs may hold tokens, so they may come from files as well.
#[derive(Debug, Deserialize)]
pub(crate) struct EndpointTable {
    url: SecretValue,
    secrets: Vec<SecretValue>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    ordered: bool,
    status_url: Option<SecretValue>,
    #[serde(default)]
    allow_private: bool,
}

/// An endpoint as it is shown.
#[derive(Serialize)]
struct Shown<'e> {
    url: &'e str,
    secrets: Vec<&'static str>,
    events: Vec<&'e str>,
    sources: Vec<&'e str>,
    ordered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<&'e str>,
    allow_private: bool,
}

impl EndpointSettings {
    /// Checks an endpoint's table; every problem goes to `add` with its key, and then there is no endpoint. `known`
    /// says whether there is a source of that name.
    pub(crate) fn new(
        table: &EndpointTable,
        known: &dyn Fn(&str) -> Result<(), String>,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<Self> {
        let url = checked(TargetUrl::parse(table.url.expose()), "url", add);
        let status_url = match &table.status_url {
            None => Some(None),
            Some(text) if !text.expose().contains(PLACE) => {
                add("status_url", format!("must have `{PLACE}` in it, for which notice is asked about"));
                None
            }
            Some(text) => checked(TargetUrl::parse(text.expose()), "status_url", add).map(Some),
        };
        let keys = each(&table.secrets, "secrets", add, |secret| SigningKey::parse(secret.expose()));
        if table.secrets.is_empty() {
            add("secrets", "must have at least one secret: notices are always signed".to_owned());
        }
        let events = each(&table.events, "events", add, |text| EventPattern::parse(text));
        let sources = each(&table.sources, "sources", add, |text| {
            known(text)?;
            SourceName::parse(text).map_err(|error| error.to_string())
        });
        let keys = keys.filter(|keys| !keys.is_empty());
        Some(Self {
            url: url?,
            keys: keys?,
            events: events?,
            sources: sources?,
            ordered: table.ordered,
            status_url: status_url?,
            allow_private: table.allow_private,
        })
    }
}

fn checked<T, E: Display>(parsed: Result<T, E>, key: &str, add: &mut dyn FnMut(&str, String)) -> Option<T> {
    parsed.map_err(|error| add(key, error.to_string())).ok()
}

/// All of a list, or none when one of it is wrong.
fn each<S, T, E: Display>(
    list: &[S],
    key: &str,
    add: &mut dyn FnMut(&str, String),
    parse: impl Fn(&S) -> Result<T, E>,
) -> Option<Vec<T>> {
    // Every problem is told, not the first one alone.
    let parsed: Vec<Option<T>> = (1_usize..)
        .zip(list)
        .map(|(place, item)| parse(item).map_err(|error| add(key, format!("number {place}: {error}"))).ok())
        .collect();
    parsed.into_iter().collect()
}

/// An endpoint's name in the configuration.
pub(crate) fn name(text: &str) -> Result<EndpointName, String> {
    EndpointName::parse(text).map_err(|error| error.to_string())
}

impl Serialize for EndpointSettings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = Shown {
            url: self.url.shown(),
            secrets: self.keys.iter().map(|_| "[redacted]").collect(),
            events: self.events.iter().map(EventPattern::as_str).collect(),
            sources: self.sources.iter().map(SourceName::as_str).collect(),
            ordered: self.ordered,
            status_url: self.status_url.as_ref().map(TargetUrl::shown),
            allow_private: self.allow_private,
        };
        shown.serialize(serializer)
    }
}
