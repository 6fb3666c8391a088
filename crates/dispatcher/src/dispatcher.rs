use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, SigningKey};
use matchpurse_service_kit::trace::{self, Tracer};
use matchpurse_settings::{DispatcherSettings, EndpointSettings, Settings};
use matchpurse_store::calls;
use matchpurse_store::dispatch::{
    self, Claimed, Configured, Endpoint, EndpointId, EndpointSpec, FannedOut, LeftBehind, NameTaken,
    NewNotice, Origin, Wanted,
};
use matchpurse_store::redemptions::Audience;
use matchpurse_store::{ExposeSecret as _, Store, chain};
use metrics::{counter, gauge};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::attempt::Sending;
use crate::breaker::{self, BreakerOptions, Gate};
use crate::callback::Callers;
use crate::reloading::{Change, ChangeError, Changes};
use crate::report::Reporters;
use crate::send::{Sender, Target};
use crate::service::SERVICE;
use crate::{body, metric, slots};

/// How many notices are handed to their endpoints in one transaction.
const FAN_OUT_MAX: i64 = 500;

/// How often old history is looked for, how many deliveries go in one transaction, and how soon the next ones do where
/// there are more, in seconds: it must not be felt.
const PRUNE_EVERY_S: i64 = 60;
const PRUNED_MAX: i64 = 500;
const PRUNE_MORE_S: i64 = 1;

/// How often it is looked for what is left of endpoints that were removed, in seconds, and how many transactions that may
/// take at once.
const LEFT_EVERY_S: i64 = 1;
const LEFT_MAX: usize = 8;

/// Notices that come one soon after another are taken together: so much later at most. A turn costs several round trips
/// to the database, however little there is to do.
const TURN_EVERY: Duration = Duration::from_millis(20);

/// What time it is; tests set it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Takes notices to the studio's endpoints, turn by turn. Dropped, it is as if it were killed: what it was sending is
/// sent again when the leases end.
pub struct Dispatcher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sending: JoinSet<()>,
    /// Which endpoint each send is for.
    sends: HashMap<Id, EndpointId>,
    /// Which of the callers each call is for.
    pub(crate) calls: HashMap<Id, usize>,
    /// Which of the reporters each report is for.
    pub(crate) reports: HashMap<Id, usize>,
    turns: usize,
    /// When old history is looked for next.
    next_pruning: Timestamp,
    /// When it is looked next for what is left of endpoints that were removed.
    next_left: Timestamp,
    /// Changed settings, and the one that is being taken over.
    changes: Option<Changes>,
    change: Option<Change>,
}

/// What a turn has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// Notices that were handed to their endpoints.
    pub fanned_out: usize,
    /// Deliveries that were claimed: sends that were begun, and what must not be sent any more.
    pub begun: usize,
    /// Calls to providers that were begun.
    pub called: usize,
}

impl Turn {
    /// Whether there may be more to do at once.
    pub fn more(self) -> bool {
        self.fanned_out > 0 || self.begun > 0 || self.called > 0
    }

    /// Whether there surely is.
    fn is_full(self) -> bool {
        i64::try_from(self.fanned_out).is_ok_and(|notices| notices >= FAN_OUT_MAX)
    }
}

fn keys(settings: &Settings) -> BTreeMap<EndpointName, Vec<SigningKey>> {
    settings.endpoints.iter().map(|(name, own)| (name.clone(), own.keys.clone())).collect()
}

fn configured(settings: &Settings) -> Vec<Configured> {
    let configured = |(name, endpoint): (&EndpointName, &EndpointSettings)| Configured {
        spec: EndpointSpec {
            name: name.clone(),
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            sources: endpoint.sources.clone(),
            ordered: endpoint.ordered,
            status_url: endpoint.status_url.clone(),
        },
        allow_private: endpoint.allow_private,
    };
    settings.endpoints.iter().map(configured).collect()
}

/// Brings the configuration's endpoints, and the limits of the providers that are called, into the database. The inner
/// error is that of a configuration which it cannot have.
async fn bring(shared: &Shared) -> matchpurse_store::Result<Result<(), NameTaken>> {
    let now = (shared.clock)();
    let mut client = shared.store.client().await?;
    let brought = match dispatch::bring(&mut client, &shared.configured, now).await? {
        Ok(brought) => brought,
        Err(error) => return Ok(Err(error)),
    };
    let told = shared.callers.all().iter().map(|caller| &caller.access);
    for access in told.chain(shared.reporters.all().iter().map(|reporter| &reporter.access)) {
        calls::prepare(&client, access.budget).await?;
    }
    tracing::info!(
        endpoints = shared.configured.len(),
        changed = brought.changed,
        removed = brought.removed,
        "the endpoints of the configuration"
    );
    Ok(Ok(()))
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) sender: Sender,
    pub(crate) tracer: Tracer,
    /// The keys of the configuration's endpoints; those of the others are in the database.
    keys: BTreeMap<EndpointName, Vec<SigningKey>>,
    configured: Vec<Configured>,
    /// Whether the API's endpoints may be in private networks.
    api_may_be_private: bool,
    pub(crate) breaker: BreakerOptions,
    pub(crate) settings: DispatcherSettings,
    pub(crate) clock: Clock,
    pub(crate) callers: Arc<Callers>,
    pub(crate) reporters: Arc<Reporters>,
    pub(crate) audience: Audience,
}

impl Dispatcher {
    /// A dispatcher for the endpoints of the configuration and of the database.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up, or a source lacks what its provider is to be called with.
    pub fn new(store: Store, settings: &Settings, clock: Clock) -> Result<Self> {
        let own = &settings.dispatcher;
        let sender = Sender::new(
            Duration::from_millis(own.connect_timeout_ms),
            Duration::from_millis(own.request_timeout_ms),
        )?;
        let callers = Callers::new(settings)?;
        let shared = Shared {
            store,
            sender,
            tracer: trace::tracer(SERVICE),
            keys: keys(settings),
            configured: configured(settings),
            api_may_be_private: settings.api.endpoints_allow_private,
            breaker: BreakerOptions {
                failures: own.breaker_failures,
                pause_min: Duration::from_millis(own.breaker_pause_min_ms),
                pause_max: Duration::from_millis(own.breaker_pause_max_ms),
                width_max: own.sends_per_endpoint_max.into(),
            },
            settings: own.clone(),
            clock,
            audience: callers.audience(),
            callers: Arc::new(callers),
            reporters: Arc::new(Reporters::of(settings)?),
        };
        Ok(Self {
            shared: Arc::new(shared),
            sending: JoinSet::new(),
            sends: HashMap::new(),
            calls: HashMap::new(),
            reports: HashMap::new(),
            turns: 0,
            next_pruning: Timestamp::from_micros(i64::MIN),
            next_left: Timestamp::from_micros(i64::MIN),
            changes: None,
            change: None,
        })
    }

    /// Where changed settings are given to it while it runs.
    pub(crate) fn follow(mut self, changes: Changes) -> Self {
        self.changes = Some(changes);
        self
    }

    /// Brings the configuration's endpoints, and the limits of the providers that are called, into the database. To be
    /// done before the first turn.
    ///
    /// # Errors
    /// When the database is away, or one of their names belongs to the API.
    pub async fn bring_endpoints(&self) -> Result<()> {
        bring(&self.shared).await?.map_err(anyhow::Error::new)
    }

    /// Takes over changed settings, if there are any, between two turns. While the database is away they wait.
    async fn take_over(&mut self) {
        if self.change.is_none() {
            self.change = self.changes.as_mut().and_then(|changes| changes.try_recv().ok());
        }
        let Some(change) = &self.change else { return };
        let taken = match self.shared.with(&change.settings) {
            Err(error) => Err(error),
            Ok(shared) => match bring(&shared).await {
                Err(error) => {
                    let reason = chain(&error);
                    tracing::warn!(reason, "the changed configuration waits for the database");
                    return;
                }
                Ok(Err(error)) => Err(ChangeError::Endpoints(Box::new(error))),
                Ok(Ok(())) => {
                    self.shared = Arc::new(shared);
                    Ok(())
                }
            },
        };
        if let Some(change) = self.change.take() {
            // Nobody waits for the answer any more when the process ends.
            change.answer.send(taken).ok();
        }
    }

    /// One turn: hands out new notices, claims what is due for the slots that are free, and begins to send it; so for
    /// calls to providers; from time to time removes what is old.
    ///
    /// # Errors
    /// When the database is away. What was begun goes on.
    pub async fn turn(&mut self) -> matchpurse_store::Result<Turn> {
        while let Some(ended) = self.sending.try_join_next_with_id() {
            self.ended(ended);
        }
        let fanned_out = self.shared.fan_out().await?;
        if let Err(error) = self.end_left().await {
            let reason = chain(&error);
            tracing::warn!(reason, "what is left of removed endpoints could not be ended; it is tried again");
        }
        let begun = self.begin().await?;
        let called = self.begin_calls().await? + self.begin_reports().await?;
        if let Err(error) = self.prune().await {
            tracing::warn!(reason = chain(&error), "old history could not be removed; it is tried again");
        }
        self.turns = self.turns.wrapping_add(1);
        gauge!(metric::IN_FLIGHT).set(f64::from(u32::try_from(self.sends.len()).unwrap_or(u32::MAX)));
        Ok(Turn { fanned_out, begun, called })
    }

    /// Waits until a send has ended and was written down. False when none is in flight.
    pub async fn next_ended(&mut self) -> bool {
        match self.sending.join_next_with_id().await {
            Some(ended) => {
                self.ended(ended);
                true
            }
            None => false,
        }
    }

    /// Turns until nothing is due and nothing is in flight, at the time that the clock shows.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn settle(&mut self) -> matchpurse_store::Result<()> {
        while self.turn().await?.more() || self.next_ended().await {}
        Ok(())
    }

    /// Lets the sends in flight end for up to `limit`, and abandons the rest: they are sent again when their leases
    /// have ended, by whoever runs then.
    pub async fn drain(&mut self, limit: Duration) {
        let all = async { while self.next_ended().await {} };
        if timeout(limit, all).await.is_err() {
            tracing::warn!(left = self.sending.len(), "sends did not end in time; they are done again later");
            self.sending.shutdown().await;
            self.sends.clear();
            self.calls.clear();
            self.reports.clear();
        }
    }

    /// Turns until `stop` is tripped: when `woken`, when a send has ended, and after every `dispatcher.poll_ms`. Then
    /// lets the sends in flight end.
    pub async fn run(
        &mut self,
        woken: &tokio::sync::Notify,
        stop: &CancellationToken,
        turned: impl Fn(matchpurse_store::Result<Turn>),
    ) {
        let poll = Duration::from_millis(self.shared.settings.poll_ms);
        while !stop.is_cancelled() {
            self.take_over().await;
            let begun = Instant::now();
            let turn = self.turn().await;
            let (more, failed) = (turn.as_ref().is_ok_and(|turn| turn.more()), turn.is_err());
            let full = turn.as_ref().is_ok_and(|turn| turn.is_full());
            turned(turn);
            if full {
                continue;
            }
            let told = async {
                if !more {
                    woken.notified().await;
                }
                sleep_until(begun + TURN_EVERY).await;
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(poll) => {}
                // While the database is away there is nothing to wake up for.
                () = told, if !failed => {}
                true = self.next_ended(), if !failed && !self.sending.is_empty() => {}
            }
        }
        self.drain(Duration::from_millis(self.shared.settings.drain_timeout_ms)).await;
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a send ended by a panic; it is done again when its lease ends");
                error.id()
            }
        };
        self.sends.remove(&id);
        self.calls.remove(&id);
        self.reports.remove(&id);
    }

    async fn begin(&mut self) -> matchpurse_store::Result<usize> {
        let shared = Arc::clone(&self.shared);
        let mut client = shared.store.client().await?;
        let endpoints = dispatch::endpoints(&client).await?;
        let now = (shared.clock)();
        let wanted = self.wanted(&endpoints, now);
        if wanted.is_empty() {
            return Ok(0);
        }
        let (lease_ends, lease_until) = shared.lease(now);
        let claimed = dispatch::claim(&mut client, &wanted, now, lease_until).await?;
        drop(client);
        let begun = claimed.len();
        for claimed in claimed {
            if claimed.taken_back {
                shared.withdraw(&claimed, &endpoints, now).await;
                continue;
            }
            let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.id == claimed.endpoint) else {
                continue;
            };
            let id = claimed.endpoint;
            let target = shared.target(endpoint);
            let send = Sending { claimed, endpoint: endpoint.spec.name.to_string(), target, lease_ends };
            let shared = Arc::clone(&shared);
            let task = self.sending.spawn(async move { shared.attempt(send).await });
            self.sends.insert(task.id(), id);
        }
        Ok(begun)
    }

    /// Gives up what is left of endpoints that were removed, and ends what a person has handed on, when it is time to.
    async fn end_left(&mut self) -> matchpurse_store::Result<()> {
        let now = (self.shared.clock)();
        if now < self.next_left {
            return Ok(());
        }
        let mut client = self.shared.store.client().await?;
        dispatch::end_handed_on(&mut client, &self.shared.audience, now).await?;
        for _ in 0..LEFT_MAX {
            let Some(left) = dispatch::give_up_removed(&mut client, now).await? else {
                self.next_left = now.plus_seconds(LEFT_EVERY_S);
                break;
            };
            let LeftBehind { endpoint, deliveries } = left;
            counter!(metric::GIVEN_UP, "endpoint" => endpoint.clone()).increment(deliveries);
            tracing::error!(
                endpoint,
                deliveries,
                "given up, because the endpoint was removed; a retry hands them on to the endpoints that are there"
            );
        }
        Ok(())
    }

    /// Removes a part of what ended longer ago than the settings keep it, when it is time to.
    async fn prune(&mut self) -> matchpurse_store::Result<()> {
        let now = (self.shared.clock)();
        if now < self.next_pruning {
            return Ok(());
        }
        // Also where it fails: the sends come first.
        self.next_pruning = now.plus_seconds(PRUNE_EVERY_S);
        let kept_s = i64::from(self.shared.settings.history_days) * 86_400;
        let mut client = self.shared.store.client().await?;
        let pruned = dispatch::prune(&mut client, now.plus_seconds(-kept_s), PRUNED_MAX).await?;
        counter!(metric::PRUNED).increment(pruned.deliveries);
        let full = u64::try_from(PRUNED_MAX).unwrap_or(u64::MAX);
        if pruned.deliveries >= full || pruned.notices >= full {
            self.next_pruning = now.plus_seconds(PRUNE_MORE_S);
        }
        Ok(())
    }

    /// How many deliveries of which endpoints there are slots for.
    fn wanted(&self, endpoints: &[Endpoint], now: Timestamp) -> Vec<Wanted> {
        let mut in_flight: BTreeMap<EndpointId, u32> = BTreeMap::new();
        for id in self.sends.values() {
            *in_flight.entry(*id).or_default() += 1;
        }
        let mut wanted = Vec::new();
        for endpoint in endpoints {
            let gate = breaker::gate(&endpoint.health, now, &self.shared.breaker);
            let open = endpoint.disabled.is_none() && !matches!(gate, Gate::Paused(_));
            let name = endpoint.spec.name.as_str().to_owned();
            gauge!(metric::PAUSED, "endpoint" => name).set(if open { 0.0 } else { 1.0 });
            if !open || !self.shared.can_sign(endpoint) {
                continue;
            }
            let busy = in_flight.get(&endpoint.id).copied().unwrap_or(0);
            let (most, probe) = match gate {
                Gate::Open(width) => (width.saturating_sub(busy), false),
                // What was sent before it opened ends first, and says as much.
                Gate::Probe if busy == 0 => (1, true),
                Gate::Probe | Gate::Paused(_) => (0, false),
            };
            if most > 0 {
                wanted.push(Wanted { endpoint: endpoint.id, most, probe });
            }
        }
        let busy = u32::try_from(self.sends.len()).unwrap_or(u32::MAX);
        let free = u32::from(self.shared.settings.sends_max).saturating_sub(busy);
        let wants: Vec<u32> = wanted.iter().map(|one| one.most).collect();
        for (one, most) in wanted.iter_mut().zip(slots::share(free, &wants, self.turns)) {
            one.most = most;
        }
        wanted.retain(|one| one.most > 0);
        wanted
    }
}

impl Shared {
    /// A lease that begins now: when it ends for us, which is before it ends for others.
    pub(crate) fn lease(&self, now: Timestamp) -> (Instant, Timestamp) {
        let lease = Duration::from_millis(self.settings.lease_ms);
        // Taken before the claim.
        let ends = Instant::now() + lease;
        let until = now.micros().saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
        (ends, Timestamp::from_micros(until))
    }

    /// Ends a delivery that must not be sent any more.
    async fn withdraw(&self, claimed: &Claimed, endpoints: &[Endpoint], now: Timestamp) {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == claimed.endpoint);
        let endpoint = endpoint.map_or("", |endpoint| endpoint.spec.name.as_str());
        let (webhook_id, subject) = (claimed.webhook_id, &claimed.subject);
        let withdrawn = async {
            let mut client = self.store.client().await?;
            dispatch::withdraw(&mut client, claimed, now).await
        };
        match withdrawn.await {
            Ok(true) => {
                counter!(metric::WITHDRAWN, "endpoint" => endpoint.to_owned()).increment(1);
                tracing::info!(endpoint, %webhook_id, subject, "taken back before it was told; not sent");
            }
            Ok(false) => {}
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(endpoint, %webhook_id, reason, "not sent; it is withdrawn when its lease ends");
            }
        }
    }

    /// The same with the endpoints and keys of changed settings. Which providers are called does not change while calls
    /// may be under way: only with what.
    fn with(&self, settings: &Settings) -> Result<Self, ChangeError> {
        let callers = Callers::of(settings, self.callers.client())?;
        let callers =
            if callers.same_as(&self.callers) { Arc::new(callers) } else { Arc::clone(&self.callers) };
        let reporters = Reporters::of(settings)?.or_these(&self.reporters);
        Ok(Self {
            store: self.store.clone(),
            sender: self.sender.clone(),
            tracer: self.tracer.clone(),
            keys: keys(settings),
            configured: configured(settings),
            api_may_be_private: self.api_may_be_private,
            breaker: self.breaker,
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            audience: callers.audience(),
            callers,
            reporters,
        })
    }

    /// Hands new notices to the endpoints that want them; returns how many notices there were.
    async fn fan_out(&self) -> matchpurse_store::Result<usize> {
        let mut client = self.store.client().await?;
        if !dispatch::has_new(&client).await? {
            return Ok(0);
        }
        let tx = client.begin().await?;
        let Some((notices, endpoints)) = dispatch::take_in_tx(&tx, FAN_OUT_MAX).await? else { return Ok(0) };
        if notices.is_empty() {
            return Ok(0);
        }
        let decided: Vec<FannedOut<'_>> = notices.iter().map(|notice| fan_out(notice, &endpoints)).collect();
        let made = dispatch::fan_out_in_tx(&tx, &decided, (self.clock)()).await?;
        tx.commit().await?;
        counter!(metric::FANNED_OUT).increment(made);
        Ok(notices.len())
    }

    /// Whether this dispatcher has an endpoint's secrets. One of the configuration that another dispatcher has brought
    /// and this one does not know is that one's.
    fn can_sign(&self, endpoint: &Endpoint) -> bool {
        endpoint.origin == Origin::Api || self.keys.contains_key(&endpoint.spec.name)
    }

    fn target(&self, endpoint: &Endpoint) -> Target {
        let stored =
            || endpoint.secrets.iter().filter_map(|secret| SigningKey::parse(secret.expose_secret()).ok());
        let keys = match endpoint.origin {
            Origin::Configuration => self.keys.get(&endpoint.spec.name).cloned().unwrap_or_default(),
            Origin::Api => stored().collect(),
        };
        Target {
            url: endpoint.spec.url.clone(),
            status_url: endpoint.spec.status_url.clone(),
            keys,
            // Of the API's endpoints the configuration decides, at the moment of sending; no row can.
            allow_private: match endpoint.origin {
                Origin::Configuration => endpoint.allow_private,
                Origin::Api => self.api_may_be_private,
            },
        }
    }
}

/// Which endpoints get a notice, by what they want at this moment.
fn fan_out<'n>(notice: &'n NewNotice, endpoints: &'n [Endpoint]) -> FannedOut<'n> {
    let wants = |endpoint: &&Endpoint| endpoint.wants(&notice.source, &notice.kind, &notice.subject);
    let endpoints: Vec<&Endpoint> = endpoints.iter().filter(wants).collect();
    let body = (!endpoints.is_empty()).then(|| body::of_notice(notice));
    FannedOut { notice, endpoints, body }
}
