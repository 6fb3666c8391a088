use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use matchpurse_domain::grants::Limits;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::known_exponent;
use matchpurse_domain::source::SourcePolicy;
use matchpurse_operations::parked::Outlet;
use matchpurse_reading::Readings;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, StoreOptions};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::auth::{Access, KeysError};
use crate::books::Books;
use crate::console::{Failures, Sealer};
use crate::cors::Origins;
use crate::event_stream::Heads;
use crate::failure::{Failure, Result};
use crate::ingresses::Ingress;
use crate::offers::{Asker, Hub, Slots};
use crate::token_checks::TokenChecks;

/// What every request needs; one for the process.
pub(crate) struct Api {
    pub(crate) store: Store,
    /// Who may ask.
    pub(crate) access: Access,
    /// Whose pages may read the answers.
    pub(crate) origins: Origins,
    policies: BTreeMap<SourceName, SourcePolicy>,
    limits: BTreeMap<SourceName, Limits>,
    /// The sources whose finals may decide matches of others.
    pub(crate) deciding: BTreeSet<SourceName>,
    /// How many persons a correction needs.
    pub(crate) approvals: i16,
    /// Questions about offers.
    pub(crate) asker: Asker,
    /// Who reads the changes of offers for all streams.
    pub(crate) hub: Hub,
    /// How far the archive goes, for streams of events.
    pub(crate) heads: Heads,
    /// How often a stream that has nothing to tell gives a sign of life.
    pub(crate) stream_heartbeat: Duration,
    /// The streams that are open.
    pub(crate) slots: Slots,
    /// How long the client of a stream may take nothing.
    pub(crate) stream_patience: Duration,
    /// Whether endpoints that are made here may be in private networks.
    pub(crate) endpoints_allow_private: bool,
    /// Today's adapters, for what nobody could read when it came.
    pub(crate) readings: Arc<Readings>,
    /// Whose match tokens are.
    pub(crate) token_checks: TokenChecks,
    /// Where events go that are new to everybody.
    pub(crate) outlet: Outlet,
    /// Where deliveries are taken.
    pub(crate) ingress: Ingress,
    /// The ledger's sums.
    pub(crate) books: Arc<Books>,
    /// What each source's provider is called.
    providers: BTreeMap<SourceName, String>,
    /// For a body to arrive.
    pub(crate) body_time: Duration,
    /// The sessions of the console.
    pub(crate) sealer: Sealer,
    /// Who tried to log in there, and could not.
    pub(crate) logins: Failures,
    runtime: Handle,
    /// The requests in work.
    work: TaskTracker,
}

impl Api {
    /// Requests will run on the present runtime.
    ///
    /// # Errors
    /// When the keys of JWTs cannot be read.
    pub(crate) fn new(
        settings: &Settings,
        store: Store,
        options: StoreOptions,
        sealer: Sealer,
        token_checks: TokenChecks,
    ) -> Result<Self, KeysError> {
        let limits = |(name, source): (&SourceName, &matchpurse_settings::SourceSettings)| {
            Some((name.clone(), source.rewards().limits.clone()?))
        };
        let policy = |(name, source): (&SourceName, &matchpurse_settings::SourceSettings)| {
            (name.clone(), source.policy().clone())
        };
        let provider = |(name, source): (&SourceName, &matchpurse_settings::SourceSettings)| {
            (name.clone(), source.provider().to_owned())
        };
        let heartbeat = Duration::from_millis(settings.api.stream_heartbeat_ms);
        let hub = Hub::new(store.clone(), options, heartbeat);
        Ok(Self {
            asker: Asker::new(&store),
            heads: Heads::new(store.clone(), hub.closing()),
            hub,
            stream_heartbeat: heartbeat,
            slots: Slots::new(settings.api.streams_max, settings.api.streams_per_token_max),
            // Whoever reads at all has taken at least the signs of life.
            stream_patience: heartbeat.saturating_mul(2),
            books: Books::new(store.clone()),
            store,
            access: Access::new(&settings.api)?,
            origins: Origins::new(&settings.api.cors_origins),
            policies: settings.sources.iter().map(policy).collect(),
            limits: settings.sources.iter().filter_map(limits).collect(),
            deciding: settings
                .sources
                .iter()
                .filter(|(_, own)| own.decides_linked())
                .map(|(name, _)| name.clone())
                .collect(),
            approvals: settings.operations.correction_approvals.into(),
            endpoints_allow_private: settings.api.endpoints_allow_private,
            token_checks,
            readings: Arc::new(Readings::new(settings)),
            outlet: if settings.broker.url.is_some() { Outlet::Broker } else { Outlet::Workers },
            ingress: Ingress::new(settings),
            providers: settings.sources.iter().map(provider).collect(),
            body_time: Duration::from_millis(settings.api.request_timeout_ms),
            sealer,
            logins: Failures::new(),
            runtime: Handle::current(),
            work: TaskTracker::new(),
        })
    }

    /// The rules of a source.
    pub(crate) fn policy(&self, source: &SourceName) -> Result<&SourcePolicy> {
        self.policies.get(source).ok_or_else(|| Failure::unknown_source(source.as_str()))
    }

    /// The sources of the configuration, by name.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(SourceName::as_str)
    }

    /// What a source's provider is called; nothing where the source is not configured.
    pub(crate) fn provider(&self, source: &SourceName) -> &str {
        self.providers.get(source).map_or("", String::as_str)
    }

    /// How many minor units of a currency make a whole one, as a power of ten: of the sources' own currencies the
    /// configuration says it.
    pub(crate) fn exponent(&self, currency: &str) -> Option<u8> {
        let configured = self.policies.values().find(|policy| policy.currency.code.as_str() == currency);
        configured.map(|policy| policy.currency.exponent).or_else(|| known_exponent(currency))
    }

    /// How much of a source's rewards may be given in a time, where that is limited.
    pub(crate) fn limits(&self, source: &SourceName) -> Option<&Limits> {
        self.limits.get(source)
    }

    /// The failure of a look-up that found nothing: a source that is not configured is the likelier mistake.
    pub(crate) fn not_found(&self, source: &SourceName, otherwise: Failure) -> Failure {
        self.policy(source).err().unwrap_or(otherwise)
    }

    /// Runs a request's work to its end, also when the client is gone before it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let running = self.work.spawn_on(work.in_current_span(), &self.runtime);
        running.await.unwrap_or_else(|panic| Err(Failure::internal(panic.to_string())))
    }

    /// Does work that no request waits for, until it ends by itself.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.work.spawn_on(work.in_current_span(), &self.runtime);
    }

    /// Waits until nothing is in work any more; nothing new may be begun then.
    pub(crate) async fn idle(&self) {
        self.work.close();
        self.work.wait().await;
    }
}
