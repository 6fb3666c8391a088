//! A database, a clock that is set, and dispatchers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use matchpurse_dispatcher::{Clock, Dispatcher};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::dispatch::{self, EndpointLine};
use matchpurse_store::outbox::{self, Notice};
use matchpurse_store::{Store, Tx};
use matchpurse_testkit::{Database, Request, Studio};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// When every test begins, in seconds.
pub(crate) const BEGIN_S: i64 = 1_790_000_000;

pub(crate) struct Stage {
    pub(crate) database: Database,
    pub(crate) store: Store,
    clock: Arc<AtomicI64>,
}

impl Stage {
    pub(crate) async fn new() -> Result<Self> {
        let database = Database::create().await?;
        let store = database.store().await?;
        Ok(Self { database, store, clock: Arc::new(AtomicI64::new(BEGIN_S * 1_000_000)) })
    }

    /// When every test begins.
    pub(crate) fn begin() -> Timestamp {
        Timestamp::from_seconds(BEGIN_S)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.load(Ordering::SeqCst))
    }

    /// The time that is set, for others.
    pub(crate) fn clock(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = Arc::clone(&self.clock);
        move || Timestamp::from_micros(clock.load(Ordering::SeqCst))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.clock.store(now.micros(), Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.set(self.now().plus_seconds(seconds));
    }

    /// A dispatcher with these settings over the defaults, whose endpoints are brought in. Answers may take 300 ms.
    pub(crate) async fn dispatcher(&self, settings: &str) -> Result<Dispatcher> {
        let dispatcher = self.make(300, 60_000, settings)?;
        dispatcher.bring_endpoints().await?;
        Ok(dispatcher)
    }

    /// As [`Stage::dispatcher`], but an answer may take ten minutes.
    pub(crate) async fn patient_dispatcher(&self, settings: &str) -> Result<Dispatcher> {
        let dispatcher = self.make(600_000, 1_300_000, settings)?;
        dispatcher.bring_endpoints().await?;
        Ok(dispatcher)
    }

    fn make(&self, request_timeout_ms: u32, lease_ms: u32, settings: &str) -> Result<Dispatcher> {
        let url = self.database.service_url();
        let settings = Settings::parse_str(&format!(
            "database.url = \"{url}\"
             dispatcher.request_timeout_ms = {request_timeout_ms}
             dispatcher.connect_timeout_ms = 300
             dispatcher.lease_ms = {lease_ms}
             {settings}"
        ))?;
        let clock = Arc::clone(&self.clock);
        let clock: Clock = Arc::new(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)));
        Dispatcher::new(self.store.clone(), &settings, clock)
    }

    /// Writes notices as a worker does; returns their ids.
    pub(crate) async fn tell(&self, notices: &[Notice]) -> Result<BTreeSet<String>> {
        self.in_tx(async |tx| Ok(outbox::append_in_tx(tx, notices).await?)).await?;
        Ok(notices.iter().map(|notice| notice.webhook_id().to_string()).collect())
    }

    pub(crate) async fn in_tx<T>(&self, work: impl AsyncFnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        let outcome = work(&tx).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    /// Lets time pass from one due delivery to the next until none waits, or none is due within so many seconds.
    pub(crate) async fn live(&self, dispatcher: &mut Dispatcher, seconds: i64) -> Result<()> {
        let end = self.now().plus_seconds(seconds);
        dispatcher.settle().await?;
        while let Some(due) = dispatch::next_due(&self.store.client().await?).await? {
            if due > end {
                self.set(end);
                break;
            }
            self.set(due.max(self.now()));
            dispatcher.settle().await?;
        }
        Ok(())
    }

    /// The rows of a query of one text column.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        self.database.texts(sql).await
    }

    /// How many deliveries are in which state.
    pub(crate) async fn states(&self) -> Result<String> {
        let sql = "SELECT state || ' ' || count(*) FROM delivery GROUP BY state";
        Ok(self.texts(sql).await?.join(", "))
    }

    /// The outcomes of all attempts, with their statuses, in the order in which they were claimed.
    pub(crate) async fn outcomes(&self) -> Result<Vec<String>> {
        let sql =
            "SELECT outcome || coalesce(' ' || status, '') FROM delivery_attempt ORDER BY delivery_id, claim";
        let rows = self.database.connection().await?.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(crate) async fn endpoint(&self, name: &str) -> Result<EndpointLine> {
        let lines = dispatch::endpoint_lines(&self.store.client().await?).await?;
        Ok(lines.into_iter().find(|line| line.endpoint.spec.name.as_str() == name).unwrap())
    }
}

/// An endpoint on the loopback as it is configured, with more lines behind.
pub(crate) fn endpoint(name: &str, studio: &Studio, more: &str) -> String {
    let url = studio.url("/hook");
    format!("[endpoints.{name}]\nurl = \"{url}\"\nsecrets = [\"{SECRET}\"]\nallow_private = true\n{more}\n")
}

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

/// The `n`-th notice of a kind about a subject.
pub(crate) fn notice(kind: &'static str, subject: &str, n: usize) -> Notice {
    Notice {
        source: source("arena"),
        kind,
        subject: subject.to_owned(),
        discriminator: n.to_string(),
        payload: json!({"n": n, "prize": 900}),
        occurred_at: Timestamp::from_seconds(BEGIN_S - 60),
        cause: None,
    }
}

/// So many notices about matches of their own.
pub(crate) fn notices(count: usize) -> Vec<Notice> {
    (0..count).map(|n| notice("match.settled", &format!("m{n}"), n)).collect()
}

pub(crate) fn ids(ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    ids.into_iter().collect()
}

pub(crate) fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Every webhook-id came with one body only, however often it came.
#[track_caller]
pub(crate) fn assert_same_bytes(studio: &Studio) {
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for request in studio.requests() {
        let first = bodies.entry(request.webhook_id().to_owned()).or_insert_with(|| request.body.clone());
        assert_eq!(first, &request.body, "another body under {}", request.webhook_id());
    }
}
