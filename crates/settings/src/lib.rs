//! Matchpurse's one configuration: its schema, its defaults and its checks.
//!
//! `default.toml` is compiled in and is the operator's documentation; a file and `MATCHPURSE_*` variables lie
//! over it. Loading either gives settings that are consistent or says, for every problem, where it stands
//! and what would do. What only an adapter knows (its options, whether it needs a secret) is checked by it.

mod checks;
mod endpoint;
mod leaderboard;
mod reload;
mod rewards;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use matchpurse_domain::boards::{Board, BoardName};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::EndpointName;
use matchpurse_service_kit::config::{Environment, Layers, Loaded, Problem, join, nearest};
use serde::{Deserialize, Serialize, Serializer};

pub use endpoint::EndpointSettings;
pub use matchpurse_service_kit::config::{ConfigError, SecretUrl, SecretValue, process_environment};
pub use reload::ConfigFiles;
pub use rewards::{RewardSettings, SchemaText};
pub use sections::{
    ApiScope, ApiSettings, ApiToken, ArchiveSettings, BrokerSettings, DatabaseSettings, DispatcherSettings,
    IngressSettings, IngressTlsSettings, JwtSettings, OperationsSettings, OtlpSettings, ReconcilerSettings,
    TelemetrySettings, WorkerSettings, WorkersSettings,
};
pub use source::{OptionValue, SourceSettings};

/// The defaults, commented: the documentation of every key.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// Which variables are settings. `MATCHPURSE_TEST_*` belongs to the tests' own set-up, `MATCHPURSE_CONFIG`
/// is where the file is, `MATCHPURSE_ENDPOINT_SECRET` is what `verify-endpoint` signs with.
const ENVIRONMENT: Environment<'_> = Environment {
    prefix: "MATCHPURSE_",
    ignored: &["MATCHPURSE_TEST_", "MATCHPURSE_CONFIG", "MATCHPURSE_ENDPOINT_SECRET"],
};

/// The whole configuration, checked. `Debug` shows no secret.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// RabbitMQ, or the transport without it.
    pub broker: BrokerSettings,
    /// What providers reach.
    pub ingress: IngressSettings,
    /// What people and back-ends reach.
    pub api: ApiSettings,
    /// What operators may do.
    pub operations: OperationsSettings,
    /// How long events are kept.
    pub archive: ArchiveSettings,
    /// What applies the events.
    pub workers: WorkersSettings,
    /// What tells the studio.
    pub dispatcher: DispatcherSettings,
    /// The reconciler.
    pub reconciler: ReconcilerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// Where the studio is told, by name.
    #[serde(serialize_with = "endpoints_by_name")]
    pub endpoints: BTreeMap<EndpointName, EndpointSettings>,
    /// What is ranked, by name.
    #[serde(serialize_with = "leaderboards_as_written")]
    pub leaderboards: BTreeMap<BoardName, Board>,
    /// The integrations, by name.
    #[serde(serialize_with = "by_name")]
    pub sources: BTreeMap<SourceName, SourceSettings>,
}

/// The configuration as it is written.
#[derive(Deserialize)]
struct Document {
    database: DatabaseSettings,
    broker: BrokerSettings,
    ingress: IngressSettings,
    api: ApiSettings,
    operations: OperationsSettings,
    archive: ArchiveSettings,
    workers: WorkersSettings,
    dispatcher: DispatcherSettings,
    reconciler: ReconcilerSettings,
    telemetry: TelemetrySettings,
    endpoints: BTreeMap<String, endpoint::EndpointTable>,
    leaderboards: BTreeMap<String, leaderboard::LeaderboardTable>,
    sources: BTreeMap<String, source::SourceTable>,
}

impl Settings {
    /// Loads the configuration: the defaults, `file` over them, the `MATCHPURSE_*` of `environment` over both
    /// (see [`process_environment`]).
    ///
    /// # Errors
    /// [`ConfigError`], with where and what for every problem.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(DEFAULT_TOML)?;
        if let Some(path) = file {
            layers = layers.file(path)?;
        }
        Self::read(layers.environment(&ENVIRONMENT, environment)?)
    }

    /// Reads a TOML text over the defaults, with no environment; errors call the text `settings`.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse_str(text: &str) -> Result<Self, ConfigError> {
        Self::read(Layers::new(DEFAULT_TOML)?.text("settings", text)?)
    }

    /// The configuration in effect as TOML, with every secret replaced.
    pub fn render(&self) -> String {
        // Nothing in the settings is outside of what TOML can express; were it so, the reader learns why.
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    fn read(layers: Layers) -> Result<Self, ConfigError> {
        let Loaded { value: document, origins } = layers.read::<Document>()?;
        let mut problems: Vec<Problem> = Vec::new();
        let mut add = |key: &str, what: String| problems.push(origins.problem(key, what));
        checks::sections(&document, &mut add);
        let endpoints = endpoints(&document, &mut add);
        let leaderboards = leaderboard::boards(&document.leaderboards, &games(&document), &mut add);
        let mut sources = BTreeMap::new();
        for (name, table) in document.sources {
            let key = join("sources", &name);
            match SourceName::parse(&name) {
                Err(error) => add(&key, error.to_string()),
                Ok(name) => {
                    // What is inside is a key with its own tables already.
                    let mut inside = |inner: &str, what| add(&format!("{key}.{inner}"), what);
                    let source = SourceSettings::new(&name, table, &mut inside);
                    sources.extend(source.map(|source| (name, source)));
                }
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Problems(problems));
        }
        let Document {
            mut database,
            broker,
            ingress,
            api,
            operations,
            archive,
            workers,
            dispatcher,
            reconciler,
            telemetry,
            ..
        } = document;
        transport::put_authorities_into_url(&mut database);
        Ok(Self {
            database,
            broker,
            ingress,
            api,
            operations,
            archive,
            workers,
            dispatcher,
            reconciler,
            telemetry,
            endpoints,
            leaderboards,
            sources,
        })
    }

    /// The sources of each game, by the game's name.
    pub fn games(&self) -> BTreeMap<String, BTreeSet<SourceName>> {
        let mut games = BTreeMap::new();
        for (name, source) in &self.sources {
            let sources: &mut BTreeSet<SourceName> = games.entry(source.game().to_owned()).or_default();
            sources.insert(name.clone());
        }
        games
    }
}

/// The same of a configuration that is still being checked.
fn games(document: &Document) -> BTreeMap<String, BTreeSet<SourceName>> {
    let mut games = BTreeMap::new();
    for (name, table) in &document.sources {
        if let Ok(source) = SourceName::parse(name) {
            let sources: &mut BTreeSet<SourceName> = games.entry(table.game(name).to_owned()).or_default();
            sources.insert(source);
        }
    }
    games
}

fn endpoints(
    document: &Document,
    add: &mut dyn FnMut(&str, String),
) -> BTreeMap<EndpointName, EndpointSettings> {
    let known = |source: &str| {
        if document.sources.contains_key(source) {
            return Ok(());
        }
        let near = nearest(source, document.sources.keys().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(format!("there is no source {source:?}{hint}"))
    };
    let mut endpoints = BTreeMap::new();
    for (name, table) in &document.endpoints {
        let key = join("endpoints", name);
        let endpoint = EndpointSettings::new(table, &known, &mut |inner, what| add(&join(&key, inner), what));
        match endpoint::name(name) {
            Err(what) => add(&key, what),
            Ok(name) => endpoints.extend(endpoint.map(|endpoint| (name, endpoint))),
        }
    }
    endpoints
}

fn endpoints_by_name<S: Serializer>(
    endpoints: &BTreeMap<EndpointName, EndpointSettings>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(endpoints.iter().map(|(name, endpoint)| (name.as_str(), endpoint)))
}

fn leaderboards_as_written<S: Serializer>(
    boards: &BTreeMap<BoardName, Board>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let tables = boards.iter().map(|(name, board)| (name.as_str(), leaderboard::LeaderboardTable::of(board)));
    serializer.collect_map(tables)
}

fn by_name<S: Serializer>(
    sources: &BTreeMap<SourceName, SourceSettings>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(sources.iter().map(|(name, source)| (name.as_str(), source)))
}
