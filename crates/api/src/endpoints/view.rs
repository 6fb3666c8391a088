use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::EventPattern;
use matchpurse_operations::endpoints::MadeSecret;
use matchpurse_store::ExposeSecret as _;
use matchpurse_store::dispatch::{Disabled, Endpoint, EndpointLine, EndpointState, Origin, SecretLine};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::deliveries::view::OperationView;
use crate::moment::Moment;

/// An endpoint as a list has it: its URLs without their queries, which may hold tokens, and no secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(crate) struct EndpointView {
    name: String,
    /// `configuration` or `api`.
    origin: &'static str,
    /// `enabled`, `disabled` or `removed`.
    state: &'static str,
    /// `gone`, `operator` or `removed`.
    disabled_for: Option<&'static str>,
    disabled_at: Option<Moment>,
    url: String,
    status_url: Option<String>,
    /// None stands for all.
    events: Vec<String>,
    /// None stands for all.
    sources: Vec<String>,
    ordered: bool,
    /// Whether it may be in a private network; only the configuration says so.
    allow_private: bool,
    created_at: Moment,
    health: HealthView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EndpointHealth)]
pub(crate) struct HealthView {
    /// Since the last success.
    failures: u32,
    /// Until when its circuit breaker lets nothing through.
    paused_until: Option<Moment>,
    /// How many sends at once it can take, where that is less than what is configured.
    sends_max: Option<u32>,
    /// How many deliveries wait for it; 10,000 stands for at least as many.
    waiting: i64,
    /// How many were given up; 10,000 stands for at least as many.
    given_up: i64,
    oldest_waiting_at: Option<Moment>,
}

/// An endpoint with all that is known of it.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointDetail)]
pub(crate) struct WholeView {
    #[serde(flatten)]
    pub(crate) endpoint: EndpointView,
    /// None where the configuration has them.
    pub(crate) secrets: Option<Vec<SecretView>>,
    /// What was done to it and its deliveries, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) operations: Vec<OperationView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EndpointSecret)]
pub(crate) struct SecretView {
    /// What stands for it.
    id: String,
    added_at: Moment,
    /// The secret itself: once, in the answer to what made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl EndpointView {
    pub(crate) fn of(line: EndpointLine, api: &Api) -> Self {
        let EndpointLine { endpoint, created_at, waiting, given_up, oldest_at } = line;
        let Endpoint { spec, origin, allow_private, disabled, health, .. } = endpoint;
        let state = match disabled {
            None => EndpointState::Enabled,
            Some((Disabled::Gone | Disabled::Operator, _)) => EndpointState::Disabled,
            Some((Disabled::Removed, _)) => EndpointState::Removed,
        };
        Self {
            name: spec.name.to_string(),
            origin: origin.as_str(),
            state: state.as_str(),
            disabled_for: disabled.map(|(why, _)| why.as_str()),
            disabled_at: disabled.map(|(_, at)| at.into()),
            url: spec.url.shown().to_owned(),
            status_url: spec.status_url.as_ref().map(|url| url.shown().to_owned()),
            events: spec.events.iter().map(EventPattern::to_string).collect(),
            sources: spec.sources.iter().map(SourceName::to_string).collect(),
            ordered: spec.ordered,
            allow_private: match origin {
                Origin::Configuration => allow_private,
                Origin::Api => api.endpoints_allow_private,
            },
            created_at: created_at.into(),
            health: HealthView {
                failures: health.failures,
                paused_until: health.paused_until.map(Moment),
                sends_max: health.width,
                waiting,
                given_up,
                oldest_waiting_at: oldest_at.map(Moment),
            },
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Secrets as they are shown: those that were just made in full, for the first and last time.
pub(crate) fn secrets(lines: Vec<SecretLine>, made: Vec<MadeSecret>) -> Vec<SecretView> {
    let view = |line: SecretLine| {
        let of_it = made.iter().find(|made| made.id == line.id);
        let secret = of_it.map(|made| made.secret.expose_secret().to_owned());
        SecretView { id: line.id, added_at: line.added_at.into(), secret }
    };
    lines.into_iter().map(view).collect()
}
