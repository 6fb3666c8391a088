//! The fixed tables of the configuration; `default.toml` says what each key means to an operator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use matchpurse_service_kit::config::{SecretUrl, SecretValue};
use matchpurse_service_kit::network::Network;
use matchpurse_service_kit::telemetry::LogFormat;
use matchpurse_service_kit::trace::TraceOptions;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// `[database]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct DatabaseSettings {
    /// `postgres://…`
    #[serde(deserialize_with = "database_url")]
    pub url: SecretUrl,
    /// Whose certificates are believed, as a file of PEM; without it, those of the system's authorities.
    #[serde(deserialize_with = "optional_path")]
    pub tls_ca: Option<PathBuf>,
    /// Connections of one service.
    pub pool_size: u16,
    /// For a free connection of the pool.
    pub pool_wait_ms: u64,
    /// For a new connection.
    pub connect_timeout_ms: u64,
    /// PostgreSQL's `statement_timeout`.
    pub statement_timeout_ms: u32,
    /// PostgreSQL's `lock_timeout`.
    pub lock_timeout_ms: u32,
    /// PostgreSQL's `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_timeout_ms: u32,
    /// How much later than the statement's end its answer must have come.
    pub answer_grace_ms: u32,
}

impl DatabaseSettings {
    /// The longest that one answer of the database may take, in ms.
    pub fn answer_timeout_ms(&self) -> u64 {
        u64::from(self.statement_timeout_ms).saturating_add(self.answer_grace_ms.into())
    }
}

/// `[broker]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct BrokerSettings {
    /// `amqp://…`; without it the transport is the spool.
    #[serde(deserialize_with = "broker_url")]
    pub url: Option<SecretUrl>,
    /// Whose certificates are believed for `amqps`, as a file of PEM; without it, those of the system's authorities.
    #[serde(deserialize_with = "optional_path")]
    pub tls_ca: Option<PathBuf>,
    /// For a connection.
    pub connect_timeout_ms: u64,
    /// AMQP heartbeat.
    pub heartbeat_s: u16,
    /// The first pause between attempts to connect.
    pub reconnect_min_ms: u64,
    /// The longest pause between attempts to connect.
    pub reconnect_max_ms: u64,
    /// For a confirm.
    pub confirm_timeout_ms: u64,
    /// Events that wait for their confirm at once.
    pub unconfirmed_max: u32,
    /// Events in one message; 1: none travel together.
    pub group_max_events: u16,
    /// Whether the services declare what has to be on the broker.
    pub declare: bool,
    /// Queues of each worker, but the archive.
    pub shards: u16,
    /// Which of them this process takes from; empty: all.
    pub take_shards: Vec<u16>,
    /// Deliveries a worker holds unacknowledged.
    pub prefetch: u16,
    /// Bytes of their bodies.
    pub held_bytes_max: u32,
    /// Events of one transaction.
    pub batch_max: u16,
    /// Bytes of their bodies.
    pub batch_bytes_max: u32,
    /// For a batch to fill.
    pub batch_wait_ms: u64,
}

/// `[ingress]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct IngressSettings {
    /// `host:port` for the providers.
    pub listen: String,
    /// `host:port` for health and metrics.
    pub admin_listen: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Connections at once, in all and from one address.
    pub connections_max: u32,
    /// Those of one address that is no trusted proxy's.
    pub connections_per_address_max: u32,
    /// Refusals of one strange address, over longer times; 0 for any number.
    pub refusals_per_address_per_second: u32,
    /// And at once after a pause.
    pub refusals_per_address_burst: u32,
    /// Refusals of all strangers at one source, over longer times; 0 for any number.
    pub refusals_per_source_per_second: u32,
    /// And at once after a pause.
    pub refusals_per_source_burst: u32,
    /// Deliveries in work at once.
    pub max_in_flight: u32,
    /// Bytes of their bodies at once.
    pub body_memory_max_bytes: u64,
    /// For one request to arrive.
    pub request_timeout_ms: u64,
    /// What `Retry-After` says.
    pub retry_after_s: u32,
    /// How long to go on after SIGTERM while load balancers learn of it.
    pub drain_delay_ms: u64,
    /// For deliveries in work to end.
    pub drain_timeout_ms: u64,
    /// Whether the database catches events while the broker is away.
    pub spool: bool,
    /// Events that it catches at most.
    pub spool_events_max: u64,
    /// Refused deliveries remembered.
    pub rejected_log_max: u32,
    /// What `listen` shows over TLS; without it somebody in front ends TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTlsSettings>,
}

/// `[ingress.tls]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct IngressTlsSettings {
    /// The server's certificate, and those that vouch for it, as PEM. It is no secret, and as long as one.
    pub certificate: SecretValue,
    /// Its key, as PEM.
    pub key: SecretValue,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ApiSettings {
    /// `host:port` for who reads and operates.
    pub listen: String,
    /// `host:port` for health and metrics.
    pub admin_listen: Option<String>,
    /// For one request to arrive.
    pub request_timeout_ms: u64,
    /// For requests in work to end.
    pub drain_timeout_ms: u64,
    /// Whether endpoints that are made through the API may be in private networks.
    pub endpoints_allow_private: bool,
    /// Streams of changes that may be open at once.
    pub streams_max: u32,
    /// Those of one token.
    pub streams_per_token_max: u32,
    /// Between signs of life in a stream.
    pub stream_heartbeat_ms: u64,
    /// Requests that one token may make a second, over longer times; 0 for any number.
    pub requests_per_second: u32,
    /// Requests that one token may make at once after a pause.
    pub requests_burst: u32,
    /// The origins whose pages may read the answers in a browser.
    pub cors_origins: Vec<String>,
    /// The operators' ports of the ingresses, as `host:port`, where the console asks for what they refused; empty for
    /// `ingress.admin_listen`.
    pub ingress_addresses: Vec<String>,
    /// What the sessions of the console are sealed with; the same for all replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_secret: Option<SecretValue>,
    /// Who may do what, by the actor's name.
    pub tokens: BTreeMap<String, ApiToken>,
    /// Whose JWTs are taken beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtSettings>,
}

/// `[api.tokens.NAME]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ApiToken {
    /// What the bearer shows.
    pub secret: SecretValue,
    /// What the bearer may do.
    pub scopes: Vec<ApiScope>,
    /// Whose it is, where that person has another token or the JWTs of an issuer beside it: the actor, in the place of the
    /// token's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// In the place of `api.requests_per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// In the place of `api.requests_burst`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_burst: Option<u32>,
}

/// `[api.jwt]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct JwtSettings {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must have among its values.
    pub audience: String,
    /// A public key as PEM: RSA or Ed25519.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// A secret that whoever verifies could sign with too: for development.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hs256_secret: Option<SecretValue>,
    /// Whether `hs256_secret` may be used.
    #[serde(default)]
    pub hs256_for_development: bool,
    /// How far clocks may be apart, in seconds.
    #[serde(default = "leeway_s")]
    pub leeway_s: u16,
}

const fn leeway_s() -> u16 {
    30
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiScope {
    /// To see everything.
    Read,
    /// To record what players do: the offers that they start.
    Play,
    /// To move money and to correct, and to record too.
    Operate,
}

impl ApiScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Play, Self::Operate];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Play => "play",
            Self::Operate => "operate",
        }
    }
}

/// `[operations]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct OperationsSettings {
    /// How many persons a correction needs: 1 or 2.
    pub correction_approvals: u8,
}

/// `[archive]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ArchiveSettings {
    /// After how many days a day leaves the archive; 0: never.
    pub keep_days: u16,
}

/// `[workers]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct WorkersSettings {
    /// How often an event is tried before it is parked.
    pub attempts_max: u32,
    /// The first pause before it is tried again.
    pub retry_min_ms: u64,
    /// The longest pause.
    pub retry_max_ms: u64,
    /// How long a loop may not turn.
    pub stall_after_ms: u64,
    /// For a batch in work to end.
    pub drain_timeout_ms: u64,
    /// Between the steps of a search for archived events that a worker never got.
    pub missed_poll_ms: u64,
    /// Between looks for matches after their deadline.
    pub deadline_sweep_ms: u64,
    /// Between looks for results that boards and ratings have not got.
    pub results_poll_ms: u64,
    /// How many players a season of a board has before their ranks are kept.
    pub ranks_players_min: u64,
    /// How old kept ranks may become.
    pub ranks_every_ms: u64,
    /// How long changes of offers are kept for those who resume a stream.
    pub offer_changes_hours: u32,
    /// `[workers.match_escrow]`
    pub match_escrow: WorkerSettings,
    /// `[workers.reward_fulfillment]`
    pub reward_fulfillment: WorkerSettings,
    /// `[workers.player_stats]`
    pub player_stats: WorkerSettings,
    /// `[workers.offer_removal]`
    pub offer_removal: WorkerSettings,
    /// `[workers.event_archive]`
    pub event_archive: WorkerSettings,
}

/// What one worker has for itself.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct WorkerSettings {
    /// `host:port` for health and metrics.
    pub admin_listen: Option<String>,
    /// Instead of `broker.batch_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_max: Option<u16>,
    /// Instead of `broker.prefetch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<u16>,
}

/// `[dispatcher]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct DispatcherSettings {
    /// `host:port` for health and metrics.
    pub admin_listen: Option<String>,
    /// Sends at once.
    pub sends_max: u16,
    /// Sends at once to one endpoint.
    pub sends_per_endpoint_max: u16,
    /// For an answer.
    pub request_timeout_ms: u64,
    /// For a connection.
    pub connect_timeout_ms: u64,
    /// How long a delivery belongs to the dispatcher that took it.
    pub lease_ms: u64,
    /// Between looks for what is due.
    pub poll_ms: u64,
    /// Failures in a row that open an endpoint's circuit breaker.
    pub breaker_failures: u32,
    /// How long it stays open the first time.
    pub breaker_pause_min_ms: u64,
    /// How long it stays open at most.
    pub breaker_pause_max_ms: u64,
    /// How long the loop may not turn.
    pub stall_after_ms: u64,
    /// For sends in flight to end.
    pub drain_timeout_ms: u64,
    /// How long deliveries that have ended are kept.
    pub history_days: u16,
}

/// `[reconciler]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ReconcilerSettings {
    /// `host:port` for health and metrics.
    pub admin_listen: Option<String>,
    /// Between looks for what there is a reason to ask about.
    pub look_every_ms: u64,
    /// Questions asked at once of one source.
    pub asks_max: u16,
    /// Between two lists of offers.
    pub offers_every_s: u32,
    /// After so long without news a match is asked about.
    pub silent_s: u32,
    /// So long before its deadline a match is asked about in any case.
    pub deadline_ahead_s: u32,
    /// Between two questions for a player's matches.
    pub pull_every_s: u32,
    /// For an answer.
    pub request_timeout_ms: u64,
    /// For a connection.
    pub connect_timeout_ms: u64,
    /// How long a question belongs to the reconciler that took it.
    pub lease_ms: u64,
    /// How long no look may succeed.
    pub stall_after_ms: u64,
    /// For what is being asked to end.
    pub drain_timeout_ms: u64,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// In the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Traces.
    pub otlp: OtlpSettings,
}

/// `[telemetry.otlp]`
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct OtlpSettings {
    /// Where OTLP is taken over HTTP, with its path; without it no traces are sent.
    #[serde(deserialize_with = "collector_url")]
    pub endpoint: Option<SecretUrl>,
    /// The share of traces that is sent, from 0 to 1.
    pub sample_ratio: f64,
    /// Spans that wait for the collector at most.
    pub queue_spans_max: u32,
    /// For the collector to answer.
    pub export_timeout_ms: u64,
    /// What is sent along, by name.
    pub headers: BTreeMap<String, SecretValue>,
}

impl OtlpSettings {
    /// Where traces go, and how many; none where there is no endpoint.
    pub fn options(&self) -> Option<TraceOptions> {
        Some(TraceOptions {
            endpoint: self.endpoint.clone()?,
            headers: self.headers.clone().into_iter().collect(),
            sample_ratio: self.sample_ratio,
            queue_spans_max: usize::try_from(self.queue_spans_max).unwrap_or(usize::MAX),
            export_timeout: Duration::from_millis(self.export_timeout_ms),
        })
    }
}

impl WorkersSettings {
    /// All workers with their names, as their packages and queues have them.
    pub fn each(&self) -> [(&'static str, &WorkerSettings); 5] {
        [
            ("match-escrow", &self.match_escrow),
            ("reward-fulfillment", &self.reward_fulfillment),
            ("player-stats", &self.player_stats),
            ("offer-removal", &self.offer_removal),
            ("event-archive", &self.event_archive),
        ]
    }

    /// A worker's own settings by its name: `match-escrow`.
    pub fn of(&self, worker: &str) -> Option<&WorkerSettings> {
        self.each().into_iter().find(|(name, _)| *name == worker).map(|(_, settings)| settings)
    }
}

fn database_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretUrl, D::Error> {
    let url = Option::<SecretUrl>::deserialize(deserializer)?
        .ok_or_else(|| D::Error::custom("must be given, in the file or as MATCHPURSE_DATABASE__URL"))?;
    match url.expose().split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(url),
        _ => Err(D::Error::custom("must begin with `postgres://` or `postgresql://`")),
    }
}

/// An empty text is a path that is not given.
fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    Ok(path.filter(|path| !path.as_os_str().is_empty()))
}

fn collector_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretUrl>, D::Error> {
    let url = Option::<SecretUrl>::deserialize(deserializer)?;
    match url.as_ref().and_then(|url| url.expose().split_once("://")) {
        None | Some(("http" | "https", _)) => Ok(url),
        Some(_) => Err(D::Error::custom("must begin with `http://` or `https://`")),
    }
}

fn broker_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretUrl>, D::Error> {
    let url = Option::<SecretUrl>::deserialize(deserializer)?;
    match url.as_ref().and_then(|url| url.expose().split_once("://")) {
        None | Some(("amqp" | "amqps", _)) => Ok(url),
        Some(_) => Err(D::Error::custom("must begin with `amqp://` or `amqps://`")),
    }
}
