use std::fmt::Display;

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use matchpurse_operations::endpoints::{Change, SecretChoice};
use matchpurse_service_kit::target::forbidden_host;
use matchpurse_store::dispatch::EndpointSpec;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::problems::Kind;

/// The most patterns of events, and names of sources.
const FILTERS_MAX: usize = 100;

/// What stands in a status URL for the notice that is asked about.
const PLACE: &str = "{webhook_id}";

/// A new endpoint.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEndpoint)]
pub(crate) struct NewBody {
    name: String,
    url: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    ordered: bool,
    status_url: Option<String>,
    /// One is made where none is said.
    secrets: Option<Vec<Choice>>,
    pub(crate) reason: String,
}

/// What is to be changed of an endpoint; what is not there stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EndpointChange)]
pub(crate) struct ChangeBody {
    #[serde(default, deserialize_with = "there")]
    #[schema(nullable = false)]
    url: Option<String>,
    #[serde(default, deserialize_with = "there")]
    #[schema(nullable = false)]
    events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "there")]
    #[schema(nullable = false)]
    sources: Option<Vec<String>>,
    #[serde(default, deserialize_with = "there")]
    #[schema(nullable = false)]
    ordered: Option<bool>,
    /// Null stands for nobody who is asked.
    #[serde(default, deserialize_with = "there")]
    status_url: Option<Option<String>>,
    pub(crate) reason: String,
}

/// The secrets that an endpoint shall have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSecrets)]
pub(crate) struct SecretsBody {
    secrets: Vec<Choice>,
    pub(crate) reason: String,
}

/// `"new"`, `{"keep": ID}` or `{"given": SECRET}`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SecretChoice)]
pub(crate) enum Choice {
    New,
    Keep(String),
    Given(String),
}

/// Tells a member that is null from one that is not there: only what may be null takes it.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl NewBody {
    pub(crate) fn read(self, api: &Api) -> Result<(EndpointSpec, Vec<SecretChoice>)> {
        let spec = EndpointSpec {
            name: EndpointName::parse(&self.name).map_err(wrong("name"))?,
            url: url("url", &self.url, api)?,
            events: events(&self.events)?,
            sources: sources(&self.sources, api)?,
            ordered: self.ordered,
            status_url: self.status_url.as_deref().map(|text| status_url(text, api)).transpose()?,
        };
        let choices = match self.secrets {
            None => vec![SecretChoice::New],
            Some(choices) => read_choices(choices)?,
        };
        if choices.iter().any(|choice| matches!(choice, SecretChoice::Keep(_))) {
            return Err(Failure::invalid_body("secrets", "a new endpoint has none that could be kept"));
        }
        Ok((spec, choices))
    }
}

impl ChangeBody {
    pub(crate) fn read(self, api: &Api) -> Result<Change> {
        let change = Change {
            url: self.url.map(|text| url("url", &text, api)).transpose()?,
            events: self.events.map(|texts| events(&texts)).transpose()?,
            sources: self.sources.map(|texts| sources(&texts, api)).transpose()?,
            ordered: self.ordered,
            status_url: match self.status_url {
                None => None,
                Some(None) => Some(None),
                Some(Some(text)) => Some(Some(status_url(&text, api)?)),
            },
        };
        if change == Change::default() {
            return Err(Failure::invalid_body(
                "body",
                "say what to change: url, events, sources, ordered or status_url",
            ));
        }
        Ok(change)
    }
}

impl SecretsBody {
    pub(crate) fn read(self) -> Result<Vec<SecretChoice>> {
        read_choices(self.secrets)
    }
}

fn read_choices(choices: Vec<Choice>) -> Result<Vec<SecretChoice>> {
    let read = |(place, choice)| match choice {
        Choice::New => Ok(SecretChoice::New),
        Choice::Keep(id) => Ok(SecretChoice::Keep(id)),
        Choice::Given(secret) => SecretChoice::given(secret.into())
            .map_err(|error| Failure::invalid_body(&format!("secrets[{place}].given"), error.to_string())),
    };
    choices.into_iter().enumerate().map(read).collect()
}

fn wrong<E: Display>(field: &str) -> impl Fn(E) -> Failure {
    move |error| Failure::invalid_body(field, error.to_string())
}

/// Where an operator may have requests sent to. Where a name leads to is judged when it is sent to; what leads into a
/// private network however one looks at it is refused at once.
fn url(field: &str, text: &str, api: &Api) -> Result<TargetUrl> {
    let url = TargetUrl::parse(text).map_err(wrong(field))?;
    match forbidden_host(url.expose()).filter(|_| !api.endpoints_allow_private) {
        None => Ok(url),
        Some(forbidden) => Err(Failure::new(Kind::PrivateTarget, format!(
                "{forbidden}: endpoints in private networks stand in the configuration, or are allowed there by \
                 `api.endpoints_allow_private`"
            ),
        )
        .with("field", field)),
    }
}

fn status_url(text: &str, api: &Api) -> Result<TargetUrl> {
    if !text.contains(PLACE) {
        let detail = format!("must have `{PLACE}` in it, for which notice is asked about");
        return Err(Failure::invalid_body("status_url", detail));
    }
    url("status_url", text, api)
}

fn events(texts: &[String]) -> Result<Vec<EventPattern>> {
    few("events", texts)?;
    texts.iter().map(|text| EventPattern::parse(text).map_err(wrong("events"))).collect()
}

fn sources(texts: &[String], api: &Api) -> Result<Vec<SourceName>> {
    few("sources", texts)?;
    let known = |text: &String| {
        let source = SourceName::parse(text).map_err(wrong("sources"))?;
        match api.policy(&source) {
            Ok(_) => Ok(source),
            Err(_) => Err(Failure::invalid_body("sources", format!("no source {text:?} is configured"))),
        }
    };
    texts.iter().map(known).collect()
}

fn few(field: &str, texts: &[String]) -> Result<()> {
    if texts.len() > FILTERS_MAX {
        return Err(Failure::invalid_body(field, format!("at most {FILTERS_MAX}")));
    }
    Ok(())
}
